"""What holds for sources: plans cover everything once, pages repeat, cursors are portable and nothing is taken for one."""

# ruff: noqa: D102 - the names of tests are sentences

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from dsync import codec, wire
from dsync.codec import raw
from dsync.connector import Connector
from dsync.errors import (
    CursorError,
    DataError,
    EndpointError,
    GapError,
    NotFoundError,
    UnimplementedError,
    UsageError,
)
from dsync.testing import samples
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from dsync.testing.subject import (
    Subject,
    assert_silent,
    elsewhere,
    finish,
    pages,
    plan_of,
    read_partition,
    refused,
    through,
)

SAMPLE_DOCUMENTS = 500
UNKNOWN_TYPE = 77


class SourceTests:
    """GeneratePlan, ListData, GetByIds, GetNamespaceMetadata."""

    # Options that make the source cut its data into other partitions; each is tried.
    partitionings: ClassVar[Sequence[Mapping[str, Any]]] = ()

    def connector(self, endpoint: Any) -> Connector:
        """See ConnectorConformance."""
        raise NotImplementedError

    async def seed(self, subject: Subject, endpoint: Any, documents: Sequence[bytes]) -> bool:
        """Puts documents into `subject.namespace` before a test reads them; False where the source has only data of its own.

        By default they are written through the connector itself, where it is a sink.
        """
        if not subject.capabilities.HasField("sink"):
            return False
        await subject.write(subject.namespace, documents)
        return True

    @pytest_asyncio.fixture
    async def seeded(self, subject: Subject, endpoint: Any) -> list[bytes] | None:
        """The documents that the store holds; None where it has data of its own."""
        if not subject.capabilities.HasField("source"):
            pytest.skip("not a source")
        documents = samples.documents(SAMPLE_DOCUMENTS)
        return documents if await self.seed(subject, endpoint, documents) else None

    async def test_plans_cover_every_document_once_however_it_is_cut(
        self, subject: Subject, endpoint: Any, seeded: list[bytes] | None
    ) -> None:
        expected = subject.bag(await subject.read() if seeded is None else seeded)
        assert max(expected.values(), default=1) == 1, "a document comes twice"
        assert expected, "there is nothing to read"
        assert subject.bag(await subject.read()) == expected
        for options in self.partitionings:
            other = dataclasses.replace(endpoint, options={**endpoint.options, **options})
            async with through(subject.via, self.connector(other)) as connector:
                assert subject.bag(await subject.read(None, connector)) == expected, f"not so with {dict(options)}"

    async def test_a_plan_takes_the_names_it_is_asked_for(self, subject: Subject, seeded: list[bytes] | None) -> None:
        connector = subject.connector
        every = await plan_of(connector)
        namespace = every[0].namespace
        parent = namespace.rpartition(".")[0] or namespace
        for name in (namespace, parent):
            chosen = {part.namespace for part in await plan_of(connector, name)}
            assert namespace in chosen
            assert all(each == name or each.startswith(f"{name}.") for each in chosen)
        with refused(NotFoundError):
            await plan_of(connector, subject.name("conformance.missing"))

    async def test_pages_repeat_in_fresh_connectors_from_every_cursor(
        self, subject: Subject, seeded: list[bytes] | None
    ) -> None:
        connector = subject.connector
        for partition in (await plan_of(connector))[:3]:
            requests, seen = await _walk(connector, partition, subject.source_type)
            async with subject.fresh() as fresh:
                for index in reversed(range(len(seen))):
                    assert await connector.ListData(requests[index]) == seen[index], f"page {index} is another one now"
                    assert await fresh.ListData(requests[index]) == seen[index], f"page {index} is another elsewhere"

    async def test_every_cursor_leads_to_the_rest_in_a_fresh_connector(
        self, subject: Subject, seeded: list[bytes] | None
    ) -> None:
        [partition, *_] = await plan_of(subject.connector)
        requests, seen = await _walk(subject.connector, partition, subject.source_type)
        for index in sorted({1, len(seen) // 2, len(seen) - 1} & set(range(len(seen)))):
            async with subject.fresh() as fresh:
                rest = [page async for page in pages(fresh, partition, subject.source_type, requests[index].cursor)]
            assert rest == seen[index:]

    async def test_pages_are_the_same_in_another_process(
        self, subject: Subject, endpoint: Any, seeded: list[bytes] | None
    ) -> None:
        partition = (await plan_of(subject.connector))[-1]
        requests, seen = await _walk(subject.connector, partition, subject.source_type)
        assert await elsewhere(endpoint, subject, requests[:10][::-1]) == seen[:10][::-1]

    async def test_every_type_holds_the_same_documents(self, subject: Subject, seeded: list[bytes] | None) -> None:
        types = list(subject.capabilities.source.supported_data_types)
        connector = subject.connector
        for partition in (await plan_of(connector))[:2]:
            read = [await read_partition(connector, partition, data_type) for data_type in types]
            assert all(subject.list(each) == subject.list(read[0]) for each in read)

    async def test_pages_of_an_unknown_type_are_refused(self, subject: Subject, seeded: list[bytes] | None) -> None:
        connector = subject.connector
        [partition, *_] = await plan_of(connector)
        for data_type in (0, UNKNOWN_TYPE):
            request = wire.ListDataRequest(partition=partition, type=data_type)  # type: ignore[arg-type] # not a type
            with refused(UnimplementedError, UsageError):
                await connector.ListData(request)

    async def test_what_is_no_cursor_is_refused(self, subject: Subject, seeded: list[bytes] | None) -> None:
        connector = subject.connector
        [partition, *_] = await plan_of(connector)
        data_type = subject.source_type
        page = await connector.ListData(wire.ListDataRequest(partition=partition, type=data_type))
        own = {"partition": partition.cursor, "page": page.next_cursor}
        foreign = [*await _foreign_cursors(), *await self._positions(subject)]
        for cursor in samples.garbage(own) + foreign + [page.next_cursor] * bool(page.next_cursor):
            other = wire.Partition()
            other.CopyFrom(partition)
            other.cursor = cursor
            with refused(CursorError):
                await connector.ListData(wire.ListDataRequest(partition=other, type=data_type))
        for cursor in samples.garbage(own) + foreign + [partition.cursor]:
            with refused(CursorError):
                await connector.ListData(wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor))

    async def _positions(self, subject: Subject) -> list[bytes]:
        """The connector's own positions of change streams, where it has some."""
        if not subject.capabilities.source.updates:
            return []
        plan = await subject.connector.GeneratePlan(wire.GeneratePlanRequest(updates=True))
        return [part.cursor for part in plan.updates_partitions[:1] if part.cursor]

    async def test_cursors_of_another_partition_are_refused(self, subject: Subject, seeded: list[bytes] | None) -> None:
        connector, data_type = subject.connector, subject.source_type
        partitions = await plan_of(connector)
        for partition in partitions[:4]:
            page = await connector.ListData(wire.ListDataRequest(partition=partition, type=data_type))
            others = [other for other in partitions if other.cursor != partition.cursor]
            if page.next_cursor and others:
                request = wire.ListDataRequest(partition=others[0], type=data_type, cursor=page.next_cursor)
                with refused(CursorError):
                    await connector.ListData(request)
                return
        pytest.skip("no plan of these documents has two partitions of which one has two pages")

    async def test_damaged_cursors_are_refused_or_harmless(self, subject: Subject, seeded: list[bytes] | None) -> None:
        connector = subject.connector
        [partition, *_] = await plan_of(connector)
        data_type = subject.source_type
        page = await connector.ListData(wire.ListDataRequest(partition=partition, type=data_type))
        other = wire.Partition()
        other.CopyFrom(partition)
        for cursor in samples.flipped(partition.cursor):
            other.cursor = cursor
            await _list_or_refuse(connector, wire.ListDataRequest(partition=other, type=data_type))
        for cursor in samples.flipped(page.next_cursor):
            request = wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor)
            await _list_or_refuse(connector, request)

    async def test_many_calls_at_once_answer_like_one(self, subject: Subject, seeded: list[bytes] | None) -> None:
        connector = subject.connector
        partitions = await plan_of(connector)
        data_type = subject.source_type
        requests = [wire.ListDataRequest(partition=part, type=data_type) for part in partitions[:4]]
        alone = [await connector.ListData(request) for request in requests]
        together = await asyncio.gather(*(connector.ListData(request) for request in requests * 8))
        assert list(together) == alone * 8

    async def test_counts_are_exact_or_unknown(self, subject: Subject, seeded: list[bytes] | None) -> None:
        connector = subject.connector
        namespaces = sorted({part.namespace for part in await plan_of(connector)})
        for namespace in namespaces:
            known = await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=namespace))
            assert known.exists or not known.HasField("exists")
            assert known.count_unknown or known.count == len(await subject.read(namespace))
        missing = wire.GetNamespaceMetadataRequest(namespace=subject.name("conformance.missing"))
        known = await connector.GetNamespaceMetadata(missing)
        assert (known.exists, known.count) == (False, 0)

    async def test_documents_are_found_by_their_ids(self, subject: Subject, seeded: list[bytes] | None) -> None:
        if not subject.capabilities.source.get_by_ids:
            pytest.skip("the source does not offer GetByIds")
        connector = subject.connector
        [partition, *_] = await plan_of(connector)
        data_type = subject.source_type
        documents = (await read_partition(connector, partition, data_type))[:20]
        asked = [documents[-1], documents[0], documents[0], *documents]
        ids = [_id_of(document) for document in asked] + [_id_of(samples.documents(1, first=-999)[0])]
        answer = await connector.GetByIds(wire.GetByIdsRequest(namespace=partition.namespace, ids=ids, type=data_type))
        found = [item.data for item in answer.data]
        assert found[-1] == b"", "an id that is not there has an empty answer"
        assert subject.list(codec.convert(found[:-1], data_type, wire.BSON)) == subject.list(asked)

    async def test_what_is_no_id_is_refused_or_not_found(self, subject: Subject, seeded: list[bytes] | None) -> None:
        if not subject.capabilities.source.get_by_ids:
            pytest.skip("the source does not offer GetByIds")
        [partition, *_] = await plan_of(subject.connector)
        text = samples.CANARY.encode()
        for values in ([], [(raw.STRING, text)], [(200, text)], [(5000, text)], [(0, b"")]):
            asked = wire.GetByIdsRequest.IdRequest(id=[wire.BsonValue(type=kind, data=data) for kind, data in values])
            request = wire.GetByIdsRequest(namespace=partition.namespace, ids=[asked], type=subject.source_type)
            try:
                assert [item.data for item in (await subject.connector.GetByIds(request)).data] == [b""]
            except (DataError, UsageError, NotFoundError) as error:
                assert_silent(error)

    async def test_namespaces_without_documents_are_in_the_plan(
        self, subject: Subject, seeded: list[bytes] | None
    ) -> None:
        if seeded is None or not subject.capabilities.HasField("sink"):
            pytest.skip("nothing can be written to this source")
        if subject.capabilities.sink.keyed:
            pytest.skip("a keyed sink makes a namespace with its first document")
        connector = subject.connector
        await finish(connector, subject.namespace, 0)
        [partition, *_] = await plan_of(connector)
        assert partition.namespace == subject.namespace
        assert await read_partition(connector, partition, subject.source_type) == []


async def _walk(
    connector: Connector, partition: wire.Partition, data_type: wire.Type
) -> tuple[list[wire.ListDataRequest], list[wire.ListDataResponse]]:
    """All requests that read a partition, with the page that each of them gets."""
    seen = [page async for page in pages(connector, partition, data_type)]
    cursors = [b"", *(page.next_cursor for page in seen[:-1])]
    return [wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor) for cursor in cursors], seen


def _id_of(document: bytes) -> wire.GetByIdsRequest.IdRequest:
    kind, value = raw.id_of(document)
    return wire.GetByIdsRequest.IdRequest(id=[wire.BsonValue(data=value, type=kind, name="_id")])


async def _foreign_cursors() -> list[bytes]:
    """Those of another connector."""
    store = MemoryStore("elsewhere")
    store.load("elsewhere.docs", samples.documents(300))
    async with through("direct", MemoryConnector(store)) as connector:
        plan = await connector.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True, updates=True))
        page = await connector.ListData(wire.ListDataRequest(partition=plan.partitions[0], type=wire.BSON))
        return [plan.partitions[0].cursor, page.next_cursor, plan.updates_partitions[0].cursor]


async def _list_or_refuse(connector: Connector, request: wire.ListDataRequest) -> None:
    """A page is an answer, too: a changed byte may make another valid cursor. Other errors than these are not."""
    try:
        await connector.ListData(request)
    except (CursorError, UsageError, NotFoundError, DataError, EndpointError, GapError):
        return
