"""Runs a library call from the command line: logging, signals, progress."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from types import FrameType
from typing import Any, TypeVar

import click

from dsync import garbage, heap
from dsync.cli.ending import clean
from dsync.errors import UsageError

Result = TypeVar("Result")


class Redacting(logging.Formatter):
    """Formats records without the credentials of any URI in them."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        return clean(super().format(record))


def configure_logging(values: Mapping[str, Any]) -> None:
    """By --verbosity and --logfile; only the command line does this."""
    handler = _log_file(values["logfile"]) if values["logfile"] else logging.StreamHandler(sys.stderr)
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    level = {"WARN": "WARNING"}.get(values["verbosity"].upper(), values["verbosity"].upper())
    logging.basicConfig(level="WARNING", handlers=[handler], force=True)
    for package in ("dsync", "connectors"):
        logging.getLogger(package).setLevel(level)


def _log_file(path: str) -> logging.Handler:
    try:
        return logging.FileHandler(path)
    except OSError as error:
        raise UsageError(f"--logfile {path!r} cannot be written: {error.strerror}", remedy="name another") from error


class Stop:
    """What the first Ctrl-C sets: stop reading, drain, save. The second one leaves at once; the state is right even so."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.signal_number = 0
        self._loop = asyncio.get_running_loop()

    def listen(self) -> None:
        """Takes SIGINT and SIGTERM from now on, until the process has ended.

        The loop's own handlers would end with it, and a signal that comes late would take the exit status away.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number or self._loop.is_closed():
            os._exit(128 + number)
        self.signal_number = number
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.event.set()
        click.echo(
            "\ndsync: stopping; what is under way is brought to its end and saved (again: leave at once)", err=True
        )


def run_async(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs the coroutine to its end; a blocked thread does not keep a failed or stopped process alive."""
    heap.keep_freed()
    return asyncio.run(_begun(main))


async def _begun(main: Coroutine[Any, Any, Result]) -> Result:
    asyncio.get_running_loop().call_later(garbage.START_SECONDS, garbage.collect_seldom)
    return await main
