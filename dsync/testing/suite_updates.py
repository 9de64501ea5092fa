"""What holds for change streams and for sinks that take updates: order per id, positions that go on anywhere."""

# ruff: noqa: D102 - the names of tests are sentences

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import bson
import pytest
import pytest_asyncio

from dsync import codec, wire
from dsync.codec import raw
from dsync.connector import Connector
from dsync.errors import CursorError, DataError, GapError, UnimplementedError, UsageError
from dsync.testing import samples
from dsync.testing.subject import (
    PATIENCE_SECONDS,
    Subject,
    assert_logs_silent,
    first,
    hear_logs,
    killed_after,
    plan_of,
    refused,
)

ENOUGH_UPDATES = 60
UNKNOWN_TYPE = 77
# Namespace, and the id's bytes.
Id = tuple[str, bytes]


class Seen(NamedTuple):
    """An update: the document after it, empty after a delete."""

    id: Id
    data: bytes


@dataclass(frozen=True)
class Followed:
    """A change stream: where it is followed from, and what it comes to.

    `final` has the last document of each id (empty bytes: deleted) that was written after the position; it is empty where the
    connector makes its updates up. In between a store may leave out states that others have replaced.
    """

    position: bytes
    namespaces: tuple[str, ...]
    final: Mapping[Id, bytes]

    async def stream(
        self, connector: Connector, data_type: wire.Type
    ) -> AsyncGenerator[wire.StreamUpdatesResponse, None]:
        """The messages from the position on."""
        request = wire.StreamUpdatesRequest(namespaces=self.namespaces, type=data_type, cursor=self.position)
        async for message in connector.StreamUpdates(request):
            yield message

    async def read(self, connector: Connector, data_type: wire.Type, before: Sequence[Seen] = ()) -> list[Seen]:
        """Updates from the position on, until together with those `before` they come to what is expected."""
        seen: list[Seen] = []
        async with asyncio.timeout(PATIENCE_SECONDS), aclosing(self.stream(connector, data_type)) as stream:
            while not self.is_enough([*before, *seen]):
                seen += _seen(await anext(stream), data_type)
        return seen

    def is_enough(self, seen: Sequence[Seen]) -> bool:
        """Whether these updates lead to the final state, or are many where there is none."""
        if not self.final:
            return len(seen) >= ENOUGH_UPDATES
        state = {update.id: update.data for update in seen}
        return all(state.get(identity) == data for identity, data in self.final.items())


class UpdatesTests:
    """WriteUpdates, StreamUpdates, StreamLSN."""

    @pytest.fixture
    def keyed(self, subject: Subject) -> None:
        """A keyed sink that takes updates and can be read."""
        if not subject.capabilities.sink.updates:
            pytest.skip("not a sink of updates")
        if not subject.capabilities.HasField("source") or not subject.capabilities.sink.keyed:
            pytest.skip("what updates do cannot be read back")

    @pytest_asyncio.fixture
    async def followed(self, subject: Subject) -> Followed:
        """A position, after which things were changed where the connector is a sink, too."""
        capabilities = subject.capabilities
        if not capabilities.source.updates:
            pytest.skip("not a source of updates")
        writable = capabilities.HasField("sink") and capabilities.sink.updates
        if writable:
            await subject.write(subject.namespace, samples.documents(5))
        plan = await subject.connector.GeneratePlan(wire.GeneratePlanRequest(updates=True))
        partition = plan.updates_partitions[0]
        final = await change(subject) if writable else {}
        return Followed(partition.cursor, tuple(partition.namespaces), final)

    async def test_updates_leave_the_last_state_of_each_id(self, subject: Subject, keyed: None) -> None:
        documents = samples.documents(30)
        await subject.write(subject.namespace, documents)
        changed = samples.documents(10, size=5)
        added = samples.documents(5, first=900)
        updates = [_update(wire.UPDATE, document) for document in changed]
        updates += [_update(wire.DELETE, document) for document in documents[10:20]]
        updates += [_update(wire.INSERT, document) for document in added]
        for _ in range(2):
            await _write_updates(subject, updates)
        expected = [*changed, *documents[20:], *added]
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(expected)

    async def test_updates_of_one_id_keep_their_order(self, subject: Subject, keyed: None) -> None:
        versions = [samples.documents(8, size=size) for size in range(6)]
        updates = []
        for version in versions:
            updates += [_update(wire.UPDATE, document) for document in version]
            updates += [_update(wire.DELETE, document) for document in version[:4]]
            updates += [_update(wire.INSERT, document) for document in version[:2]]
        await _write_updates(subject, updates)
        last = versions[-1]
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(last[:2] + last[4:])

    async def test_partial_updates_are_applied_or_refused(self, subject: Subject, keyed: None) -> None:
        before = bson.encode({"_id": 1, "kept": 1, "changed": 1, "removed": 1})
        await subject.write(subject.namespace, [before], batches=1)
        update = _update(wire.PARTIAL_UPDATE, before)
        update.data, update.partial_update_unset[:] = bson.encode({"changed": 2}), ["removed"]
        try:
            await _write_updates(subject, [update])
        except (UnimplementedError, DataError, UsageError):
            pytest.skip("the sink refuses partial updates, with an error that says so")
        [after] = await subject.read(subject.namespace)
        assert bson.decode(after) == {"_id": 1, "kept": 1, "changed": 2}

    async def test_unknown_updates_are_refused(self, subject: Subject, keyed: None) -> None:
        unknown = _update(wire.UPDATE, samples.documents(1)[0])
        unknown.type = 0  # type: ignore[assignment] # no such update
        with refused(GapError, DataError, UsageError, UnimplementedError):
            await _write_updates(subject, [unknown])

    async def test_updates_are_taken_in_every_type(self, subject: Subject, keyed: None) -> None:
        documents = samples.documents(20)
        types = list(subject.capabilities.sink.supported_data_types)
        for index, data_type in enumerate(types):
            await _write_updates(
                subject, [_update(wire.INSERT, each) for each in documents[index :: len(types)]], data_type
            )
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_updates_take_ids_of_every_type(self, subject: Subject, keyed: None) -> None:
        documents = samples.every_type()
        await _write_updates(subject, [_update(wire.INSERT, document) for document in documents])
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)
        await _write_updates(subject, [_update(wire.DELETE, document) for document in documents[1:]])
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents[:1])

    async def test_many_updates_at_once_are_all_kept(self, subject: Subject, keyed: None) -> None:
        documents = samples.documents(160)
        updates = [_update(wire.UPDATE, document) for document in documents]
        await asyncio.gather(*(_write_updates(subject, updates[start::32]) for start in range(32)))
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_an_answered_update_survives_a_kill(self, subject: Subject, endpoint: Any, keyed: None) -> None:
        documents = samples.documents(60)
        await subject.write(subject.namespace, documents[:40])
        updates = [_update(wire.DELETE, document) for document in documents[:20]]
        updates += [_update(wire.INSERT, document) for document in documents[40:]]
        await killed_after(endpoint, subject, [_request(subject, updates, subject.sink_type)])
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents[20:])

    async def test_malformed_updates_are_refused_and_not_quoted(
        self, subject: Subject, endpoint: Any, keyed: None, caplog: pytest.LogCaptureFixture
    ) -> None:
        hear_logs(caplog, endpoint)
        [document] = samples.documents(1)
        await subject.write(subject.namespace, [document], batches=1)
        for bad in _malformed(document):
            request = _request(subject, [_update(wire.INSERT, samples.documents(1, first=1)[0])], subject.sink_type)
            request.updates.append(bad)
            with refused(DataError, UsageError):
                await subject.connector.WriteUpdates(request)
        assert_logs_silent(caplog, endpoint)
        assert subject.bag([document]) <= subject.bag(await subject.read(subject.namespace))

    async def test_a_namespace_is_emptied_by_a_drop_or_the_drop_is_refused(self, subject: Subject, keyed: None) -> None:
        await subject.write(subject.namespace, samples.documents(20))
        request = wire.WriteUpdatesRequest(
            namespace=subject.namespace, updates=[wire.Update(type=wire.DROP)], type=subject.sink_type
        )
        try:
            await subject.connector.WriteUpdates(request)
        except (UnimplementedError, GapError, DataError, UsageError):
            assert len(await subject.read(subject.namespace)) == 20, "what is refused changes nothing"
            pytest.skip("the sink refuses drops, with an error that says so")
        known = wire.GetNamespaceMetadataRequest(namespace=subject.namespace)
        assert (await subject.connector.GetNamespaceMetadata(known)).count == 0

    async def test_a_stream_brings_the_namespaces_alone_that_it_is_asked_for(
        self, subject: Subject, followed: Followed
    ) -> None:
        if not followed.final:
            pytest.skip("the connector makes its updates up")
        asked = wire.GeneratePlanRequest(namespaces=[subject.namespace], updates=True)
        partition = (await subject.connector.GeneratePlan(asked)).updates_partitions[0]
        elsewhere = _request(subject, [_update(wire.INSERT, each) for each in samples.documents(5)], subject.sink_type)
        elsewhere.namespace = subject.name("conformance.elsewhere")
        try:
            await subject.connector.WriteUpdates(elsewhere)
        except (UsageError, DataError):
            pytest.skip("the store has one namespace alone")
        chosen = Followed(partition.cursor, tuple(partition.namespaces), await change(subject))
        seen = await chosen.read(subject.connector, subject.source_type)
        assert {namespace for (namespace, _), _ in seen} == {subject.namespace}

    async def test_a_stream_keeps_the_order_of_each_id(self, subject: Subject, followed: Followed) -> None:
        if not followed.final:
            pytest.skip("the connector makes its updates up")
        # the later a version was written, the longer it is; a delete came last
        longest: dict[Id, int] = {}
        for update in await followed.read(subject.connector, subject.source_type):
            size = len(update.data) or samples.LARGEST_DOCUMENT_BYTES
            assert size >= longest.get(update.id, 0), "an older state came after a newer one"
            longest[update.id] = size

    async def test_a_stream_comes_to_what_was_written_since_the_plan(
        self, subject: Subject, followed: Followed
    ) -> None:
        await followed.read(subject.connector, subject.source_type)

    async def test_a_stream_goes_on_from_every_position_in_fresh_connectors(
        self, subject: Subject, followed: Followed
    ) -> None:
        whole: list[Seen] = []
        positions = [(0, followed.position)]
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            aclosing(followed.stream(subject.connector, subject.source_type)) as stream,
        ):
            while not followed.is_enough(whole):
                message = await anext(stream)
                whole += _seen(message, subject.source_type)
                positions.append((len(whole), message.next_cursor))
        for index in sorted({0, 1, len(positions) // 2, len(positions) - 2}):
            start, position = positions[index]
            again = dataclasses.replace(followed, position=position)
            async with subject.fresh() as fresh:
                rest = await again.read(fresh, subject.source_type, whole[:start])
            assert followed.final or rest[: len(whole) - start] == whole[start:]

    async def test_streams_come_in_every_type(self, subject: Subject, followed: Followed) -> None:
        for data_type in subject.capabilities.source.supported_data_types:
            await followed.read(subject.connector, data_type)
        for unknown in (0, UNKNOWN_TYPE):
            with refused(UnimplementedError, UsageError):
                await first(followed.stream(subject.connector, cast("wire.Type", unknown)))

    async def test_what_is_no_position_is_refused(self, subject: Subject, followed: Followed) -> None:
        foreign = [part.cursor for part in (await plan_of(subject.connector))[:1] if part.cursor]
        for cursor in samples.garbage({"position": followed.position}) + foreign:
            other = dataclasses.replace(followed, position=cursor)
            with refused(CursorError):
                await first(other.stream(subject.connector, subject.source_type))

    async def test_open_streams_leave_room_for_other_calls(self, subject: Subject, followed: Followed) -> None:
        streams = [followed.stream(subject.connector, subject.source_type) for _ in range(12)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        info = await asyncio.gather(*(subject.connector.GetInfo(wire.GetInfoRequest()) for _ in range(20)))
        assert len({answer.id for answer in info}) == 1
        await asyncio.gather(*(stream.aclose() for stream in streams))

    async def test_an_idle_stream_tells_its_position(self, subject: Subject, followed: Followed) -> None:
        present = dataclasses.replace(followed, position=b"")
        async with aclosing(present.stream(subject.connector, subject.source_type)) as stream:
            for _ in range(2):
                assert (await anext(stream)).next_cursor

    async def test_updates_are_counted(self, subject: Subject, followed: Followed) -> None:
        if not subject.capabilities.source.lsn_stream:
            pytest.skip("the source does not offer StreamLSN")
        request = wire.StreamLSNRequest(namespaces=followed.namespaces, cursor=followed.position)
        async with aclosing(cast("Any", subject.connector.StreamLSN(request))) as stream:
            counts = [(await anext(stream)).lsn for _ in range(3)]
        assert counts == sorted(counts)
        assert counts[-1] > 0


async def change(subject: Subject) -> dict[Id, bytes]:
    """Inserts, updates and deletes documents; their final state."""
    final: dict[Id, bytes] = {}
    for step in range(6):
        documents = samples.documents(10, first=100, size=step)
        updates = [_update(wire.UPDATE if step else wire.INSERT, document) for document in documents]
        if step == 5:
            updates += [_update(wire.DELETE, document) for document in documents[:3]]
        await _write_updates(subject, updates)
        final |= {_id(subject.namespace, update): update.data for update in updates}
    return final


def _update(kind: wire.UpdateType.ValueType, document: bytes) -> wire.Update:
    type_of_id, value = raw.id_of(document)
    identity = wire.BsonValue(data=value, type=type_of_id, name="_id")
    return wire.Update(id=[identity], type=kind, data=b"" if kind == wire.DELETE else document)


def _malformed(document: bytes) -> Iterator[wire.Update]:
    """Updates that say nothing; they hold the canary."""
    good = _update(wire.UPDATE, document)
    text = samples.CANARY.encode()
    yield wire.Update(type=wire.UPDATE, data=document)
    yield wire.Update(id=[wire.BsonValue(data=text, type=200, name="_id")], type=wire.DELETE)
    yield wire.Update(id=[wire.BsonValue(data=text, type=raw.STRING, name="_id")], type=wire.DELETE)
    yield wire.Update(id=good.id, type=wire.UPDATE)
    yield wire.Update(id=good.id, type=wire.INSERT, data=text)


def _request(subject: Subject, updates: Sequence[wire.Update], data_type: wire.Type) -> wire.WriteUpdatesRequest:
    request = wire.WriteUpdatesRequest(namespace=subject.namespace, type=data_type)
    for update in updates:
        added = request.updates.add()
        added.CopyFrom(update)
        if update.data:
            [added.data] = codec.convert([update.data], wire.BSON, data_type)
    return request


async def _write_updates(subject: Subject, updates: Sequence[wire.Update], data_type: wire.Type | None = None) -> None:
    await subject.connector.WriteUpdates(_request(subject, updates, data_type or subject.sink_type))


def _seen(message: wire.StreamUpdatesResponse, data_type: wire.Type) -> list[Seen]:
    """What can be compared, whatever the type; inserts and updates are not told apart, since some stores cannot."""
    updates = message.updates
    documents = iter(codec.convert([update.data for update in updates if update.data], data_type, wire.BSON))
    return [Seen(_id(message.namespace, update), next(documents) if update.data else b"") for update in updates]


def _id(namespace: str, update: wire.Update) -> Id:
    return namespace, b"".join(bytes([value.type]) + value.data for value in update.id)
