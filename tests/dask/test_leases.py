"""A process that has heard of a grant ends with it, whatever it is doing."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from dsync.state import Flow, open_state
from dsync.wire.gen.dsync.v1.flow_pb2 import Step
from dsync.workers.crews import outlast
from dsync.workers.grant import ENDED_BEFORE, Grant
from dsync.workers.here import NotStarted, WorkerDied
from dsync.workers.process import Process
from tests.engine.test_workers import assignment, ignore, partition


def grant(seconds: float) -> Grant:
    return Grant(time.monotonic() + seconds, 64 << 20)


def pid_of(worker: Process) -> int:
    assert worker._process is not None
    return worker._process.pid


async def status_of(worker: Process) -> int:
    assert worker._process is not None
    return await asyncio.to_thread(worker._process.wait, 30)


def test_a_grant_survives_its_way() -> None:
    given = Grant(12.5, 1000, 3.5)
    assert Grant.from_json(given.to_json()) == given


async def test_a_process_ends_with_its_grant_in_the_middle_of_a_step() -> None:
    worker = Process(assignment(sleep=60_000.0))
    await worker.start()
    worker.grant(grant(0.5))
    with pytest.raises(WorkerDied):
        await worker.step(Step(planned=await partition()), ignore)
    assert await status_of(worker) in {-signal.SIGALRM, ENDED_BEFORE}
    await worker.close()


async def test_a_process_that_was_stopped_beyond_its_grant_does_nothing_more() -> None:
    worker = Process(assignment(sleep=200.0))
    await worker.start()
    worker.grant(grant(1))
    seen: list[int] = []
    step = asyncio.create_task(worker.step(Step(planned=await partition()), lambda at: seen.append(at.read)))
    os.kill(pid_of(worker), signal.SIGSTOP)
    await asyncio.sleep(1.2)
    before = list(seen)
    os.kill(pid_of(worker), signal.SIGCONT)
    with pytest.raises(WorkerDied):
        await step
    assert seen == before
    # by the system's timer, or by itself where it had not heard of the grant before it was stopped
    assert await status_of(worker) in {-signal.SIGALRM, ENDED_BEFORE}
    await worker.close()


async def test_a_later_grant_takes_the_place_of_an_earlier_one() -> None:
    worker = Process(assignment(sleep=300.0))
    await worker.start()
    worker.grant(grant(0.5))
    worker.grant(grant(60))
    result = await worker.step(Step(planned=await partition()), ignore)
    assert result.checkpoint.done
    await worker.close()


async def test_a_grant_that_has_ended_on_its_way_ends_the_process() -> None:
    worker = Process(assignment())
    await worker.start()
    worker.grant(grant(-0.1))
    with pytest.raises(WorkerDied):
        await worker.step(Step(planned=await partition()), ignore)
    await worker.close()


async def test_a_process_that_cannot_open_its_ends_says_why() -> None:
    wrong = structs.replace(assignment(), source=replace(assignment().source, uri="s3://no-such-bucket-anywhere/x"))
    wrong = structs.replace(wrong, source=replace(wrong.source, options={"endpoint": "http://127.0.0.1:1"}))
    worker = Process(wrong, silent=True)
    with pytest.raises(NotStarted) as caught:
        await worker.start()
    assert caught.value.failure.kind == "EndpointError"
    await worker.close()


async def test_a_run_waits_for_workers_of_a_killed_one_that_wrote_to_the_same_place(tmp_path: Path) -> None:
    flow = Flow(id="f", name="", source="s", destination="d", settings={}, batch={}, away=0.3)
    async with open_state(str(tmp_path / "state.db")) as state:
        await state.begin(flow, [])
        before = time.monotonic()
        await outlast(state, "other", "elsewhere")
        assert (await state.flow("f")) == flow
        await outlast(state, "f", "d")
        assert time.monotonic() - before >= 0.3
        known = await state.flow("f")
        assert known is not None
        assert known.away == 0, "once is enough"
