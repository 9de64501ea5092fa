"""Each promise of the contract, broken on purpose: the suite has to notice."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from dsync import wire
from dsync.errors import CursorError, DataError, DsyncError, NotFoundError
from dsync.testing import samples, suite_updates
from dsync.testing.conformance import ConnectorConformance
from dsync.testing.memory import ALL_TYPES, MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from dsync.testing.subject import Subject
from dsync.testing.suite_updates import Followed, change

KEYED = Shape(types=ALL_TYPES, page_documents=40)
STAGED = Shape(types=ALL_TYPES, keyed=False, updates=False)


class ChangingInfo(MemoryConnector):
    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        info = await super().GetInfo(request)
        info.id += str(id(info))
        return info


class LosesAPartition(MemoryConnector):
    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        plan = await super().GeneratePlan(request)
        del plan.partitions[1:]
        return plan


class PartitionsOverlap(MemoryConnector):
    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        plan = await super().GeneratePlan(request)
        plan.partitions.extend(plan.partitions[:1])
        return plan


class TakesCursorsOfOtherPartitions(MemoryConnector):
    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        if request.cursor:
            cursor = json.loads(request.cursor)
            cursor["of"] = hashlib.blake2b(request.partition.cursor, digest_size=8).hexdigest()
            request.cursor = json.dumps(cursor).encode()
        return await super().ListData(request)


class ForgetsWhereItWas(MemoryConnector):
    """Only the very next page is to be had: as from a cursor that the server keeps."""

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        last: bytes = self.__dict__.get("last", b"")
        if request.cursor != last:
            raise CursorError("the cursor has expired")
        page = await super().ListData(request)
        self.__dict__["last"] = page.next_cursor
        return page


class PagesByDocumentsAlone(MemoryConnector):
    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        page = await super().ListData(request)
        while page.next_cursor and len(page.data) < 40:
            request.cursor = page.next_cursor
            more = await super().ListData(request)
            page.data.extend(more.data)
            page.next_cursor = more.next_cursor
        return page


class LikesWhatCannotBeSent(MemoryConnector):
    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        info = await super().GetInfo(request)
        info.capabilities.sink.preferred_batch_bytes = 100 << 20
        return info


class TakesAnyName(MemoryConnector):
    def _selected(self, wanted: Any) -> list[str]:
        return list(self.store.namespaces)


class RemembersPages(MemoryConnector):
    """A cursor that only this connector can go on from."""

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        known: dict[bytes, bytes] = self.__dict__.setdefault("known", {})
        request.cursor = known.get(request.cursor, b"")
        page = await super().ListData(request)
        if page.next_cursor:
            token = b"page %d" % len(known)
            known[token] = page.next_cursor
            page.next_cursor = token
        return page


class TakesAnyCursor(MemoryConnector):
    def _read(self, kind: str, cursor: bytes) -> dict[str, Any]:
        try:
            fields: dict[str, Any] = json.loads(cursor)
        except ValueError:
            fields = {}
        return fields if isinstance(fields, dict) else {}


class CrashesOnCursors(MemoryConnector):
    def _read(self, kind: str, cursor: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(cursor)
        return fields


class WrongCount(MemoryConnector):
    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        known = await super().GetNamespaceMetadata(request)
        known.count += 1
        return known


class MissesIds(MemoryConnector):
    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        answer = await super().GetByIds(request)
        answer.data.reverse()
        return answer


class StumblesOverIds(MemoryConnector):
    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        for asked in request.ids:
            assert bytes([asked.id[0].type])
        return await super().GetByIds(request)


class LosesDocuments(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        del request.data[-1:]
        return await super().WriteData(request)


class BuffersPastTheAnswer(MemoryConnector):
    """Writes with the next call, as if it were faster."""

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        waiting = self.__dict__.get("waiting")
        self.__dict__["waiting"] = request
        return await super().WriteData(waiting) if waiting else wire.WriteDataResponse()


class KeepsTheFirstBatch(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        if request.write_id in self.store.staged:
            return wire.WriteDataResponse()
        return await super().WriteData(request)


class AppendsRepeatedBatches(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        before = self.store.staged.get(request.write_id, [])
        answer = await super().WriteData(request)
        if request.write_id:
            self.store.staged[request.write_id][:0] = before
        return answer


class HoldsBackBatchesWithoutId(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        return await super().WriteData(request) if request.write_id else wire.WriteDataResponse()


class PublishesWhatIsThere(MemoryConnector):
    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        begin, end = f"{request.flow}/", f"/{request.namespace}"
        staged = sorted(name for name in self.store.staged if name.startswith(begin) and name.endswith(end))
        self.store.drop(request.namespace)
        collection = self.store.collection(request.namespace)
        collection.flow = request.flow
        for name in staged:
            collection.append(self.store.staged.pop(name))
        return wire.FinishNamespaceResponse()


class FailsTheSecondTime(MemoryConnector):
    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        there = self.store.namespaces.get(request.namespace)
        if there and there.flow:
            raise NotFoundError("it is finished")
        return await super().FinishNamespace(request)


class FoldsNames(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        request.namespace = request.namespace.strip().replace("/", ".")
        request.write_id = ""
        return await super().WriteData(request)

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        return wire.FinishNamespaceResponse()


class QuotesDocuments(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        try:
            return await super().WriteData(request)
        except DsyncError as error:
            raise DataError(f"cannot take {request.data[-1]!r}") from error


class SwallowsUnknownTypes(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        return await super().WriteData(request) if request.type in ALL_TYPES else wire.WriteDataResponse()


class LogsDocuments(MemoryConnector):
    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        logging.getLogger("dsync.broken").debug("writing %s", request.data)
        return await super().WriteData(request)


class LogsUpdates(MemoryConnector):
    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        logging.getLogger("dsync.broken").debug("applying %s", request.updates)
        return await super().WriteUpdates(request)


class TakesMalformedUpdates(MemoryConnector):
    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        try:
            return await super().WriteUpdates(request)
        except DataError:
            return wire.WriteUpdatesResponse()


class TakesUpdatesOfOneType(MemoryConnector):
    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        request.type = wire.BSON
        return await super().WriteUpdates(request)


class ComparesIdsByTheirBytes(MemoryConnector):
    """An int64 5 and a date of 5 ms share their bytes."""

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        kept: dict[bytes, wire.Update] = {}
        for update in request.updates:
            kept[update.id[0].data] = update
        last = list(kept.values())
        del request.updates[:]
        request.updates.extend(last)
        return await super().WriteUpdates(request)


class AppliesOneAtATime(MemoryConnector):
    """Loses what comes while another call is under way."""

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        if self.__dict__.get("busy"):
            return wire.WriteUpdatesResponse()
        self.__dict__["busy"] = True
        await asyncio.sleep(0)
        self.__dict__["busy"] = False
        return await super().WriteUpdates(request)


class StreamsEveryNamespace(MemoryConnector):
    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        del request.namespaces[:]
        async for message in super().StreamUpdates(request):
            yield message


class SwallowsDrops(MemoryConnector):
    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        if any(update.type == wire.DROP for update in request.updates):
            return wire.WriteUpdatesResponse()
        return await super().WriteUpdates(request)


class StreamsBackwards(MemoryConnector):
    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        held: list[wire.StreamUpdatesResponse] = []
        async for message in super().StreamUpdates(request):
            held.append(message)
            if len(held) == 20:
                for each in (held[10:], held[:10], held[10:]):
                    for one in each:
                        yield one
                held = []


class ForgetsDeletes(MemoryConnector):
    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        kept = [update for update in request.updates if update.type != wire.DELETE]
        del request.updates[:]
        request.updates.extend(kept)
        return await super().WriteUpdates(request)


class ReordersUpdates(MemoryConnector):
    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        reversed_ = list(request.updates)[::-1]
        del request.updates[:]
        request.updates.extend(reversed_)
        return await super().WriteUpdates(request)


class SkipsOnResume(MemoryConnector):
    def _log_index(self, cursor: bytes) -> int:
        at = super()._log_index(cursor)
        return min(at + 1, len(self.store.log)) if at else at


class StreamsOnlyTheLastOfAnId(MemoryConnector):
    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        number = 0
        async for message in super().StreamUpdates(request):
            number += 1
            if number % 7:
                yield message


class IsSilentWhenIdle(MemoryConnector):
    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        async for message in super().StreamUpdates(request):
            message.next_cursor = message.next_cursor if message.updates else b""
            yield message


BROKEN: list[tuple[type[MemoryConnector], Shape, str]] = [
    (ChangingInfo, KEYED, "test_info_is_the_same_in_every_connector"),
    (LosesAPartition, KEYED, "test_plans_cover_every_document_once_however_it_is_cut"),
    (PartitionsOverlap, KEYED, "test_plans_cover_every_document_once_however_it_is_cut"),
    (TakesAnyName, KEYED, "test_a_plan_takes_the_names_it_is_asked_for"),
    (ForgetsWhereItWas, KEYED, "test_pages_repeat_in_fresh_connectors_from_every_cursor"),
    (ForgetsWhereItWas, KEYED, "test_every_cursor_leads_to_the_rest_in_a_fresh_connector"),
    (TakesCursorsOfOtherPartitions, KEYED, "test_cursors_of_another_partition_are_refused"),
    (
        PagesByDocumentsAlone,
        replace(KEYED, partitions=1),
        "test_the_largest_documents_come_back_in_pages_that_can_be_sent",
    ),
    (LikesWhatCannotBeSent, KEYED, "test_a_batch_of_the_size_that_the_sink_likes_is_taken"),
    (LogsDocuments, KEYED, "test_what_is_no_document_is_refused_and_not_quoted"),
    (LogsUpdates, KEYED, "test_malformed_updates_are_refused_and_not_quoted"),
    (TakesMalformedUpdates, KEYED, "test_malformed_updates_are_refused_and_not_quoted"),
    (TakesUpdatesOfOneType, KEYED, "test_updates_are_taken_in_every_type"),
    (ComparesIdsByTheirBytes, KEYED, "test_updates_take_ids_of_every_type"),
    (AppliesOneAtATime, KEYED, "test_many_updates_at_once_are_all_kept"),
    (StreamsEveryNamespace, KEYED, "test_a_stream_brings_the_namespaces_alone_that_it_is_asked_for"),
    (SwallowsDrops, KEYED, "test_a_namespace_is_emptied_by_a_drop_or_the_drop_is_refused"),
    (StreamsBackwards, KEYED, "test_a_stream_keeps_the_order_of_each_id"),
    (RemembersPages, KEYED, "test_pages_repeat_in_fresh_connectors_from_every_cursor"),
    (TakesAnyCursor, KEYED, "test_what_is_no_cursor_is_refused"),
    (CrashesOnCursors, KEYED, "test_what_is_no_cursor_is_refused"),
    (CrashesOnCursors, KEYED, "test_damaged_cursors_are_refused_or_harmless"),
    (WrongCount, KEYED, "test_counts_are_exact_or_unknown"),
    (StumblesOverIds, KEYED, "test_what_is_no_id_is_refused_or_not_found"),
    (MissesIds, KEYED, "test_documents_are_found_by_their_ids"),
    (LosesDocuments, KEYED, "test_what_was_written_is_read_by_another_connector"),
    (LosesDocuments, KEYED, "test_every_type_of_value_comes_back"),
    (BuffersPastTheAnswer, KEYED, "test_what_was_written_is_read_by_another_connector"),
    (KeepsTheFirstBatch, STAGED, "test_a_batch_is_replaced_by_what_comes_under_its_id"),
    (AppendsRepeatedBatches, STAGED, "test_a_repeated_batch_changes_nothing"),
    (AppendsRepeatedBatches, STAGED, "test_a_cancelled_write_can_be_repeated"),
    (HoldsBackBatchesWithoutId, STAGED, "test_batches_without_an_id_are_published_at_once"),
    (PublishesWhatIsThere, STAGED, "test_a_missing_batch_is_not_found"),
    (PublishesWhatIsThere, STAGED, "test_batches_beyond_the_end_are_removed"),
    (PublishesWhatIsThere, STAGED, "test_batches_are_published_in_their_order"),
    (PublishesWhatIsThere, STAGED, "test_the_end_may_be_said_again"),
    (FailsTheSecondTime, STAGED, "test_the_end_may_be_said_again"),
    (FailsTheSecondTime, STAGED, "test_a_later_copy_of_the_flow_replaces_the_earlier"),
    (FoldsNames, KEYED, "test_hostile_names_stay_apart_or_are_refused"),
    (QuotesDocuments, KEYED, "test_what_is_no_document_is_refused_and_not_quoted"),
    (SwallowsUnknownTypes, KEYED, "test_batches_of_an_unknown_type_are_refused"),
    (ForgetsDeletes, KEYED, "test_updates_leave_the_last_state_of_each_id"),
    (ReordersUpdates, KEYED, "test_updates_of_one_id_keep_their_order"),
    (SkipsOnResume, KEYED, "test_a_stream_goes_on_from_every_position_in_fresh_connectors"),
    (StreamsOnlyTheLastOfAnId, KEYED, "test_a_stream_comes_to_what_was_written_since_the_plan"),
    (TakesAnyCursor, KEYED, "test_what_is_no_position_is_refused"),
    (IsSilentWhenIdle, KEYED, "test_an_idle_stream_tells_its_position"),
]


@pytest.mark.parametrize(("kind", "shape", "test"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
async def test_a_broken_promise_is_noticed(
    kind: type[MemoryConnector], shape: Shape, test: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        await _run(kind, shape, test, caplog)
    assert not isinstance(caught.value, pytest.skip.Exception | TypeError)


@pytest.mark.parametrize(("shape", "test"), sorted({(shape.keyed, test) for _, shape, test in BROKEN}))
async def test_the_same_tests_pass_where_all_promises_hold(
    shape: bool, test: str, caplog: pytest.LogCaptureFixture
) -> None:
    await _run(MemoryConnector, KEYED if shape else STAGED, test, caplog)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"skips": {"test_no_such_thing": "it does not apply"}}, "no test of the suite"),
        ({"skips": {"test_the_end_may_be_said_again": " "}}, "no reason"),
        ({"test_the_end_may_be_said_again": None}, "overrides"),
    ],
)
def test_a_test_cannot_be_left_out_without_a_reason(members: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        type("TestMine", (ConnectorConformance,), members)


def test_a_test_with_a_reason_may_be_left_out() -> None:
    type("TestMine", (ConnectorConformance,), {"skips": {"test_the_end_may_be_said_again": "it has no end"}})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes is not waited for as long as it might be elsewhere."""
    monkeypatch.setattr(suite_updates, "PATIENCE_SECONDS", 5.0)


async def _run(kind: type[MemoryConnector], shape: Shape, test: str, caplog: pytest.LogCaptureFixture) -> None:
    """Runs one test of the suite, with what its fixtures would give it."""
    store = MemoryStore()
    suite = ConnectorConformance()

    def make() -> MemoryConnector:
        return kind(store, shape)

    suite.connector = lambda endpoint: make()  # type: ignore[method-assign] # as a subclass would
    connector = make()
    capabilities = (await connector.GetInfo(wire.GetInfoRequest())).capabilities
    subject = Subject(connector, capabilities, make, "direct", lambda name: name, lambda document: document)
    call: Callable[..., Any] = getattr(suite, test)
    wanted = inspect.signature(call).parameters
    given: dict[str, Any] = {"subject": subject, "endpoint": None, "caplog": caplog}
    given |= {"sink": capabilities.sink, "readable": capabilities.sink, "staged": None, "keyed": None}
    if "seeded" in wanted:
        given["seeded"] = samples.documents(500)
        await subject.write(subject.namespace, given["seeded"])
    if "followed" in wanted:
        plan = await connector.GeneratePlan(wire.GeneratePlanRequest(updates=True))
        partition = plan.updates_partitions[0]
        given["followed"] = Followed(partition.cursor, tuple(partition.namespaces), await change(subject))
    await call(**{name: given[name] for name in wanted})
