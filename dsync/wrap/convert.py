"""A source that speaks a type that its store does not have."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dsync import codec, wire
from dsync.connector import Connector
from dsync.wrap.delegate import Delegate


class Convert(Delegate):
    """Asks the inner source for `native` and answers in the type asked for; lossless both ways (see dsync.codec)."""

    def __init__(self, inner: Connector, native: wire.Type) -> None:
        super().__init__(inner)
        self.native = native

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """See Connector."""
        page = await super().ListData(
            wire.ListDataRequest(partition=request.partition, cursor=request.cursor, type=self.native)
        )
        data = codec.convert(page.data, self.native, request.type)
        return wire.ListDataResponse(data=data, next_cursor=page.next_cursor)

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """See Connector."""
        answer = await super().GetByIds(
            wire.GetByIdsRequest(namespace=request.namespace, ids=request.ids, type=self.native)
        )
        found = iter(codec.convert([item.data for item in answer.data if item.data], self.native, request.type))
        items = [wire.GetByIdsResponse.ResponseItem(data=next(found) if item.data else b"") for item in answer.data]
        return wire.GetByIdsResponse(data=items)

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """See Connector."""
        native = wire.StreamUpdatesRequest()
        native.CopyFrom(request)
        native.type = self.native
        async for answer in self.inner.StreamUpdates(native):
            full = [update for update in answer.updates if update.data]
            for update, data in zip(
                full, codec.convert([update.data for update in full], self.native, request.type), strict=True
            ):
                update.data = data
            yield answer
