"""Messages over the limit are refused on both sides, as errors that are not tried again; what fits, works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from dsync import wire
from dsync.errors import DataError
from dsync.run import migrate
from dsync.testing import samples
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from dsync.wire.client import GrpcConnector
from dsync.wire.limits import MOST_BYTES, PREFERRED_BATCH_BYTES
from dsync.wire.server import serving
from tests.engine.driving import settings
from tests.kit.cli import Dsync
from tests.wire.served import SERVICE, every_page, failure, in_another_process, joined, raw_channel, served

MEGABYTE = 1 << 20


def batch(documents: list[bytes]) -> wire.WriteDataRequest:
    return wire.WriteDataRequest(namespace="a.docs", data=documents, type=wire.BSON)


async def test_a_document_of_16_mb_comes_over_both_ways() -> None:
    [large] = samples.documents(1, size=samples.LARGEST_DOCUMENT_BYTES - 200)
    async with served(MemoryConnector(MemoryStore())) as client:
        await client.WriteData(batch([large]))
        assert joined(await every_page(client)) == [large]


async def test_a_batch_over_the_limit_is_refused_before_it_is_sent() -> None:
    store = MemoryStore()
    async with served(MemoryConnector(store)) as client:
        with pytest.raises(DataError, match=r"a request of WriteData takes 7\d\.\d MiB, and a message holds 64.0 MiB"):
            await client.WriteData(batch(samples.documents(5, size=15 * MEGABYTE)))
    assert not store.documents("a.docs")


class Uncut(MemoryConnector):
    """Pages of a number of documents, however large."""

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        documents, size = self.store.documents(request.partition.namespace), self.shape.page_documents
        at = int(request.cursor or b"0")
        following = at + size
        more = b"%d" % following if following < len(documents) else b""
        return wire.ListDataResponse(data=documents[at:following], next_cursor=more)


async def test_a_page_over_the_limit_is_an_error_that_is_not_tried_again() -> None:
    store = MemoryStore()
    store.load("a.docs", samples.documents(5, size=15 * MEGABYTE))
    async with served(Uncut(store, Shape(partitions=1))) as client:
        with pytest.raises(DataError, match=r"an answer of ListData takes .* smaller pages"):
            await every_page(client)


async def test_updates_over_the_limit_go_in_parts_and_in_order() -> None:
    store = MemoryStore()
    documents = samples.documents(6, size=15 * MEGABYTE)
    ids = [wire.BsonValue(data=index.to_bytes(4, "little"), type=16, name="_id") for index in range(6)]
    updates = [wire.Update(id=[ids[0]], type=wire.INSERT, data=documents[0])]
    updates += [wire.Update(id=[at], type=wire.INSERT, data=data) for at, data in zip(ids, documents, strict=True)]
    updates += [wire.Update(id=[ids[0]], type=wire.DELETE)]
    async with served(MemoryConnector(store)) as client:
        await client.WriteUpdates(wire.WriteUpdatesRequest(namespace="a.docs", updates=updates, type=wire.BSON))
    assert store.documents("a.docs") == documents[1:]


async def test_documents_by_ids_over_the_limit_come_in_parts() -> None:
    store = MemoryStore()
    documents = samples.documents(6, size=15 * MEGABYTE)
    store.load("a.docs", documents)
    ids = [
        wire.GetByIdsRequest.IdRequest(id=[wire.BsonValue(data=index.to_bytes(4, "little"), type=16)])
        for index in (*range(6), 77)
    ]
    async with served(MemoryConnector(store)) as client:
        answer = await client.GetByIds(wire.GetByIdsRequest(namespace="a.docs", ids=ids, type=wire.BSON))
    assert [item.data for item in answer.data] == [*documents, b""]


async def test_a_sink_may_wish_for_no_more_than_fits() -> None:
    async with served(MemoryConnector(MemoryStore(), Shape(preferred_batch_bytes=1 << 30))) as client:
        info = await client.GetInfo(wire.GetInfoRequest())
    assert info.capabilities.sink.preferred_batch_bytes == PREFERRED_BATCH_BYTES


async def test_a_server_refuses_a_message_over_the_limit() -> None:
    async with raw_channel(MemoryConnector(MemoryStore())) as channel:
        error = await failure(channel, "WriteData", batch([bytes(MOST_BYTES)]).SerializeToString())
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_small_message_that_inflates_over_the_limit_takes_no_memory(tmp_path: Path) -> None:
    options = [("grpc.max_send_message_length", -1)]
    with in_another_process(Dsync(tmp_path), "/dev/null") as (port, server):
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", compression=grpc.Compression.Gzip, options=options
        ) as channel:
            call: Any = channel.unary_unary(SERVICE + "WriteData")
            await call(batch(samples.documents(1, size=MEGABYTE)).SerializeToString())
            before = peak_bytes(server.pid)
            error = await failure(channel, "WriteData", batch([bytes(400 * MEGABYTE)]).SerializeToString())
            grown = peak_bytes(server.pid) - before
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert grown < MOST_BYTES * 3 // 2


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


async def test_what_is_no_message_is_refused_as_such() -> None:
    async with raw_channel(MemoryConnector(MemoryStore())) as channel:
        for method in ("GetInfo", "WriteData", "ListData", "GetByIds", "GeneratePlan"):
            error = await failure(channel, method, b"\xff\xff\xff")
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert f"the request of {method} is no adiom.v1.{method}Request" in (error.details() or "")
        call: Any = channel.unary_stream(SERVICE + "StreamUpdates")
        with pytest.raises(grpc.aio.AioRpcError, match="StreamUpdates is no adiom"):
            async for _ in call(b"\xff\xff\xff"):
                pass


async def test_pages_that_do_not_fit_into_a_message_together_are_batches_of_their_own() -> None:
    source, target = MemoryStore("source"), MemoryStore("target")
    # pages of 30 and of 45 MiB: the first one alone is less than the sink wishes for, both are more than a message holds
    source.load("a.docs", [*samples.documents(3, size=10 * MEGABYTE), *samples.documents(3, 3, size=15 * MEGABYTE)])
    reader = Uncut(source, Shape(partitions=1, page_documents=3))
    async with (
        MemoryConnector(target, Shape(preferred_batch_bytes=1 << 30)) as sink,
        serving(sink, "127.0.0.1:0") as port,
    ):
        writer = GrpcConnector(f"grpc://127.0.0.1:{port}", {"insecure": True})
        result = await migrate(reader, writer, settings(memory_limit=4 << 30))
    assert result.complete
    assert sorted(target.documents("a.docs")) == sorted(source.documents("a.docs"))
