"""How a command ends: every failure becomes one message with its remedy, and an exit status."""

from __future__ import annotations

import logging
import os
import re
import sys

import click

from dsync.errors import DsyncError, InterruptedRun
from dsync.redact import redact

logger = logging.getLogger(__name__)

URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+")


def run_program(program: click.Command) -> int:
    """Runs the command line and answers its exit status (design: exit status); prints what went wrong to stderr."""
    try:
        result = program.main(prog_name="dsync", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.UsageError as error:
        return complain(error.format_message().rstrip("."), 2, hint=_hint(error))
    except click.ClickException as error:
        return complain(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # whoever read our output has gone; nothing may be written to it any more, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return complain("the reader of the output went away", 1)
    except InterruptedRun as error:
        return complain(str(error), 128 + error.signal_number)
    except DsyncError as error:
        return complain(str(error), error.exit_status)
    except Exception as error:
        logger.debug("a defect", exc_info=error)
        if logger.isEnabledFor(logging.DEBUG):
            raise
        # what an unknown error says may hold documents or secrets
        return complain(f"a defect in dsync: {type(error).__name__}; see --verbosity DEBUG, and report it", 1)
    return result if isinstance(result, int) else 0


def complain(message: str, status: int, hint: str = "") -> int:
    """Prints the message without credentials and answers the status."""
    click.echo(f"dsync: {clean(message)}{hint}", err=True)
    return status


def clean(message: str) -> str:
    """The message with every URI in it as it may be shown."""
    return URI.sub(lambda match: redact(match[0]), message)


def _hint(error: click.UsageError) -> str:
    """Which help to read: of the connector whose options these are, else of the command."""
    if "dsync " in error.format_message():
        return ""
    at = error.ctx
    if at is not None and at.parent is not None:
        of_endpoint = not at.command.add_help_option
        return f"; see dsync help {at.command.name}" if of_endpoint else f"; see {at.command_path} --help"
    return "; see dsync --help"
