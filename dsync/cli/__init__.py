"""The command line: options in, one library call, results out; one module a command."""

from __future__ import annotations

import sys


def main() -> None:
    """The `dsync` command; ends the process with its exit status."""
    from dsync.cli.ending import run_program
    from dsync.cli.messages import keep_speaking
    from dsync.cli.program import program

    keep_speaking()
    sys.exit(run_program(program))
