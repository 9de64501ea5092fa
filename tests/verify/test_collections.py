"""Two collections are read abreast, range by range, and not a byte of them is overlooked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from connectors.mongo.connector import MongoConnector
from dsync import namespaces, wire
from dsync.flow.verify_window import Window
from dsync.wrap.delegate import Delegate
from tests.mongo.driving import uri_of
from tests.verify.planting import Verified, compared

Mongo = MongoClient[dict[str, Any]]
# Six partitions of about three pages.
COUNT, PARTITION, PAGE = 300, 50, 17
PLACES = [0, 1, 16, 17, 18, 49, 50, 51, 99, 150, 151, 233, 298, 299]


def document(number: int, text: str = "text") -> dict[str, Any]:
    return {"_id": ObjectId(f"{number:024x}"), "n": number, "text": text}


def key(number: int) -> str:
    return f'{{"$oid":"{number:024x}"}}'


class Ours(Delegate):
    """One of two collections in one database: reads go through `before`, and what is cut alike is noted."""

    def __init__(self, inner: MongoConnector) -> None:
        super().__init__(inner)
        self.cuts: list[int] = []
        self.pages = 0
        self.before: Callable[[int], None] = lambda page: None

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        self.before(self.pages)
        self.pages += 1
        return await super().ListData(request)

    async def cut_alike(
        self, partitions: Sequence[wire.Partition], like: Sequence[wire.Partition]
    ) -> list[wire.Partition]:
        parts = await self.inner.cut_alike(partitions, like)
        self.cuts.append(len(parts))
        return parts


class Ends:
    """Two collections of equal documents and both ends as verification opens them."""

    def __init__(self, mongo: Mongo, uri: str, database: str) -> None:
        self.a, self.b = mongo[database].a, mongo[database].b
        self.uri, self.database = uri_of(uri, database), database
        self.a.insert_many(document(number) for number in range(COUNT))
        self.b.insert_many(document(number) for number in range(COUNT))
        self.before: Callable[[int], None] = lambda page: None
        self.cuts: list[int] = []

    async def verified(self, **settings: Any) -> Verified:
        one, other = (Ours(MongoConnector(self.uri, {"doc_partition": PARTITION, "max_page_size": PAGE})) for _ in "ab")
        one.before = self.before
        selection = namespaces.parse([f"{self.database}.a:{self.database}.b"])
        verified = await compared(one, other, selection=selection, **settings)
        self.cuts = one.cuts + other.cuts
        return verified


@pytest.fixture
def ends(mongo: Mongo, mongo_uri: str, database: str) -> Ends:
    return Ends(mongo, mongo_uri, database)


async def test_equal_collections_are_read_abreast_and_no_document_is_looked_at(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Window, "add", lambda *_: pytest.fail("looked at"))
    verified = await ends.verified()
    assert verified.outcome.result == "equal" and verified.outcome.namespaces[0].documents == [COUNT, COUNT]
    assert ends.cuts and min(ends.cuts) > 3


@pytest.mark.parametrize("side", ["a", "b"])
async def test_one_byte_of_any_document_is_found(ends: Ends, side: str) -> None:
    collection = getattr(ends, side)
    for place in PLACES:
        collection.replace_one({"_id": document(place)["_id"]}, document(place, "texu"))
        verified = await ends.verified(recheck=0)
        assert verified.found == {(key(place), "changed"): ["text"]}
        assert verified.outcome.namespaces[0].documents == [COUNT, COUNT] and ends.cuts
        collection.replace_one({"_id": document(place)["_id"]}, document(place))


@pytest.mark.parametrize("side", ["a", "b"])
async def test_one_document_that_only_one_side_has_is_found_wherever_it_stands(ends: Ends, side: str) -> None:
    collection, kind = getattr(ends, side), {"a": "missing", "b": "extra"}
    other = "b" if side == "a" else "a"
    for place in PLACES:
        collection.delete_one({"_id": document(place)["_id"]})
        assert (await ends.verified(recheck=0)).found == {(key(place), kind[other]): []}
        collection.insert_one(document(place))
    for outermost in (bson.MinKey(), ObjectId("f" * 24), bson.MaxKey()):
        collection.insert_one({"_id": outermost})
        assert [line["kind"] for line in (await ends.verified(recheck=0)).lines] == [kind[side]]
        collection.delete_one({"_id": outermost})
    assert (await ends.verified(recheck=0)).outcome.result == "equal"


async def test_the_same_fields_in_another_order_are_found(ends: Ends) -> None:
    moved = document(120)
    moved["n"] = moved.pop("n")
    ends.b.replace_one({"_id": moved["_id"]}, moved)
    assert (await ends.verified(recheck=0)).found == {(key(120), "changed"): ["n", "text"]}


async def test_a_number_of_another_type_is_found_where_the_id_is_that_number(ends: Ends) -> None:
    ends.a.insert_one({"_id": 5, "a": 1})
    ends.b.insert_one({"_id": bson.Int64(5), "a": 1})
    assert (await ends.verified(recheck=0)).found == {("5", "changed"): ["_id"]}


async def test_many_differences_beside_each_other_are_found(ends: Ends) -> None:
    ends.b.delete_many({"n": {"$gte": 40, "$lt": 170}})
    ends.b.update_many({"n": {"$gte": 200, "$lt": 230}}, {"$set": {"text": "other"}})
    ends.a.delete_many({"n": {"$gte": 260}})
    found = (await ends.verified(recheck=0)).found
    expected: dict[tuple[str, str], list[str]] = {(key(n), "missing"): [] for n in range(40, 170)}
    expected |= {(key(n), "changed"): ["text"] for n in range(200, 230)}
    assert found == expected | {(key(n), "extra"): [] for n in range(260, COUNT)}


async def test_a_collection_that_is_not_there_lacks_everything(ends: Ends) -> None:
    ends.b.drop()
    assert len((await ends.verified(recheck=0)).lines) == COUNT


async def test_what_is_written_while_it_is_read_is_no_difference_once_both_have_it(ends: Ends) -> None:
    def late(page: int) -> None:
        if page == 2:
            for collection in (ends.a, ends.b):
                collection.insert_many(document(number) for number in range(COUNT, COUNT + 40))
                collection.delete_many({"n": {"$gte": 100, "$lt": 120}})
        if page == 4:
            ends.a.update_many({"n": {"$lt": 60}}, {"$set": {"text": "new"}})
        if page == 9:
            ends.b.update_many({"n": {"$lt": 60}}, {"$set": {"text": "new"}})

    ends.before = late
    assert (await ends.verified()).outcome.result == "equal"


async def test_what_is_written_to_one_side_while_it_is_read_is_found_where_it_was_not_read_yet(ends: Ends) -> None:
    def late(page: int) -> None:
        if page == 0:
            ends.b.update_one({"n": 290}, {"$set": {"text": "new"}})

    ends.before = late
    assert (await ends.verified(tasks=1)).found == {(key(290), "changed"): ["text"]}


async def test_a_collection_that_is_dropped_while_it_is_read_is_never_equal(ends: Ends) -> None:
    def drop(page: int) -> None:
        if page == 3:
            ends.a.drop()
            ends.b.drop()

    ends.before = drop
    outcome = (await ends.verified()).outcome
    assert outcome.result == "incomplete" and outcome.error is not None
    assert "was dropped" in outcome.error.message


@pytest.mark.parametrize("collated", ["a", "b"])
async def test_a_collation_on_one_side_alone_makes_no_difference(
    mongo: Mongo, mongo_uri: str, database: str, collated: str
) -> None:
    mongo[database].create_collection(collated, collation={"locale": "en", "numericOrdering": True})
    for name in ("a", "b"):
        mongo[database][name].insert_many({"_id": str(13 * number), "n": number} for number in range(COUNT))
    connectors = [MongoConnector(uri_of(mongo_uri, database), {"doc_partition": PARTITION}) for _ in "ab"]
    selection = namespaces.parse([f"{database}.a:{database}.b"])
    verified = await compared(*connectors, selection=selection)
    assert verified.outcome.result == "equal" and verified.outcome.namespaces[0].documents == [COUNT, COUNT]


async def test_documents_that_begin_with_another_field_are_compared_with_their_id_in_front(ends: Ends) -> None:
    ends.b.replace_one(
        {"_id": document(7)["_id"]}, RawBSONDocument(bson.encode({"n": 7, "_id": document(7)["_id"], "text": "text"}))
    )
    assert (await ends.verified()).outcome.result == "equal"
