"""A thread for code that may block, so that the event loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")

Task = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Thread:
    """Runs one call after the other. A daemon: a call that never ends does not keep the process from ending."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], Result]) -> Result:
        """What the call answers or raises, once those before it are through."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="transform", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._tasks.put((call, loop, future))
        return await future

    def close(self) -> None:
        """Ends the thread after the call under way; waits for nothing."""
        self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            call, loop, future = task
            if future.cancelled():
                continue
            result, failure = None, None
            try:
                result = call()
            except Exception as error:  # noqa: BLE001 - belongs to whoever waits
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, result, failure)


def _settle(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.cancelled():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
