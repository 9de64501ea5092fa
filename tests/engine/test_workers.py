"""Worker processes do the same steps, end with their coordinator, and may die without harm."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.flow.ends import Assignment, Wrapping
from dsync.flow.step import StepSettings
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Step, StepResult
from dsync.workers.here import WorkerDied
from dsync.workers.process import Process

OPTIONS = {"num_docs_per_partition": 50_000, "num_partitions_per_namespace": 2}


def assignment(**sink: object) -> Assignment:
    steps = StepSettings(flow="f", type=wire.BSON, batch_bytes=1 << 20, batch_documents=5000, budget_seconds=60)
    wrapping = Wrapping(native=wire.BSON, type=wire.BSON, retry_for=0)
    return Assignment(Endpoint("/dev/fakesource", OPTIONS), Endpoint("/dev/null", sink), wrapping, steps, 64 << 20)


async def partition() -> PlannedPartition:
    async with Endpoint("/dev/fakesource", OPTIONS).create() as source:
        plan = await source.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))
    return PlannedPartition(number=0, partition=plan.partitions[0], destination="d")


def ignore(reached: Checkpoint) -> None:
    pass


async def test_an_assignment_survives_its_way_through_the_pipe() -> None:
    assert Assignment.from_json(assignment(sleep=3.0).to_json()) == assignment(sleep=3.0)


async def test_a_worker_copies_a_partition_and_reports_each_checkpoint() -> None:
    worker, seen = Process(assignment()), list[int]()
    await worker.start()
    try:
        result = await worker.step(Step(planned=await partition()), lambda at: seen.append(at.read))
    finally:
        await worker.close()
    assert result.checkpoint.done
    assert result.checkpoint.read == 50_000
    assert seen == sorted(set(seen))
    assert len(seen) >= 5


async def test_an_error_of_a_worker_comes_back_as_what_it_is() -> None:
    worker = Process(assignment())
    await worker.start()
    try:
        broken = PlannedPartition(number=0, partition=wire.Partition(namespace="x", cursor=b"garbage"), destination="d")
        result = await worker.step(Step(planned=broken), ignore)
    finally:
        await worker.close()
    assert result.failure.kind == "CursorError"
    assert result.failure.message


async def test_steps_of_a_killed_worker_are_told_so() -> None:
    worker = Process(assignment(sleep=5000.0))
    await worker.start()
    step = asyncio.create_task(worker.step(Step(planned=await partition()), ignore))
    await asyncio.sleep(0.2)
    assert worker._process is not None
    worker._process.kill()
    with pytest.raises(WorkerDied):
        await asyncio.wait_for(step, 10)
    with pytest.raises(WorkerDied):
        await worker.step(Step(), ignore)
    await worker.close()


async def test_an_answer_that_nobody_waits_for_any_more_does_no_harm() -> None:
    worker = Process(assignment(sleep=200.0))
    await worker.start()
    try:
        step = asyncio.create_task(worker.step(Step(planned=await partition()), ignore))
        await asyncio.sleep(0.05)
        step.cancel()
        done = Step(planned=await partition(), checkpoint=Checkpoint(done=True))
        assert isinstance(await worker.step(done, ignore), StepResult)
    finally:
        await worker.close()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def busy_run(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A copy that wants more than one process, with its output in a file."""
    source = tmp_path / "rows.csv"
    row = ",".join(f'"{n} quoted, text"' for n in range(8)) + "\n"
    source.write_text("a,b,c,d,e,f,g,h\n" + row * 400_000)
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    command = [sys.executable, "-m", "dsync", "--verbosity", "INFO", str(source), "/dev/null", "--sleep", "1"]
    with (tmp_path / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stderr=log, cwd=tmp_path)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a second process pays only with a second core")
def test_workers_end_when_their_coordinator_is_killed(busy_run: subprocess.Popen[bytes]) -> None:
    seen: list[int] = []
    try:
        while busy_run.poll() is None and not seen:
            seen = children(busy_run.pid)
            time.sleep(0.01)
    finally:
        busy_run.send_signal(signal.SIGKILL)
        busy_run.wait()
    if not seen:
        pytest.skip("no second process was started: the machine has no idle core just now")
    end = time.monotonic() + 10
    while any(map(lives, seen)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(lives, seen))
