"""Bounds the bytes of documents that are under way in one process."""

from __future__ import annotations

import asyncio
from collections import deque


class Gauge:
    """At most `limit_bytes` between `enter` and `leave`; whoever comes while nothing is under way enters whatever its size.

    Waiters enter in the order in which they came.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.under_way = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def enter(self, size: int) -> None:
        """Returns when there is room; every `enter` that returned is followed by one `leave` of the same size."""
        if not self._waiting and self._fits(size):
            self.under_way += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(size)
            else:
                self._waiting = deque(waiter for waiter in self._waiting if waiter[1] is not turn)
            raise

    def leave(self, size: int) -> None:
        """Makes room and wakes whoever fits now."""
        self.under_way -= size
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self.under_way += size
            turn.set_result(None)

    def _fits(self, size: int) -> bool:
        return self.under_way == 0 or self.under_way + size <= self.limit_bytes
