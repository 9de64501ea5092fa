"""Processes that stand ready: they become workers like any other, and none outlives what made it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.engine.test_workers import lives

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="spares are forks, and those are safe on Linux alone")

PATIENCE_SECONDS = 10
# What runs with spares of its own: this process may have threads.
BEGIN = """
import asyncio, json, os, sys
from dsync.workers import spares
from dsync.workers.process import Process
from dsync.wire.gen.dsync.v1.flow_pb2 import Step
from tests.engine.test_workers import assignment, ignore, partition
spares.stand_ready(2)
"""


def run(program: str, *, check: bool = True) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
        cwd=Path(__file__).parents[2],
    )
    found: list[object] = json.loads(done.stdout)
    return found


def gone(pids: list[object]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if not any(lives(int(str(pid))) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def test_a_spare_does_the_steps_of_a_worker_and_holds_what_it_is_given() -> None:
    pid, called, read, held, status = run("""
        async def main():
            ours = os.open("/dev/null", os.O_RDONLY)
            pid = spares._ready[-1].pid
            worker = Process(assignment(), [ours])
            await worker.start()
            result = await worker.step(Step(planned=await partition()), ignore)
            held = sum(os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null" for fd in os.listdir(f"/proc/{pid}/fd"))
            spare = worker._process
            called = spare.pid
            await worker.close()
            print(json.dumps([pid, called, result.checkpoint.read, held, spare.wait()]))
        asyncio.run(main())
    """)
    assert (called, read, status) == (pid, 50_000, 0)
    assert isinstance(held, int)
    assert held >= 2, "its standard input, and the descriptor that came with the call"


def test_spares_that_nobody_calls_end_with_what_made_them() -> None:
    pids = run("print(json.dumps([each.pid for each in spares._ready])); sys.stdout.flush(); os._exit(0)")
    assert len(pids) == 2
    assert gone(pids)


def test_spares_of_a_killed_process_end_too() -> None:
    pids = run(
        "print(json.dumps([each.pid for each in spares._ready])); sys.stdout.flush(); os.kill(os.getpid(), 9)",
        check=False,
    )
    assert len(pids) == 2
    assert gone(pids)


def test_a_spare_that_somebody_killed_is_replaced_by_a_new_process() -> None:
    dead, called, read = run("""
        async def main():
            dead = spares._ready[-1]
            dead.kill()
            dead.wait()
            worker = Process(assignment())
            await worker.start()
            result = await worker.step(Step(planned=await partition()), ignore)
            print(json.dumps([dead.pid, worker._process.pid, result.checkpoint.read]))
            await worker.close()
        asyncio.run(main())
    """)
    assert called != dead
    assert read == 50_000


def test_ctrl_c_at_once_does_no_harm_to_a_spare() -> None:
    pid, called, read = run("""
        import signal
        for each in spares._ready:
            os.kill(each.pid, signal.SIGINT)
        async def main():
            pid = spares._ready[-1].pid
            worker = Process(assignment())
            await worker.start()
            result = await worker.step(Step(planned=await partition()), ignore)
            print(json.dumps([pid, worker._process.pid, result.checkpoint.read]))
            await worker.close()
        asyncio.run(main())
    """)
    assert (called, read) == (pid, 50_000)


def test_no_fork_is_made_of_a_process_with_threads() -> None:
    found = run("""
        import threading
        spares._ready.clear()
        wait = threading.Event()
        threading.Thread(target=wait.wait, daemon=True).start()
        spares.stand_ready(2)
        print(json.dumps([len(spares._ready)]))
        sys.stdout.flush()
        os._exit(0)
    """)
    assert found == [0]


def test_a_spare_prints_nothing_of_its_own_and_reads_nothing(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")
    done = subprocess.run(
        [sys.executable, "-m", "dsync", "--metadata", str(tmp_path / "state"), str(rows), str(tmp_path / "out.jsonl")],
        input="not for us",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out.jsonl").read_text() == '{"a":"1"}\n'
