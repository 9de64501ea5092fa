"""Short ways to drive a connector."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

from dsync import wire
from dsync.connector import Connector


async def plan(source: Connector, *namespaces: str, updates: bool = False) -> wire.GeneratePlanResponse:
    return await source.GeneratePlan(
        wire.GeneratePlanRequest(namespaces=namespaces, initial_sync=True, updates=updates)
    )


async def read_all(source: Connector, data_type: wire.Type = wire.BSON, *namespaces: str) -> list[bytes]:
    documents: list[bytes] = []
    for partition in (await plan(source, *namespaces)).partitions:
        cursor = b""
        while True:
            page = await source.ListData(wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor))
            documents += page.data
            cursor = page.next_cursor
            if not cursor:
                break
    return documents


async def follow(
    source: Connector, messages: int, cursor: bytes, data_type: wire.Type = wire.BSON, namespaces: Sequence[str] = ()
) -> list[wire.StreamUpdatesResponse]:
    request = wire.StreamUpdatesRequest(namespaces=namespaces, type=data_type, cursor=cursor)
    async with aclosing(cast("Any", source.StreamUpdates(request))) as stream:
        return [await anext(stream) for _ in range(messages)]


async def follow_updates(source: Connector, count: int, cursor: bytes = b"") -> list[wire.Update]:
    updates: list[wire.Update] = []
    request = wire.StreamUpdatesRequest(type=wire.BSON, cursor=cursor)
    async with aclosing(cast("Any", source.StreamUpdates(request))) as stream:
        while len(updates) < count:
            updates += (await anext(stream)).updates
    return updates[:count]
