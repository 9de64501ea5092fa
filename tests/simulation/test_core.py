"""The core of the engine in a lossy world: killed at any moment, the same command loses nothing.

20,000 worlds on each run of the tests; `DSYNC_SIMULATIONS` sets another number, `DSYNC_SIMULATION_SEED` the first seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dsync.flow import step as step_module
from dsync.flow.gauge import Gauge
from dsync.flow.step import Batch
from dsync.flow.stream import Applied, Follower
from dsync.run import migrate
from tests.simulation.loop import simulate
from tests.simulation.world import Killed, LossyState, World

SIMULATIONS = int(os.environ.get("DSYNC_SIMULATIONS", "20000"))
FIRST_SEED = int(os.environ.get("DSYNC_SIMULATION_SEED", "0"))
# Tests that share the seeds, so that several processes can run them.
SHARES = 8
MOST_KILLS = 3
# A build that saves before it was told that all is durable must be caught within as many seeds.
CAUGHT_WITHIN = 200


async def history(seed: int, make: Callable[[int], World] = World) -> list[str]:
    """Lives and deaths of one command; answers what is wrong in the end."""
    world = make(seed)
    writer = asyncio.create_task(write_on(world)) if world.keyed else None
    for _ in range(world.chance.randint(0, MOST_KILLS)):
        await one_life(world, kill_after=world.chance.choice((0.01, 0.05, 0.2, 1.0, 5.0)) * world.chance.random())
    if writer:
        await writer
    await one_life(world, kill_after=None)
    return world.differences()


async def write_on(world: World) -> None:
    for _ in range(world.chance.randint(0, 24)):
        await asyncio.sleep(world.chance.random() * 0.2)
        world.change()


async def one_life(world: World, kill_after: float | None) -> None:
    """Runs the command until it ends, or until it is killed."""
    life = world.life
    source, sink = world.ends(life)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsync.run.open_state", lambda metadata: LossyState(world, life))
        run = asyncio.create_task(migrate(source, sink, world.settings()))
        if kill_after is None:
            await run
            return
        await asyncio.wait([run], timeout=kill_after)
        world.life += 1
        run.cancel()
        with contextlib.suppress(Killed, asyncio.CancelledError):
            await run


def wrong(seeds: Sequence[int], make: Callable[[int], World] = World) -> list[tuple[int, list[str]]]:
    """Seeds whose histories end with differences."""
    found = []
    for seed in seeds:
        random.seed(seed)
        differences = simulate(seed, history(seed, make))
        if differences:
            found.append((seed, differences))
    return found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("share", range(SHARES))
def test_whatever_fails_and_whenever_it_is_killed_nothing_is_lost(share: int) -> None:
    assert not wrong(range(FIRST_SEED + share, FIRST_SEED + SIMULATIONS, SHARES))


def test_a_copy_that_saves_before_the_answer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[asyncio.Task[Any]] = []

    async def write_later(sink: Any, batch: Batch, gauge: Gauge) -> dict[str, int]:
        async def write() -> None:
            await asyncio.sleep(0.2)
            for request in batch.requests:
                await sink.WriteData(request)

        gauge.leave(batch.bytes)
        if batch.requests:
            kept.append(asyncio.create_task(write()))
        return {}

    monkeypatch.setattr(step_module, "_write", write_later)
    assert caught(), f"not noticed within {CAUGHT_WITHIN} seeds"


def test_a_stream_that_saves_before_the_answer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def save_first(self: Follower) -> None:
        while True:
            answers = await self._ahead.take()
            self._advance(answers, Applied())
            await asyncio.sleep(0.2)
            await self._apply(answers)

    monkeypatch.setattr(Follower, "_write", save_first)
    assert caught(), f"not noticed within {CAUGHT_WITHIN} seeds"


def test_a_stream_that_begins_after_the_copy_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class FromNow(Follower):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._read_to = b""

    monkeypatch.setattr("dsync.flow.stream.Follower", FromNow)
    assert caught(), f"not noticed within {CAUGHT_WITHIN} seeds"


def caught() -> bool:
    """Whether any of the first seeds shows a difference, or an error that a user would see."""
    for seed in range(CAUGHT_WITHIN):
        try:
            if wrong([seed]):
                return True
        except (Exception, Killed):  # noqa: BLE001 - a broken build may break in any way
            return True
    return False
