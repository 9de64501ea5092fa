"""Cursors from the wire are data: whatever comes instead of one is refused as such, by every connector."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.testing import samples
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from tests.wire.served import SERVICE, failure, raw_channel
from tests.wire.stores import STORES

HUGE = (b"x" * (5 << 20), b'{"a":' * 20_000, b"\x00\x00\x50\x00" + bytes((5 << 20) - 4), b"9" * 100_000)
SECONDS = 20.0


@pytest.fixture(params=list(STORES))
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Endpoint:
    return STORES[request.param](request, tmp_path)


@pytest.fixture
async def channel(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> AsyncIterator[grpc.aio.Channel]:
    """To a server before the store; at the end no call was a defect to it."""
    async with raw_channel(endpoint.create()) as channel:
        yield channel
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def plan_of(channel: grpc.aio.Channel) -> tuple[wire.GeneratePlanResponse, wire.Type, bool]:
    """(the plan, the type that the source likes best, whether it streams)."""
    info = wire.GetInfoResponse.FromString(await _call(channel, "GetInfo", wire.GetInfoRequest()))
    source = info.capabilities.source
    request = wire.GeneratePlanRequest(initial_sync=True, updates=source.updates)
    plan = wire.GeneratePlanResponse.FromString(await _call(channel, "GeneratePlan", request))
    return plan, source.supported_data_types[0], source.updates


async def _call(channel: grpc.aio.Channel, method: str, request: Any) -> bytes:
    call: Any = channel.unary_unary(SERVICE + method)
    answer: bytes = await call(request.SerializeToString(), timeout=SECONDS)
    return answer


async def foreign() -> list[bytes]:
    """Cursors of another kind of store."""
    store = MemoryStore("elsewhere")
    store.load("elsewhere.docs", samples.documents(300))
    async with MemoryConnector(store) as connector:
        plan = await connector.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True, updates=True))
        page = await connector.ListData(wire.ListDataRequest(partition=plan.partitions[0], type=wire.BSON))
    return [plan.partitions[0].cursor, page.next_cursor, plan.updates_partitions[0].cursor]


def assert_refused(error: grpc.aio.AioRpcError, cursor: bytes) -> None:
    shown = cursor[:80]
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, (error.code(), error.details(), shown)
    said = error.details() or ""
    assert said and "Traceback" not in said and "Error(" not in said and len(said) <= 1000, (said, shown)


async def test_a_partition_is_read_with_its_own_cursor_only(channel: grpc.aio.Channel) -> None:
    plan, data_type, _ = await plan_of(channel)
    own = plan.partitions[0]
    for cursor in [b"", *samples.garbage({"partition": own.cursor}), *HUGE, *await foreign()]:
        partition = wire.Partition(namespace=own.namespace, cursor=cursor)
        request = wire.ListDataRequest(partition=partition, type=data_type)
        assert_refused(await failure(channel, "ListData", request.SerializeToString()), cursor)


async def test_a_page_is_read_with_a_cursor_of_its_partition_only(channel: grpc.aio.Channel) -> None:
    plan, data_type, _ = await plan_of(channel)
    own = plan.partitions[0]
    for cursor in [own.cursor, *samples.garbage({}), *HUGE, *await foreign()]:
        request = wire.ListDataRequest(partition=own, type=data_type, cursor=cursor)
        assert_refused(await failure(channel, "ListData", request.SerializeToString()), cursor)


async def test_a_partition_of_another_plan_is_refused(channel: grpc.aio.Channel) -> None:
    plan, data_type, _ = await plan_of(channel)
    names = sorted({partition.namespace for partition in plan.partitions})
    if len(names) < 2:
        pytest.skip("the store has one namespace")
    for partition in plan.partitions[:2]:
        for name in {*names, "elsewhere.docs", ""} - {partition.namespace}:
            moved = wire.Partition(namespace=name, cursor=partition.cursor)
            request = wire.ListDataRequest(partition=moved, type=data_type)
            assert_refused(await failure(channel, "ListData", request.SerializeToString()), partition.cursor)


async def test_a_stream_is_followed_from_a_position_only(channel: grpc.aio.Channel) -> None:
    plan, data_type, streams = await plan_of(channel)
    if not streams:
        pytest.skip("the store has no change stream")
    own = plan.updates_partitions[0]
    for cursor in [*samples.garbage({"position": own.cursor}), *HUGE, *await foreign(), plan.partitions[0].cursor]:
        request = wire.StreamUpdatesRequest(namespaces=own.namespaces, type=data_type, cursor=cursor)
        call: Any = channel.unary_stream(SERVICE + "StreamUpdates")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call(request.SerializeToString(), timeout=SECONDS):
                raise AssertionError(f"followed from {cursor[:80]!r}")
        assert_refused(caught.value, cursor)
