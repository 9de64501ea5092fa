"""Copiers go to the worker that has the least to do."""

from __future__ import annotations

import asyncio

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.flow.gauge import Gauge
from dsync.flow.step import StepSettings
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, Step
from dsync.workers.here import Here
from dsync.workers.team import Team
from tests.engine.test_workers import OPTIONS, assignment, partition


def idle() -> Here:
    settings = StepSettings(flow="f", type=wire.BSON, batch_bytes=1 << 20, batch_documents=5000)
    connector = Endpoint("/dev/null").create()
    return Here(connector, connector, settings, Gauge(1 << 20))


async def test_copiers_are_shared_out_again_when_another_worker_comes() -> None:
    here, other = idle(), idle()
    team = Team(here)
    mine = [await team.join() for _ in range(4)]
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
