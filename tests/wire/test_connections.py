"""Connections that networks damage come back; the run goes on, and what was sent twice changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from dsync import wire
from dsync.connector import Connector
from dsync.errors import EndpointError, TransientError
from dsync.run import migrate
from dsync.testing import samples
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from dsync.wire import peer
from dsync.wire.client import GrpcConnector
from dsync.wire.server import ServerSettings, serving
from tests.engine.driving import settings
from tests.trials import proxy
from tests.trials.proxy import Fault, Proxy

SMALL_PAGES = ServerSettings(page_bytes=1)
PATIENCE_SECONDS = 60


@asynccontextmanager
async def behind_a_proxy(store: MemoryStore, server: ServerSettings = SMALL_PAGES) -> AsyncIterator[Proxy]:
    """A server of the store, and a proxy before it that can damage its connections."""
    async with (
        MemoryConnector(store, Shape(page_documents=20)) as connector,
        serving(connector, "127.0.0.1:0", server) as port,
    ):
        before = proxy.before("127.0.0.1", port)
        damaging = await asyncio.to_thread(before.__enter__)
        try:
            yield damaging
        finally:
            await asyncio.to_thread(before.__exit__, None, None, None)


def client(damaging: Proxy, **options: Any) -> GrpcConnector:
    return GrpcConnector(f"grpc://127.0.0.1:{damaging.port}", {"insecure": True} | options)


async def until(true: Any, run: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():
            assert not run.done(), run
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("fault", ["reset", "cut", "refuse", "black hole"])
@pytest.mark.parametrize("end", ["source", "sink"])
async def test_a_copy_goes_on_over_a_connection_that_was_damaged(fault: Fault, end: str) -> None:
    here, there, documents = MemoryStore("here"), MemoryStore("there"), samples.documents(1000)
    (there if end == "source" else here).load("a.docs", documents)
    async with behind_a_proxy(there) as damaging:
        own, other = MemoryConnector(here, Shape(page_documents=20)), client(damaging, deadline=2.0)
        ends: tuple[Connector, Connector] = (other, own) if end == "source" else (own, other)
        damaging.break_with(fault, after_bytes=60_000)
        how = replace(settings(), retry_for=PATIENCE_SECONDS, writer_batch_size=50)
        run = asyncio.create_task(migrate(ends[0], ends[1], how))
        await until(lambda: damaging.struck, run)
        damaging.mend()
        assert (await run).complete
    assert sorted(here.documents("a.docs")) == sorted(there.documents("a.docs")) == sorted(documents)


@pytest.mark.parametrize("fault", ["reset", "cut", "refuse"])
async def test_changes_are_followed_on_over_a_connection_that_was_damaged(fault: Fault) -> None:
    here, there, stop = MemoryStore("here"), MemoryStore("there"), asyncio.Event()
    there.load("a.docs", samples.documents(10))
    async with behind_a_proxy(there) as damaging:
        how = replace(settings(), mode="Full", retry_for=PATIENCE_SECONDS)
        run = asyncio.create_task(migrate(client(damaging), MemoryConnector(here), how, stop=stop))
        await until(lambda: len(here.documents("a.docs")) == 10, run)
        for first in (100, 200):
            there.put("a.docs", samples.documents(1, first)[0])
            await until(lambda: here.documents("a.docs") == there.documents("a.docs"), run)
            damaging.break_with(fault)
            there.put("a.docs", samples.documents(1, first + 1)[0])
            await until(lambda: damaging.struck, run)
            damaging.mend()
        await until(lambda: here.documents("a.docs") == there.documents("a.docs"), run)
        stop.set()
        await run


async def test_a_stream_on_a_connection_that_went_silent_is_noticed() -> None:
    store = MemoryStore()
    async with behind_a_proxy(store) as damaging, client(damaging, keepalive=5.0) as connector:
        stream = connector.StreamUpdates(wire.StreamUpdatesRequest(type=wire.BSON))
        await anext(stream)
        damaging.break_with("black hole")
        with pytest.raises(TransientError):
            async for _ in stream:
                pass


async def test_a_call_without_an_answer_ends_at_its_deadline() -> None:
    async with behind_a_proxy(MemoryStore()) as damaging, client(damaging, deadline=0.5) as connector:
        damaging.break_with("black hole")
        with pytest.raises(TransientError):
            await connector.GetInfo(wire.GetInfoRequest())


async def test_nobody_at_the_address_is_an_endpoints_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "CONNECT_SECONDS", 0.5)
    async with behind_a_proxy(MemoryStore()) as damaging:
        damaging.break_with("refuse")
        with pytest.raises(EndpointError, match=r"no gRPC connection to '127.0.0.1:\d+': .*; check that a server"):
            async with client(damaging):
                pass


async def test_messages_are_compressed_where_that_is_asked_for() -> None:
    async def passed(gzip: bool) -> int:
        store = MemoryStore()
        async with (
            behind_a_proxy(store, ServerSettings(gzip=gzip)) as damaging,
            client(damaging, gzip=gzip) as connector,
        ):
            data = samples.documents(50, size=5000)
            await connector.WriteData(wire.WriteDataRequest(namespace="a.docs", data=data, type=wire.BSON))
            for partition in (await connector.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))).partitions:
                await connector.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))
            assert sorted(store.documents("a.docs")) == sorted(data)
            return damaging.passed

    assert await passed(gzip=True) * 10 < await passed(gzip=False)


async def test_a_server_that_takes_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "CONNECT_SECONDS", 0.5)
    async with behind_a_proxy(MemoryStore()) as damaging:
        damaging.break_with("black hole")
        with pytest.raises(EndpointError, match="no gRPC connection"):
            async with client(damaging):
                pass
