"""A sink that takes nothing from a process whose hold on the flow has run out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dsync.connector import Connector
from dsync.errors import HeldError
from dsync.wrap.delegate import Delegate

Request = TypeVar("Request")
Response = TypeVar("Response")


class Fence(Delegate):
    """Asks before each call whether the hold is still valid: a process may have been paused for any time in between.

    `valid_until` answers a time of the monotonic clock, which goes on while a process is stopped; None: for ever.
    """

    def __init__(self, inner: Connector, valid_until: Callable[[], float | None]) -> None:
        super().__init__(inner)
        self.valid_until = valid_until

    async def _call(self, method: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        end = self.valid_until()
        if end is not None and time.monotonic() >= end:
            raise HeldError("the lease of this flow ran out and another run may have taken it", remedy="run again")
        return await method(request)
