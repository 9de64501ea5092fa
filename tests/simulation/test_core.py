"""The core of the engine in a lossy world: killed at any moment, the same command loses nothing.

20,000 worlds on each run of the tests; `DSYNC_SIMULATIONS` sets another number, `DSYNC_SIMULATION_SEED` the first seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from dsync.run import migrate
from tests.simulation.loop import simulate
from tests.simulation.world import Killed, LossyState, World

SIMULATIONS = int(os.environ.get("DSYNC_SIMULATIONS", "20000"))
FIRST_SEED = int(os.environ.get("DSYNC_SIMULATION_SEED", "0"))
# Tests that share the seeds, so that several processes can run them.
SHARES = 8
MOST_KILLS = 4
# A build that is broken on purpose must be caught within as many seeds.
CAUGHT_WITHIN = 200
# Seconds of simulated time that a process gets at the most: a copy takes about one of them, then changes are followed.
LIVES = (0.2, 0.6, 1.0, 1.5, 5.0)


async def history(seed: int, make: Callable[[int], World] = World) -> list[str]:
    """Lives and deaths of one command; answers what is wrong in the end."""
    world = make(seed)
    writer = asyncio.create_task(write_on(world)) if world.keyed else None
    for _ in range(world.chance.randint(0, MOST_KILLS)):
        await one_life(world, world.chance.choice(KILLERS))
    if writer:
        await writer
    await one_life(world, None)
    return world.differences()


async def write_on(world: World) -> None:
    pause = world.chance.choice((0.2, 0.04))
    for _ in range(world.chance.choice((0, 10, 30, 80))):
        await asyncio.sleep(world.chance.random() * pause)
        world.change()


async def kill_some_time(world: World) -> None:
    await asyncio.sleep(world.chance.choice(LIVES) * world.chance.random())


async def kill_at_a_write(world: World) -> None:
    """While a write is under way, or soon after it."""
    await world.writes.wait_for(world.chance.randint(1, 20))
    await asyncio.sleep(world.chance.random() * 0.1)


async def kill_at_a_save(world: World) -> None:
    """When something was saved: all that it says must be true by then."""
    await world.saves.wait_for(world.chance.randint(1, 3))
    await asyncio.sleep(world.chance.choice((0, 0.02)) * world.chance.random())


async def one_life(world: World, killer: Callable[[World], Coroutine[Any, Any, None]] | None) -> None:
    """Runs the command until it ends, or until it is killed."""
    life = world.life
    source, sink = world.ends(life)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsync.run.open_state", lambda metadata: LossyState(world, life))
        run = asyncio.create_task(migrate(source, sink, world.settings()))
        if killer is None:
            await run
            return
        kill = asyncio.create_task(killer(world))
        await asyncio.wait([run, kill], return_when=asyncio.FIRST_COMPLETED)
        kill.cancel()
        world.life += 1
        run.cancel()
        with contextlib.suppress(Killed, asyncio.CancelledError):
            await run


# A save is the moment at which most can be untrue.
KILLERS = (kill_some_time, kill_at_a_write, kill_at_a_save, kill_at_a_save)


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
