"""Signals that come late, and messages that nobody reads, change nothing about how a run ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dsync.cli.copy import judged
from dsync.errors import DataError, DsyncError, EndpointError, TransientError
from dsync.progress import NamespaceProgress, StreamProgress, Tracker
from tests.kit.cli import Dsync

LATE = """
import asyncio, os, signal
from dsync.cli.runner import Stop

async def main():
    stop = Stop()
    stop.listen()
    os.kill(os.getpid(), signal.{first})
    await stop.event.wait()

asyncio.run(main())
os.kill(os.getpid(), signal.{second})
"""


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_a_second_signal_after_the_run_has_ended_still_gives_a_status(first: str, second: str) -> None:
    code = LATE.format(first=first, second=second)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 128 + signal.Signals[second], done.stderr
    assert "stopping" in done.stderr


@pytest.mark.parametrize("verbosity", ["WARN", "DEBUG"])
def test_a_copy_goes_on_when_nobody_reads_its_messages(tmp_path: Path, verbosity: str) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text("".join(f'{{"_id": {number}}}\n' for number in range(5000)))
    process = Dsync(tmp_path).start("--verbosity", verbosity, source, tmp_path / "b.jsonl")
    assert process.stderr and process.stdout
    process.stderr.close()
    assert process.wait(60) == 0
    process.stdout.close()
    assert (tmp_path / "b.jsonl").read_text().count("\n") == 5000


def test_a_failure_keeps_its_status_when_nobody_reads_its_message(tmp_path: Path) -> None:
    process = Dsync(tmp_path).start("verify", tmp_path / "missing.csv", tmp_path / "b.jsonl")
    assert process.stderr and process.stdout
    process.stderr.close()
    assert process.wait(60) == Dsync(tmp_path)(*process.args[3:], expect=None).status  # type: ignore[index]
    process.stdout.close()


def test_data_that_nobody_takes_is_a_failure(tmp_path: Path) -> None:
    process = Dsync(tmp_path).start("/dev/fakesource", "--num-docs-per-partition", "200000", "/dev/null", "--log-json")
    assert process.stderr and process.stdout
    process.stdout.read(100)
    process.stdout.close()
    message = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 5
    assert "standard output cannot be written" in message


@pytest.mark.parametrize("kind", [EndpointError, TransientError])
def test_an_end_that_fails_is_to_be_mended_before_the_first_write_and_tried_again_after_it(
    kind: type[DsyncError],
) -> None:
    tracker = Tracker()
    before = judged(kind("it is gone"), tracker)
    assert (before.exit_status, before.message) == (3, "it is gone")
    copied, followed, beyond = Tracker(), Tracker(), Tracker(wrote_beyond=True)
    copied.namespaces["a"] = NamespaceProgress("a", "a", documents=1)
    followed.streams = [StreamProgress(updates=1)]
    for written in (copied, followed, beyond):
        after = judged(kind("it is gone"), written)
        assert (after.exit_status, after.message) == (5, "it is gone")
        assert "run the same command again to go on" in after.remedy


def test_other_failures_are_what_they_are_whatever_was_written() -> None:
    tracker = Tracker()
    tracker.namespaces["a"] = NamespaceProgress("a", "a", documents=1)
    assert judged(DataError("no"), tracker).exit_status == 1
