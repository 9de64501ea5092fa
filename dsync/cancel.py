"""Ending tasks for sure."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")

# Before a task that has not ended is cancelled again.
AGAIN_SECONDS = 0.2


async def cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancels the tasks and returns when all have ended; how each of them ended is for the caller to ask.

    Once is not enough: `asyncio.wait_for` of Python 3.11, which drivers are full of, swallows a cancellation that comes at the
    moment at which its own work is done, and a task that goes round for ever would go on.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)


async def together(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Runs all side by side and answers what they come to; the first failure cancels the others and is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancel(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)
