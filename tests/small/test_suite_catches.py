"""Each promise of the contract, broken on purpose: the suite has to notice."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from dsync import wire
from dsync.errors import DataError, DsyncError, NotFoundError
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
    (RemembersPages, KEYED, "test_pages_repeat_in_fresh_connectors_from_every_cursor"),
    (TakesAnyCursor, KEYED, "test_what_is_no_cursor_is_refused"),
    (CrashesOnCursors, KEYED, "test_what_is_no_cursor_is_refused"),
    (CrashesOnCursors, KEYED, "test_damaged_cursors_are_refused_or_harmless"),
    (WrongCount, KEYED, "test_counts_are_exact_or_unknown"),
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
async def test_a_broken_promise_is_noticed(kind: type[MemoryConnector], shape: Shape, test: str) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        await _run(kind, shape, test)
    assert not isinstance(caught.value, pytest.skip.Exception | TypeError)


@pytest.mark.parametrize(("shape", "test"), sorted({(shape.keyed, test) for _, shape, test in BROKEN}))
async def test_the_same_tests_pass_where_all_promises_hold(shape: bool, test: str) -> None:
    await _run(MemoryConnector, KEYED if shape else STAGED, test)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes is not waited for as long as it might be elsewhere."""
    monkeypatch.setattr(suite_updates, "PATIENCE_SECONDS", 5.0)


async def _run(kind: type[MemoryConnector], shape: Shape, test: str) -> None:
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
    given: dict[str, Any] = {"subject": subject, "endpoint": None}
    given |= {"sink": capabilities.sink, "readable": capabilities.sink, "staged": None, "keyed": None}
    if "seeded" in wanted:
        given["seeded"] = samples.documents(500)
        await subject.write(subject.namespace, given["seeded"])
    if "followed" in wanted:
        plan = await connector.GeneratePlan(wire.GeneratePlanRequest(updates=True))
        partition = plan.updates_partitions[0]
        given["followed"] = Followed(partition.cursor, tuple(partition.namespaces), await change(subject))
    await call(**{name: given[name] for name in wanted})
