"""The command line: options in, one library call, results out; one module a command."""

from __future__ import annotations

import contextlib
import os
import sys


def main() -> None:
    """Runs the command line of this process. Raises SystemExit with its exit status."""
    from dsync import garbage

    garbage.ignore_the_start()

    from dsync.cli.ending import run_program
    from dsync.cli.messages import keep_speaking
    from dsync.cli.program import program

    keep_speaking()
    sys.exit(run_program(program))


def end_as_main() -> None:
    """The `dsync` command: ends the process at once with the exit status.

    While the interpreter tidied up, which takes a while, a late signal would take the exit status away.
    """
    try:
        from dsync import stack

        stack.with_room(main)
    except KeyboardInterrupt:  # before anything was begun
        os._exit(130)
    except SystemExit as ended:
        with contextlib.suppress(OSError):  # what could not be written has had its say in the status
            sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)
