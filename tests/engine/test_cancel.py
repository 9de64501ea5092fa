"""Tasks end when they are cancelled, also where a cancellation gets lost."""

from __future__ import annotations

import asyncio

from dsync.cancel import cancel


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0)
    await cancel(tasks)
    assert (tasks[0].cancelled(), swallowed) == (True, 3)


async def test_nothing_to_cancel_takes_no_time() -> None:
    await cancel([])
