"""Headers of partitions go along with their calls, unless they would be something else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from dsync import wire
from dsync.errors import DataError
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from dsync.testing.subject import first
from dsync.wire.guard import Guard
from dsync.wire.routing import header
from dsync.wire.server import ServerSettings
from tests.wire.served import served


class Seen(grpc.aio.ServerInterceptor):
    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        method = handler_call_details.method.rpartition("/")[2]
        self.calls.append((method, dict(handler_call_details.invocation_metadata)))
        return await continuation(handler_call_details)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    watcher = Seen()
    monkeypatch.setattr(Guard, "interceptors", lambda _: [watcher])
    return watcher


async def test_pages_and_streams_of_a_partition_carry_its_header(seen: Seen) -> None:
    store = MemoryStore()
    store.load("a.docs", [])
    async with served(MemoryConnector(store), ServerSettings()) as client:
        plan = await client.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True, updates=True))
        [partition, *_] = plan.partitions
        partition.partition_header, partition.partition_value = "X-Shard", "7 of 9"
        await client.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))
        request = wire.StreamUpdatesRequest(type=wire.BSON, cursor=plan.updates_partitions[0].cursor)
        request.partition_header, request.partition_value = "X-Shard", "8 of 9"
        await first(client.StreamUpdates(request))
    shards = {method: metadata.get("x-shard") for method, metadata in seen.calls}
    assert shards == {"GetInfo": None, "GeneratePlan": None, "ListData": "7 of 9", "StreamUpdates": "8 of 9"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer other"),
        ("Authorization", "Bearer other"),
        ("grpc-timeout", "1S"),
        (":path", "/other"),
        ("x-bin", "value"),
        ("", "value"),
        ("x y", "value"),
        ("x", "line\r\nother: header"),
        ("x", "ключ"),
        ("x", "\x00"),
        ("x", "v" * 5000),
        ("host", "elsewhere"),
    ],
)
def test_a_header_that_would_be_another_one_is_refused(name: str, value: str) -> None:
    with pytest.raises(DataError, match="which a call cannot carry"):
        header(name, value)


def test_without_a_value_there_is_no_header() -> None:
    assert header("x", "") == ()
    assert header("X-Shard", "a") == (("x-shard", "a"),)
