"""A sink that takes no more than a number of documents a second."""

from __future__ import annotations

import asyncio

from dsync import wire
from dsync.connector import Connector
from dsync.wrap.delegate import Delegate


class RateLimit(Delegate):
    """Delays writes so that, from the first one on, at most `documents_per_second` pass on average."""

    def __init__(self, inner: Connector, documents_per_second: float) -> None:
        super().__init__(inner)
        self.documents_per_second = documents_per_second
        self._free_at = 0.0

    async def _wait_for(self, documents: int) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._free_at)
        self._free_at = start + documents / self.documents_per_second
        if start > now:
            await asyncio.sleep(start - now)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """See Connector."""
        await self._wait_for(len(request.data) or request.lines_count)
        return await super().WriteData(request)

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """See Connector."""
        await self._wait_for(len(request.updates))
        return await super().WriteUpdates(request)
