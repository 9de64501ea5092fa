"""Transforms that speak other data types, answer in either form of the contract, or not as they announced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync import wire
from dsync.errors import DataError, DsyncError, EndpointError, TransientError, UnimplementedError, UsageError
from dsync.flow.agree import TransformTypes, choose_transform
from dsync.flow.transform import SLICE_BYTES, SLICE_DOCUMENTS, Stage, Transforming, slices
from dsync.run import migrate
from dsync.testing.store import MemoryStore
from dsync.transform import Transform
from tests.engine.driving import connector, settings, store_with
from tests.transform.driving import found, numbered

BSON, JSON_ID, TEXT = wire.BSON, wire.JSON_ID, wire.EXTENDED_JSON


class Plain(Transform):
    """What a program of somebody else's may be: JSON with `id`, one namespace an answer, nothing of dsync's own fields."""

    def __init__(self, **answer: Any) -> None:
        self.answer = answer
        self.failures: list[DsyncError] = []
        self.updates = True

    async def GetTransformInfo(self, request: wire.GetTransformInfoRequest) -> wire.GetTransformInfoResponse:
        info = wire.GetTransformInfoResponse()
        info.transforms.add(request_type=JSON_ID, response_types=[JSON_ID])
        return info

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        if self.failures:
            raise self.failures.pop()
        if request.updates and not self.updates:
            raise UnimplementedError("no updates here")
        assert request.request_type == request.response_type == JSON_ID
        response = wire.GetTransformResponse(data=list(map(self.change, request.data)))
        for update in request.updates:
            data = self.change(update.data) if update.data else b""
            response.updates.add(id=update.id, type=update.type, data=data)
        for name, value in self.answer.items():
            if name == "namespace":
                response.namespace = value
            else:
                getattr(response, name).extend(value)
        return response

    def change(self, text: bytes) -> bytes:
        fields = json.loads(text)
        return json.dumps(fields | {"seen": True}).encode()


class Nothing(Plain):
    """Leaves everything out."""

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        return wire.GetTransformResponse()


def info(*ways: tuple[wire.Type, Sequence[wire.Type]]) -> wire.GetTransformInfoResponse:
    response = wire.GetTransformInfoResponse(use_multiple_responses=True)
    for request, responses in ways:
        response.transforms.add(request_type=request, response_types=responses)
    return response


@pytest.mark.parametrize(
    ("offered", "ways", "taken", "expected"),
    [
        ([BSON], [(BSON, [BSON])], [BSON], (BSON, BSON, BSON, BSON)),
        ([BSON], [(JSON_ID, [JSON_ID])], [BSON], (BSON, JSON_ID, JSON_ID, BSON)),
        ([BSON], [(BSON, [JSON_ID])], [BSON, JSON_ID], (BSON, BSON, JSON_ID, JSON_ID)),
        ([TEXT, BSON], [(TEXT, [TEXT]), (BSON, [BSON])], [BSON], (BSON, BSON, BSON, BSON)),
        ([TEXT, BSON], [(TEXT, [TEXT]), (BSON, [BSON])], [TEXT, BSON], (TEXT, TEXT, TEXT, TEXT)),
        ([TEXT, BSON], [(JSON_ID, [JSON_ID])], [TEXT, BSON], (BSON, JSON_ID, JSON_ID, BSON)),
        ([JSON_ID], [(BSON, [BSON]), (JSON_ID, [BSON])], [BSON], (JSON_ID, JSON_ID, BSON, BSON)),
    ],
)
def test_types_are_chosen_so_that_little_is_converted(
    offered: list[wire.Type], ways: Any, taken: list[wire.Type], expected: tuple[wire.Type, ...]
) -> None:
    native, target, types = choose_transform(offered, info(*ways), taken)
    assert (native, types.request, types.response, target) == expected
    assert types.multiple


def test_a_transform_without_a_type_that_is_known_is_refused() -> None:
    for answer in (info(), info((wire.Type(77), [wire.Type(77)]))):
        with pytest.raises(UsageError, match="no data type that dsync knows"):
            choose_transform([BSON], answer, [BSON])


async def test_types_are_converted_on_both_sides_of_a_transform(tmp_path: Path) -> None:
    source, target = store_with(a=numbered(range(250))), MemoryStore("target")
    asked = settings(tmp_path / "state.db", transform=Plain(), mode="Full", until_caught_up=True)
    await migrate(connector(source), connector(target), asked)
    source.put("a", bson.encode({"_id": 3, "number": 33}))
    source.delete("a", bson.encode({"_id": 4}))
    await migrate(connector(source), connector(target), asked)
    documents = {document["_id"]: document for document in map(bson.decode, target.documents("a"))}
    assert documents[3] == {"_id": 3, "number": 33, "seen": True}
    assert all(document["seen"] for document in documents.values())
    assert documents.keys() == set(range(250)) - {4}


async def test_a_transform_that_names_no_namespace_keeps_the_one_chosen() -> None:
    target = MemoryStore("target")
    await migrate(connector(store_with(a=numbered(range(3)))), connector(target), settings(transform=Plain()))
    assert found(target) == {"a": [0, 1, 2]}


async def test_a_transform_that_names_one_moves_all_there() -> None:
    target = MemoryStore("target")
    asked = settings(transform=Plain(namespace="elsewhere"))
    await migrate(connector(store_with(a=numbered(range(3)))), connector(target), asked)
    assert found(target) == {"elsewhere": [0, 1, 2]}


async def test_an_empty_answer_leaves_an_empty_namespace_under_the_name_chosen() -> None:
    from dsync.progress import Tracker

    target, tracker = MemoryStore("target"), Tracker()
    asked = settings(transform=Nothing())
    await migrate(connector(store_with(a=numbered(range(3)))), connector(target, keyed=False), asked, tracker=tracker)
    assert list(target.namespaces) == ["a"]
    assert tracker.namespaces["a"].filtered == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"responses": [wire.TransformResponse(data=[b"{}"])]}, "not answer in the form that its GetTransformInfo"),
        ({"updates": [wire.Update(type=wire.UPDATE)]}, "documents of 'a' with updates"),
    ],
)
async def test_an_answer_that_would_lose_something_stops_the_run_and_no_document_is_blamed_for_it(
    answer: dict[str, Any], message: str, tmp_path: Path
) -> None:
    target, letters = MemoryStore("target"), tmp_path / "letters"
    with pytest.raises(EndpointError, match=message):
        asked = settings(transform=Plain(**answer), dead_letters=str(letters))
        await migrate(connector(store_with(a=numbered(range(3)))), connector(target), asked)
    assert not found(target)
    assert not letters.exists() or not letters.read_text()


@pytest.mark.parametrize(
    ("answer", "message"),
    [({"data": [b"not json"]}, "record 3 of the page"), ({"data": [b"{}"]}, "no id")],
)
async def test_what_is_no_document_stops_the_run(answer: dict[str, Any], message: str) -> None:
    target = MemoryStore("target")
    with pytest.raises(DataError, match=message):
        asked = settings(transform=Plain(**answer))
        await migrate(connector(store_with(a=numbered(range(3))), partitions=1), connector(target), asked)
    assert not found(target)


async def test_a_transform_without_updates_is_refused_where_changes_are_to_be_followed() -> None:
    transform = Plain()
    transform.updates = False
    source = connector(store_with(a=numbered(range(3))))
    with pytest.raises(UsageError, match="takes no updates"):
        await migrate(source, connector(MemoryStore("target")), settings(transform=transform, mode="Full"))
    await migrate(source, connector(MemoryStore("target")), settings(transform=transform))


async def test_a_transform_that_is_away_for_a_while_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsync.wrap.retry.FIRST_PAUSE", 0.01)
    transform, target = Plain(), MemoryStore("target")
    transform.failures = [TransientError("away"), TransientError("away")]
    asked = settings(transform=transform, retry_for=30)
    await migrate(connector(store_with(a=numbered(range(3)))), connector(target), asked)
    assert found(target) == {"a": [0, 1, 2]}


def test_slices_are_small_and_lose_nothing() -> None:
    small, large = [b"x"] * (2 * SLICE_DOCUMENTS + 1), [b"x" * (SLICE_BYTES - 1), b"x" * 2, b"x" * (2 * SLICE_BYTES)]
    for items in (small, large, [], [b""]):
        parts = list(slices(items, len))
        assert [item for part in parts for item in part] == items
        assert all(part and len(part) <= SLICE_DOCUMENTS for part in parts)
        assert all(sum(map(len, part)) <= SLICE_BYTES or len(part) == 1 for part in parts)


async def test_more_than_memory_should_hold_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsync.flow.transform.MOST_MADE_BYTES", 100)
    stage = Stage(Plain(), Transforming(None, JSON_ID, JSON_ID, JSON_ID, False))
    with pytest.raises(DataError, match="of one page of 'a'") as refused:
        await stage.documents("a", [b'{"id":1,"text":"%b"}' % (b"x" * 100)])
    assert "smaller pages" in refused.value.remedy


def test_types_are_plain_values() -> None:
    assert TransformTypes(BSON, BSON, True) == TransformTypes(BSON, BSON, True)
