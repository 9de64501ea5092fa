"""Copiers go to the worker that has the least to do."""

from __future__ import annotations

import asyncio

import pytest

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.flow.gauge import Gauge
from dsync.flow.step import StepSettings
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, Step
from dsync.workers import spares
from dsync.workers.here import Here, Near, Worker, WorkerDied
from dsync.workers.process import Process
from dsync.workers.team import Team
from tests.engine.test_workers import OPTIONS, assignment, partition


def idle() -> Here:
    settings = StepSettings(flow="f", type=wire.BSON, batch_bytes=1 << 20, batch_documents=5000)
    connector = Endpoint("/dev/null").create()
    return Here(connector, connector, settings, Gauge(1 << 20))


class Coming(Process):
    """A process that comes when it is let, or never."""

    def __init__(self, *, comes: bool) -> None:
        super().__init__(assignment())
        self.asked, self.let = asyncio.Event(), asyncio.Event()
        self.comes = comes

    async def start(self) -> None:
        self.asked.set()
        await self.let.wait()
        if not self.comes:
            raise WorkerDied


class Idle:
    """A look at the machine that finds a core without work."""

    def has_idle(self, cores: float) -> bool:
        return True


async def joining(team: Team, other: Coming, monkeypatch: pytest.MonkeyPatch) -> tuple[list[asyncio.Task[Near]], int]:
    """Four copiers that come while the process is on its way, and how many are at work before it is there."""
    monkeypatch.setattr(spares, "ready_since", Idle)
    growth = asyncio.create_task(team.grow(2, lambda: other, lambda: 10))
    await asyncio.wait_for(other.asked.wait(), 30)
    joined = [asyncio.create_task(team.join()) for _ in range(4)]
    await asyncio.sleep(0)
    before = sum(task.done() for task in joined)
    other.let.set()
    await growth
    await asyncio.gather(*joined)
    return joined, before


async def test_copiers_are_shared_out_again_when_another_worker_comes() -> None:
    here, other = idle(), idle()
    team = Team(here)
    mine: list[Worker] = [await team.join() for _ in range(4)]
    team.workers.append(other)
    mine = [team.balance(worker) for worker in mine]
    assert (here.load, other.load) == (2, 2)
    for worker in mine:
        team.leave(worker)
    assert (here.load, other.load) == (0, 0)


async def test_a_step_is_handed_over_after_its_batch_and_goes_on_elsewhere() -> None:
    steps = assignment().steps
    async with Endpoint("/dev/fakesource", OPTIONS).create() as source, Endpoint("/dev/null").create() as sink:
        here, other = (Here(source, sink, steps, Gauge(64 << 20)) for _ in range(2))
        seen: list[int] = []

        def reached(at: Checkpoint) -> None:
            seen.append(at.read)
            here.hand_over()

        planned = await partition()
        result = await asyncio.wait_for(here.step(Step(planned=planned), reached), 30)
        assert not result.checkpoint.done
        assert 0 < result.checkpoint.read < 50_000
        rest = await other.step(Step(planned=planned, checkpoint=result.checkpoint), lambda at: None)
    assert rest.checkpoint.done
    assert rest.checkpoint.read == 50_000


async def test_the_last_copiers_here_are_handed_over_to_a_worker_without_any() -> None:
    here, other = idle(), idle()
    team = Team(here)
    team.workers.append(other)
    mine = [await team.join() for _ in range(4)]
    began = here._handed_over
    for worker in [each for each in mine if each is other]:
        team.leave(worker)
    assert here._handed_over > began
    assert team.balance(here) is other


async def test_a_process_hands_over_after_its_batch_too() -> None:
    process = Process(assignment(sleep=20.0))
    await process.start()
    try:
        planned = await partition()
        result = await asyncio.wait_for(process.step(Step(planned=planned), lambda at: process.hand_over()), 30)
        assert not result.checkpoint.done
        assert 0 < result.checkpoint.read < 50_000
        rest = await process.step(Step(planned=planned, checkpoint=result.checkpoint), lambda at: None)
        assert rest.checkpoint.done
    finally:
        await process.close()


async def test_copiers_wait_for_the_process_that_is_about_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    here, other = idle(), Coming(comes=True)
    joined, before = await joining(Team(here), other, monkeypatch)
    assert before == 2
    assert sorted(task.result() is here for task in joined) == [False, False, True, True]
    assert here._handed_over == 0


async def test_copiers_that_waited_for_a_process_that_never_comes_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    here = idle()
    joined, before = await joining(Team(here), Coming(comes=False), monkeypatch)
    assert before == 2
    assert [task.result() for task in joined] == [here] * 4


async def test_no_process_comes_to_patient_work_that_leaves_this_one_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = asyncio.Event()

    class Calm(Idle):
        """Of a process that waits for its stores."""

        @classmethod
        def now(cls) -> Calm:
            return cls()

        def is_busy(self, share: float) -> bool:
            looked.set()
            return False

    monkeypatch.setattr(spares, "ready_since", Idle)
    monkeypatch.setattr("dsync.workers.team.Moment", Calm)
    monkeypatch.setattr("dsync.workers.team.PATIENT_LOOK_SECONDS", 0)
    team, other = Team(idle()), Coming(comes=True)
    growth = asyncio.create_task(team.grow(2, lambda: other, lambda: 10, patient=True))
    await asyncio.wait_for(looked.wait(), 30)
    growth.cancel()
    await asyncio.gather(growth, return_exceptions=True)
    assert not other.asked.is_set()


def test_documents_pass_through_where_they_are_bson_without_messages() -> None:
    def settings(kind: wire.Type, *, lines: bool) -> StepSettings:
        return StepSettings(flow="f", type=kind, batch_bytes=1 << 20, batch_documents=5000, lines=lines)

    assert settings(wire.BSON, lines=True).passes_through
    assert not settings(wire.BSON, lines=False).passes_through
    assert not settings(wire.EXTENDED_JSON, lines=True).passes_through
