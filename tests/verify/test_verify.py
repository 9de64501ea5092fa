"""A verification says exactly what differs, and never that two stores are equal when it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import bson
import pytest

from dsync import namespaces, wire
from dsync.codec import raw
from dsync.errors import DataError, EndpointError, NotFoundError, TransientError, UsageError
from dsync.flow.digest import Form
from dsync.testing.faults import Faulty, fail
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from dsync.wrap.delegate import Delegate
from tests.verify.planting import NAMESPACE, compared, documents, encoded, key, memory, plant

COUNT = 20_000
TEXT = (wire.EXTENDED_JSON,)
WITH_IDS = (wire.JSON_ID,)


class Scrambled(Delegate):
    """Lists without finding by id, and in another order: as a file may hold what a database sorts."""

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        info = await super().GetInfo(request)
        info.capabilities.source.get_by_ids = False
        return info

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        raise AssertionError("it has said that it cannot")

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        page = await super().ListData(request)
        return wire.ListDataResponse(
            data=sorted(page.data, key=lambda document: document[::-1]), next_cursor=page.next_cursor
        )


@pytest.mark.parametrize("types", [(wire.BSON,), TEXT, WITH_IDS], ids=["BSON", "text", "JSON with id"])
@pytest.mark.parametrize("partitions", [1, 5])
async def test_planted_differences_are_reported_and_no_others(types: tuple[wire.Type, ...], partitions: int) -> None:
    source = documents(COUNT)
    planted = plant(source)
    ours = memory("ours", {NAMESPACE: encoded(source)}, page_documents=500)
    theirs = memory("theirs", {NAMESPACE: planted.documents}, types=types, partitions=partitions, page_documents=700)
    verified = await compared(ours, theirs)
    assert verified.found == planted.expected
    assert verified.outcome.result == "different"
    assert verified.outcome.namespaces[0].documents == [COUNT, len(planted.documents)]


@pytest.mark.parametrize("types", [(wire.BSON,), TEXT], ids=["BSON", "text"])
async def test_ends_that_cannot_find_by_id_are_listed_again(types: tuple[wire.Type, ...]) -> None:
    source = documents(3000)
    planted = plant(source)
    ours = Scrambled(memory("ours", {NAMESPACE: encoded(source)}, types=types))
    theirs = Scrambled(memory("theirs", {NAMESPACE: planted.documents}, types=types, page_documents=90))
    assert (await compared(ours, theirs, memory_limit=100_000)).found == planted.expected


async def test_equal_stores_are_equal_whatever_their_pages_partitions_and_types() -> None:
    source = encoded(documents(5000))
    ours = memory("ours", {NAMESPACE: source}, partitions=3, page_documents=77)
    for types in ((wire.BSON,), TEXT, WITH_IDS):
        verified = await compared(ours, memory("theirs", {NAMESPACE: source}, types=types, partitions=7))
        assert verified.outcome.result == "equal" and verified.lines == []


async def test_an_id_of_another_type_of_number_is_one_document_that_changed() -> None:
    ours = memory("ours", {NAMESPACE: encoded([{"_id": 5, "a": 1}, {"_id": 6}])})
    theirs = memory("theirs", {NAMESPACE: encoded([{"_id": bson.Int64(5), "a": 1}, {"_id": 6.0}])})
    assert (await compared(ours, theirs)).found == {("5", "changed"): ["_id"], ("6", "changed"): ["_id"]}


async def test_ids_of_other_types_are_other_documents() -> None:
    ours = memory("ours", {NAMESPACE: encoded([{"_id": bson.Int64(5)}, {"_id": "1"}])})
    theirs = memory("theirs", {NAMESPACE: encoded([{"_id": bson.DatetimeMS(5)}, {"_id": 1}])})
    assert sorted(line["kind"] for line in (await compared(ours, theirs)).lines) == [
        "extra",
        "extra",
        "missing",
        "missing",
    ]


async def test_differences_that_would_cancel_out_of_a_sum_are_found() -> None:
    ours = memory("ours", {NAMESPACE: encoded([{"_id": 1, "a": "x"}, {"_id": 2, "a": "y"}])})
    theirs = memory("theirs", {NAMESPACE: encoded([{"_id": 1, "a": "y"}, {"_id": 2, "a": "x"}])})
    assert (await compared(ours, theirs)).found == {("1", "changed"): ["a"], ("2", "changed"): ["a"]}


async def test_field_order_can_be_ignored_but_nothing_else_is() -> None:
    source = documents(1000)
    planted = plant(source)
    ours, theirs = memory("ours", {NAMESPACE: encoded(source)}), memory("theirs", {NAMESPACE: planted.documents})
    moved = ["n", "text", "inner"]
    expected = {name: fields for name, fields in planted.expected.items() if fields != moved}
    assert len(expected) < len(planted.expected)
    assert (await compared(ours, theirs, form=Form(ignore_field_order=True))).found == expected


async def test_a_projection_looks_at_its_fields_alone() -> None:
    source = documents(1000)
    planted = plant(source)
    ours, theirs = memory("ours", {NAMESPACE: encoded(source)}), memory("theirs", {NAMESPACE: planted.documents})
    found = (await compared(ours, theirs, form=Form(projection=((b"n",), (b"inner", b"list", b"x"))))).found
    kept = {("n",): ["n"], ("inner.list.1.x",): ["inner.list.x"], (): []}
    assert found == {name: kept[tuple(fields)] for name, fields in planted.expected.items() if tuple(fields) in kept}


class Live(Delegate):
    """A destination that some documents reach late: after the first look for them."""

    def __init__(self, inner: MemoryConnector, arrive: Callable[[], None], looks: int) -> None:
        super().__init__(inner)
        self.arrive, self.looks = arrive, looks

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        self.looks -= 1
        if not self.looks:
            self.arrive()
        return await super().GetByIds(request)


async def test_what_arrives_while_it_is_rechecked_is_not_reported() -> None:
    source = encoded(documents(100))
    store = MemoryStore("theirs")
    store.load(NAMESPACE, source[:90])
    ours = memory("ours", {NAMESPACE: source})
    assert len((await compared(ours, MemoryConnector(store), recheck=1)).lines) == 10
    live = Live(MemoryConnector(store), lambda: store.load(NAMESPACE, source[:99]), looks=2)
    assert len((await compared(ours, live, recheck=2)).lines) == 1


class Patterns(Delegate):
    """Finds nothing by ids that it takes for patterns, as a database does."""

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        answer = await super().GetByIds(request)
        for asked, item in zip(request.ids, answer.data, strict=True):
            if asked.id[0].type in (raw.REGEX, raw.ARRAY, raw.UNDEFINED):
                item.data = b""
        return answer


async def test_what_cannot_be_asked_for_by_id_is_not_taken_for_equal() -> None:
    def sides(version: int) -> list[bytes]:
        return encoded([{"_id": bson.Regex("^a"), "v": version}, {"_id": [1, 2], "v": version}, {"_id": 1}])

    ours, theirs = (Patterns(memory(name, {NAMESPACE: sides(n)})) for n, name in enumerate(("ours", "theirs")))
    assert [line["kind"] for line in (await compared(ours, theirs)).lines] == ["changed", "changed"]


async def test_rechecking_pauses_as_often_as_asked_and_only_while_something_differs() -> None:
    source = encoded(documents(10))
    ours = Faulty(memory("ours", {NAMESPACE: source}))
    for theirs, recheck, looks in ((source[1:], 0, 1), (source[1:], 3, 3), (source, 3, 0)):
        ours.calls.clear()
        await compared(ours, memory("theirs", {NAMESPACE: theirs}), recheck=recheck)
        assert ours.calls["GetByIds"] == looks


async def test_a_limit_ends_the_search() -> None:
    verified = await compared(
        memory("ours", {NAMESPACE: encoded(documents(1000))}), memory("theirs", {NAMESPACE: []}), limit=7
    )
    assert len(verified.lines) == 7
    assert verified.outcome.result == "different"
    assert verified.outcome.notes == ["stopped at the limit of 7: there may be more differences"]


async def test_parts_cover_everything_once() -> None:
    source = documents(3000)
    planted = plant(source)
    found: list[Any] = []
    counts = [0, 0]
    for part in range(1, 6):
        ours, theirs = memory("ours", {NAMESPACE: encoded(source)}), memory("theirs", {NAMESPACE: planted.documents})
        verified = await compared(ours, theirs, part=part, parts=5)
        assert verified.outcome.covered == f"partition {part} of 5"
        found += verified.found.items()
        counts = [c + (d or 0) for c, d in zip(counts, verified.outcome.namespaces[0].documents, strict=True)]
        assert (verified.outcome.documents(0) or 0) > 400
    assert sorted(found) == sorted(planted.expected.items())
    assert counts == [3000, len(planted.documents)]


@pytest.mark.parametrize("wrap", [lambda end: end, Scrambled], ids=["by id", "listed"])
async def test_a_sample_says_how_much_it_covers_and_takes_nothing_for_extra(wrap: Callable[[Any], Any]) -> None:
    source = documents(1000)
    planted = plant(source)
    ours = memory("ours", {NAMESPACE: encoded(source)}, partitions=10)
    theirs = wrap(memory("theirs", {NAMESPACE: planted.documents}, partitions=10))
    verified = await compared(ours, theirs, sample=3)
    assert verified.outcome.covered == "3 of 10 partitions"
    assert verified.outcome.documents(0) == 300
    assert verified.found.items() <= planted.expected.items()  # three that are picked may have none
    assert all(kind != "extra" for _, kind in verified.found)
    whole = {name: fields for name, fields in planted.expected.items() if name[1] != "extra"}
    assert (await compared(ours, theirs, sample=10)).found == whole


async def test_extra_documents_may_be_left_out_of_account() -> None:
    ours, theirs = (
        memory("ours", {NAMESPACE: encoded([{"_id": 1}])}),
        memory("theirs", {NAMESPACE: encoded([{"_id": n} for n in range(3)])}),
    )
    assert (await compared(ours, theirs, ignore_extra=True)).outcome.result == "equal"
    assert (await compared(ours, theirs)).outcome.result == "different"


async def test_quick_counts_are_compared_and_nothing_else() -> None:
    ours = memory("ours", {"a.x": encoded([{"_id": 1}]), "a.y": encoded([{"_id": 1}, {"_id": 2}])})
    theirs = memory("theirs", {"a.x": encoded([{"_id": 9}]), "a.y": encoded([{"_id": 1}])})
    verified = await compared(ours, theirs, quick_count=True)
    assert verified.lines == [{"namespace": "a.y", "kind": "count", "source_documents": 2, "destination_documents": 1}]
    assert verified.outcome.result == "different"


class Uncounted(Delegate):
    """A store that cannot say how many documents it has."""

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        return wire.GetNamespaceMetadataResponse(exists=True, count_unknown=True)


async def test_a_count_that_a_store_does_not_know_is_counted() -> None:
    ours = Uncounted(memory("ours", {NAMESPACE: encoded(documents(900))}))
    theirs = memory("theirs", {NAMESPACE: encoded(documents(900))})
    assert (await compared(ours, theirs, quick_count=True)).outcome.documents(0) == 900


async def test_a_listing_that_fails_leaves_the_verification_incomplete() -> None:
    source = encoded(documents(1000))
    for error in (DataError("a document is broken"), EndpointError("no right to read"), TransientError("gone")):
        theirs = Faulty(memory("theirs", {NAMESPACE: source}), [fail("ListData", 4, error)])
        outcome = (await compared(memory("ours", {NAMESPACE: source}), theirs, retry_for=0)).outcome
        assert outcome.result == "incomplete" and outcome.error is not None
        assert outcome.error.message == error.message
        assert outcome.summary()["source_documents"] == "unknown"


async def test_a_lookup_that_fails_leaves_the_verification_incomplete() -> None:
    source = encoded(documents(100))
    theirs = Faulty(memory("theirs", {NAMESPACE: source[1:]}), [fail("GetByIds", 2, DataError("broken"))])
    assert (await compared(memory("ours", {NAMESPACE: source}), theirs)).outcome.result == "incomplete"


async def test_a_connection_that_comes_back_is_no_difference() -> None:
    source = encoded(documents(1000))
    theirs = Faulty(memory("theirs", {NAMESPACE: source}), [fail("ListData", 2, TransientError("gone"))])
    assert (await compared(memory("ours", {NAMESPACE: source}), theirs, retry_for=30)).outcome.result == "equal"


class Endless(Delegate):
    """A store whose listing never ends."""

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        await asyncio.sleep(3600)
        return await super().ListData(request)


async def test_an_interrupted_verification_is_incomplete() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    source = encoded(documents(100))
    verified = await compared(memory("ours", {NAMESPACE: source}), Endless(memory("b", {NAMESPACE: source})), stop=stop)
    assert verified.outcome.result == "incomplete" and verified.outcome.error


async def test_ends_that_cannot_be_read_are_refused_before_anything_is_compared() -> None:
    source = memory("ours", {NAMESPACE: []})
    with pytest.raises(UsageError, match="cannot be read"):
        await compared(source, memory("theirs", {}, source=False))


async def test_a_namespace_is_not_compared_with_itself() -> None:
    store = memory("ours", {"shop.a": encoded(documents(3)), "shop.b": encoded(documents(3))})
    with pytest.raises(UsageError, match="with itself"):
        await compared(store, store)
    verified = await compared(store, store, selection=namespaces.parse(["shop.a:shop.b"]))
    assert verified.outcome.result == "equal"


async def test_namespaces_are_compared_under_the_names_that_the_copy_gave_them() -> None:
    content = {"shop.a": encoded(documents(10)), "shop.b": encoded(documents(20)), "rest.c": encoded(documents(5))}
    mapped = {"copy.a": content["shop.a"], "copy.b": content["shop.b"][1:], "shop.a": [], "rest.c": []}
    selection = namespaces.parse(["shop:copy"])
    verified = await compared(memory("ours", content), memory("theirs", mapped), selection=selection)
    assert verified.lines == [
        {"namespace": "shop.b", "destination": "copy.b", "id": 0, "kind": "missing", "fields": []}
    ]
    assert [each.pair.shown for each in verified.outcome.namespaces] == ["shop.a -> copy.a", "shop.b -> copy.b"]


async def test_only_namespaces_that_come_from_the_source_can_be_extra() -> None:
    one = encoded([{"_id": 1}])
    ours = memory("ours", {"shop.a": one, "shop.b": one})
    theirs = memory(
        "theirs", {"shop.a": one, "shop.b": one, "shop.late": one, "shopping.c": one, "other.d": one, "shop": one}
    )
    everything = await compared(ours, theirs)
    assert [(line["namespace"], line["kind"]) for line in everything.lines] in (
        [("shop.late", "extra"), ("shop", "extra")],
        [("shop", "extra"), ("shop.late", "extra")],
    )
    one_name = await compared(ours, theirs, selection=namespaces.parse(["shop.a"]))
    assert one_name.outcome.result == "equal"
    without = await compared(ours, theirs, selection=namespaces.parse(["shop"], ["shop.late"]))
    assert [line["namespace"] for line in without.lines] == ["shop"]


async def test_a_namespace_that_is_not_there_is_all_missing() -> None:
    ours = memory("ours", {"shop.a": encoded(documents(30)), "shop.empty": []})
    ours.store.collection("shop.empty")
    verified = await compared(ours, memory("theirs", {"shop.c": []}))
    assert {line["kind"] for line in verified.lines} == {"missing"} and len(verified.lines) == 30
    assert verified.outcome.documents(1) == 0


async def test_a_name_that_the_source_does_not_have_is_an_error() -> None:
    ends = memory("ours", {"shop.a": []}), memory("theirs", {})
    with pytest.raises(NotFoundError):
        await compared(*ends, selection=namespaces.parse(["shpo"]))


async def test_namespaces_that_were_merged_are_compared_together() -> None:
    ours = memory("ours", {"a.x": encoded([{"_id": 1}, {"_id": 2}]), "b.x": encoded([{"_id": 3}, {"_id": 4}])})
    theirs = memory("theirs", {"all.x": encoded([{"_id": 1}, {"_id": 3}, {"_id": 5}])})
    selection = namespaces.parse(["a:all", "b:all"])
    with pytest.raises(UsageError, match="both mapped"):
        await compared(ours, theirs, selection=selection)
    verified = await compared(ours, theirs, selection=selection, merge_namespaces=True)
    found = {(line["id"], line["namespace"], line["kind"]) for line in verified.lines}
    assert {each for each in found if each[2] == "missing"} == {(2, "a.x", "missing"), (4, "b.x", "missing")}
    assert [each[0] for each in found if each[2] == "extra"] == [5]


async def test_documents_that_share_an_id_are_compared_one_by_one() -> None:
    twice = [bson.encode({"_id": 1, "v": n}) for n in (1, 2)]
    ours = Scrambled(MemoryConnector(unkeyed("ours", twice), Shape(keyed=False)))
    one_left = memory("theirs", {NAMESPACE: twice[1:]})
    assert [line["kind"] for line in (await compared(ours, one_left)).lines] == ["missing"]
    assert (await compared(ours, one_left, duplicates="last")).outcome.result == "equal"
    both = Scrambled(MemoryConnector(unkeyed("theirs", twice[::-1]), Shape(keyed=False)))
    assert (await compared(ours, both)).outcome.result == "equal"


def unkeyed(name: str, content: list[bytes]) -> MemoryStore:
    store = MemoryStore(name)
    store.collection(NAMESPACE).append(content)
    return store


class Plain(Delegate):
    """Text whose records have no identity."""

    def __init__(self, name: str, texts: list[bytes]) -> None:
        super().__init__(memory(name, {NAMESPACE: []}, types=TEXT))
        self.texts = texts

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        info = await super().GetInfo(request)
        info.capabilities.source.get_by_ids = False
        return info

    async def open(self) -> None:
        self.inner.store.collection(NAMESPACE)  # type: ignore[attr-defined]

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        first = not request.partition.estimated_count and b'"after": null' in request.partition.cursor
        return wire.ListDataResponse(data=self.texts if first else [])


async def test_records_without_an_id_are_compared_by_what_they_hold_as_often_as_they_stand() -> None:
    ours = Plain("ours", [b'{"a": 1}', b'{"a": 2}', b'{"a":2}', b'{"a": 3}'])
    theirs = Plain("theirs", [b'{"a":1}', b'{"a":2}', b'{"a":4}'])
    verified = await compared(ours, theirs)
    assert sorted((line["kind"], "id" in line) for line in verified.lines) == [
        ("extra", False),
        ("missing", False),
        ("missing", False),
    ]
    assert (await compared(ours, Plain("theirs", ours.texts[::-1]))).outcome.result == "equal"


async def test_reports_hold_no_values() -> None:
    ours = memory("ours", {NAMESPACE: encoded([{"_id": 1, "secret": "hunter2", "deep": {"a": ["hunter2"]}}])})
    theirs = memory("theirs", {NAMESPACE: encoded([{"_id": 1, "secret": "hunter3", "deep": {"a": ["hunter3"]}}])})
    verified = await compared(ours, theirs)
    assert "hunter" not in str(verified.lines)
    assert verified.lines[0]["fields"] == ["secret", "deep.a.0"]


def test_the_planted_keys_are_those_of_the_documents() -> None:
    source = documents(8)
    assert len({key(document) for document in source}) == 8
    assert all(raw.id_of(document) for document in encoded(source))
