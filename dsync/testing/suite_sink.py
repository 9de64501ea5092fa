"""What holds for sinks: what was answered is durable, what is repeated changes nothing, whatever the names and the documents."""

# ruff: noqa: D102 - the names of tests are sentences

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dsync import codec, wire
from dsync.errors import DataError, DsyncError, UnimplementedError, UsageError
from dsync.testing import samples
from dsync.testing.subject import (
    FLOW,
    Subject,
    assert_logs_silent,
    assert_silent,
    finish,
    hear_logs,
    killed_after,
    pages,
    plan_of,
    read_partition,
    refused,
)

UNKNOWN_TYPE = 77
# Bytes of a gRPC message. A page that has less than another, and one document more, is sure to fit into one.
MOST_BYTES, FULL_PAGE_BYTES = 64 << 20, 24 << 20
LARGE_BYTES = 7 << 20
Part = wire.FinishNamespaceRequest.Part


class SinkTests:
    """WriteData, FinishNamespace, GetNamespaceMetadata. What was written is read back where the connector is a source, too."""

    @pytest.fixture
    def sink(self, subject: Subject) -> wire.Capabilities.Sink:
        """What the sink says of itself."""
        if not subject.capabilities.HasField("sink"):
            pytest.skip("not a sink")
        return subject.capabilities.sink

    @pytest.fixture
    def readable(self, subject: Subject, sink: wire.Capabilities.Sink) -> wire.Capabilities.Sink:
        """The same, where what was written can be read."""
        if not subject.capabilities.HasField("source"):
            pytest.skip("not a source: what was written cannot be read back")
        return sink

    async def test_every_offered_type_is_taken(self, subject: Subject, sink: wire.Capabilities.Sink) -> None:
        documents = samples.documents(20)
        connector = subject.connector
        for ordinal, data_type in enumerate(sink.supported_data_types):
            data = codec.convert(documents, wire.BSON, data_type)
            write_id = f"{FLOW}/p/{ordinal}/{subject.namespace}"
            request = wire.WriteDataRequest(namespace=subject.namespace, data=data, type=data_type, write_id=write_id)
            assert await connector.WriteData(request) == wire.WriteDataResponse()
        await finish(connector, subject.namespace, len(sink.supported_data_types))

    async def test_batches_of_an_unknown_type_are_refused(self, subject: Subject, sink: wire.Capabilities.Sink) -> None:
        connector = subject.connector
        for data_type in (0, UNKNOWN_TYPE):
            request = wire.WriteDataRequest(namespace=subject.namespace, data=[b"{}"], type=data_type)  # type: ignore[arg-type] # not a type
            with refused(UnimplementedError, UsageError):
                await connector.WriteData(request)

    async def test_what_was_written_is_read_by_another_connector(
        self, subject: Subject, readable: wire.Capabilities.Sink
    ) -> None:
        documents = samples.documents(120)
        await subject.write(subject.namespace, documents, batches=3)
        async with subject.fresh() as other:
            assert subject.bag(await subject.read(subject.namespace, other)) == subject.bag(documents)

    async def test_every_type_of_value_comes_back(self, subject: Subject, readable: wire.Capabilities.Sink) -> None:
        documents = samples.every_type()
        await subject.write(subject.namespace, documents)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_the_largest_documents_come_back_in_pages_that_can_be_sent(
        self, subject: Subject, readable: wire.Capabilities.Sink
    ) -> None:
        large = [samples.largest(), *(samples.largest(f"large {number}", LARGE_BYTES) for number in range(4))]
        documents = [*samples.documents(3), *large]
        await subject.write(subject.namespace, documents, batches=4)
        found: list[bytes] = []
        for partition in await plan_of(subject.connector, subject.namespace):
            async for page in pages(subject.connector, partition, subject.source_type):
                assert sum(map(len, page.data[:-1])) <= FULL_PAGE_BYTES, "a page of so many bytes is full"
                found += codec.convert(page.data, subject.source_type, wire.BSON)
        assert subject.bag(found) == subject.bag(documents)

    async def test_a_batch_of_the_size_that_the_sink_likes_is_taken(
        self, subject: Subject, sink: wire.Capabilities.Sink
    ) -> None:
        wish = sink.preferred_batch_bytes
        assert wish <= MOST_BYTES // 2, "a batch is as large as the sink likes, and a document more"
        [one] = samples.documents(1)
        await subject.write(subject.namespace, samples.documents(max(1, wish // len(one))), batches=1)

    async def test_a_repeated_batch_changes_nothing(self, subject: Subject, readable: wire.Capabilities.Sink) -> None:
        documents = samples.documents(60)
        connector = subject.connector
        for ordinal in (0, 1, 0, 1, 1):
            half = documents[ordinal * 30 : ordinal * 30 + 30]
            await connector.WriteData(subject.batch(subject.namespace, half, ordinal))
        await finish(connector, subject.namespace, 2)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_a_batch_is_replaced_by_what_comes_under_its_id(
        self, subject: Subject, readable: wire.Capabilities.Sink
    ) -> None:
        old, new = samples.documents(30, size=10), samples.documents(30, size=20)
        connector = subject.connector
        for documents in (old, new):
            await connector.WriteData(subject.batch(subject.namespace, documents, 0))
        await finish(connector, subject.namespace, 1)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(new)

    async def test_batches_without_an_id_are_published_at_once(
        self, subject: Subject, readable: wire.Capabilities.Sink
    ) -> None:
        documents = samples.documents(60)
        connector = subject.connector
        for batch in (documents[:30], documents[30:]):
            await connector.WriteData(subject.batch(subject.namespace, batch, None))
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_many_writes_at_once_are_all_kept(self, subject: Subject, readable: wire.Capabilities.Sink) -> None:
        documents = samples.documents(160)
        connector = subject.connector
        batches = [
            subject.batch(subject.namespace, documents[ordinal * 5 : ordinal * 5 + 5], ordinal) for ordinal in range(32)
        ]
        await asyncio.gather(*map(connector.WriteData, batches))
        await finish(connector, subject.namespace, len(batches))
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_the_end_may_be_said_again(self, subject: Subject, readable: wire.Capabilities.Sink) -> None:
        documents = samples.documents(40)
        await subject.write(subject.namespace, documents)
        for _ in range(2):
            await finish(subject.connector, subject.namespace, 2)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_a_published_namespace_knows_its_flow(self, subject: Subject, sink: wire.Capabilities.Sink) -> None:
        request = wire.GetNamespaceMetadataRequest(namespace=subject.namespace)
        connector = subject.connector
        before = await connector.GetNamespaceMetadata(request)
        assert (before.exists, before.count, before.flow) == (False, 0, "")
        await subject.write(subject.namespace, samples.documents(20))
        after = await connector.GetNamespaceMetadata(request)
        assert after.count_unknown or (after.exists, after.count) == (True, 20)
        assert sink.keyed or after.flow == FLOW

    async def test_hostile_names_stay_apart_or_are_refused(
        self, subject: Subject, readable: wire.Capabilities.Sink
    ) -> None:
        taken: dict[str, bytes] = {}
        for index, hostile in enumerate(samples.HOSTILE_NAMES.values()):
            [document] = samples.documents(1, first=index)
            if await _taken(subject, subject.name(hostile), document):
                taken[subject.name(hostile)] = document
        assert taken, "no name at all was taken"
        found: dict[str, list[object]] = {}
        for partition in await plan_of(subject.connector):
            documents = await read_partition(subject.connector, partition, subject.source_type)
            found.setdefault(partition.namespace, []).extend(subject.list(documents))
        assert found == {name: subject.list([document]) for name, document in taken.items()}

    @pytest.mark.parametrize("kind", ["parent", "above", "absolute", "nul", "long", "emoji", "trailing space"])
    async def test_a_hostile_name_comes_back_as_it_is(
        self, subject: Subject, readable: wire.Capabilities.Sink, kind: str
    ) -> None:
        name = subject.name(samples.HOSTILE_NAMES[kind])
        [document] = samples.documents(1)
        if not await _taken(subject, name, document):
            pytest.skip(f"the store refuses {name!r}")
        assert {part.namespace for part in await plan_of(subject.connector)} == {name}
        assert subject.list(await subject.read(name)) == subject.list([document])

    async def test_what_is_no_document_is_refused_and_not_quoted(
        self, subject: Subject, endpoint: Any, readable: wire.Capabilities.Sink, caplog: pytest.LogCaptureFixture
    ) -> None:
        hear_logs(caplog, endpoint)
        good = samples.documents(5)
        for data_type in readable.supported_data_types:
            bad = samples.malformed(good[0])["bson" if data_type == wire.BSON else "text"]
            for item in bad:
                data = [*codec.convert(good, wire.BSON, data_type), item]
                write_id = f"{FLOW}/p/0/{subject.namespace}"
                request = wire.WriteDataRequest(
                    namespace=subject.namespace, data=data, type=data_type, write_id=write_id
                )
                with refused(DataError, UsageError):
                    await subject.connector.WriteData(request)
        assert_logs_silent(caplog, endpoint)
        await subject.write(subject.namespace, good)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(good)

    async def test_a_cancelled_write_can_be_repeated(self, subject: Subject, readable: wire.Capabilities.Sink) -> None:
        documents = samples.documents(200)
        connector = subject.connector
        request = subject.batch(subject.namespace, documents, 0)
        for waits in range(4):
            writing = asyncio.ensure_future(connector.WriteData(request))
            for _ in range(waits):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        await connector.WriteData(request)
        await finish(connector, subject.namespace, 1)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_an_answered_write_survives_a_kill(
        self, subject: Subject, endpoint: Any, readable: wire.Capabilities.Sink
    ) -> None:
        documents = samples.documents(100)
        batches = [subject.batch(subject.namespace, documents[start:][:50], start // 50) for start in (0, 50)]
        await killed_after(endpoint, subject, batches)
        await finish(subject.connector, subject.namespace, 2)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_an_answered_end_survives_a_kill(
        self, subject: Subject, endpoint: Any, readable: wire.Capabilities.Sink
    ) -> None:
        documents = samples.documents(50)
        batch = subject.batch(subject.namespace, documents, 0)
        end = wire.FinishNamespaceRequest(namespace=subject.namespace, flow=FLOW, parts=[Part(partition="p", count=1)])
        await killed_after(endpoint, subject, [batch] if readable.keyed else [batch, end])
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)


async def _taken(subject: Subject, name: str, document: bytes) -> bool:
    """Whether a store takes a namespace of this name; a refusal is an error that can be acted on."""
    try:
        await subject.connector.WriteData(subject.batch(name, [document], 0))
        await finish(subject.connector, name, 1)
    except DsyncError as error:
        assert error.status in {UsageError.status, DataError.status}, f"refused, but as {error!r}"
        assert_silent(error)
        return False
    return True
