"""The command line: options in, one library call, results out; one module a command."""

from __future__ import annotations

import os
import sys

# 128 and the number of the signal that ended the run.
INTERRUPTED = {130, 143}


def main() -> None:
    """The `dsync` command; ends the process with its exit status."""
    from dsync import garbage

    garbage.collect_seldom()

    from dsync.cli.ending import run_program
    from dsync.cli.messages import keep_speaking
    from dsync.cli.program import program

    keep_speaking()
    status = run_program(program)
    if status in INTERRUPTED:
        # while the interpreter tidies up, another signal would take the exit status away
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
