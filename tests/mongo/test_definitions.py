"""Indexes, validators, options and views come over with --indexes and --views, exactly, and in an order that loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from pymongo import IndexModel
from pymongo.errors import WriteError

from connectors.mongo.connector import MongoConnector
from dsync import wire
from dsync.errors import ConflictError, CursorError, DataError, UsageError
from dsync.namespaces import parse
from dsync.progress import Tracker
from dsync.run import migrate
from dsync.settings import Settings
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from tests.mongo.driving import Mongo, uri_of

GERMAN = {"locale": "de", "strength": 2}
INDEXES = [
    IndexModel("plain"),
    IndexModel([("b", 1), ("a", -1)], name="compound", sparse=True),
    IndexModel("email", name="unique", unique=True, partialFilterExpression={"email": {"$exists": True}}),
    IndexModel("when", name="ttl", expireAfterSeconds=3600),
    IndexModel("name", name="german", collation=GERMAN),
    IndexModel([("title", "text"), ("body", "text")], name="text", weights={"title": 5}, default_language="french"),
    IndexModel([("place", "2dsphere")], name="sphere"),
    IndexModel([("x", "hashed")], name="hashed"),
    IndexModel("secret", name="hidden", hidden=True),
    IndexModel("$**", name="wildcard", wildcardProjection={"plain": 0}),
]


@pytest.fixture
def target(mongo: Mongo, database: str) -> Iterator[str]:
    yield f"{database}t"
    mongo.drop_database(f"{database}t")


class Pair:
    """A copy from one database to the other."""

    def __init__(self, mongo_uri: str, database: str) -> None:
        self.uri, self.database = uri_of(mongo_uri), database
        self.tracker = Tracker()

    async def run(self, *, stop: asyncio.Event | None = None, names: str = "", **changes: Any) -> None:
        names = names or f"{self.database}:{self.database}t"
        given: dict[str, Any] = {"metadata": "memory:", "retry_for": 0, "until_caught_up": True, "indexes": True}
        settings = Settings(selection=parse([names]), **(given | changes))
        self.tracker = Tracker()
        async with asyncio.timeout(60):
            ends = MongoConnector(self.uri, {"stream_wait": 0.05}), MongoConnector(self.uri, {})
            await migrate(*ends, settings, tracker=self.tracker, stop=stop)


@pytest.fixture
def pair(mongo_uri: str, database: str, target: str) -> Pair:
    return Pair(mongo_uri, database)


def indexes(mongo: Mongo, database: str, name: str) -> list[dict[str, Any]]:
    return sorted((dict(each) for each in mongo[database][name].list_indexes()), key=lambda each: each["name"])


def options(mongo: Mongo, database: str, name: str) -> dict[str, Any]:
    (found,) = mongo[database].list_collections(filter={"name": name})
    return dict(found["options"])


@pytest.mark.parametrize("mode", ["Full", "InitialSync"])
async def test_indexes_of_every_kind_come_over_and_are_no_longer_listed_as_lost(
    pair: Pair, mongo: Mongo, database: str, target: str, mode: str
) -> None:
    mongo[database].a.create_indexes(INDEXES)
    mongo[database].a.insert_many([{"_id": number, "email": str(number), "plain": 1} for number in range(50)])
    await pair.run(mode=mode)
    assert indexes(mongo, target, "a") == indexes(mongo, database, "a")
    assert mongo[target].a.count_documents({}) == 50
    assert [warning for warning in pair.tracker.warnings if "not carried" in warning] == []
    assert any("TTL index 'ttl'" in warning for warning in pair.tracker.warnings)
    await pair.run(mode=mode)


@pytest.mark.parametrize(
    "given",
    [
        {"capped": True, "size": 8192, "max": 100},
        {"collation": GERMAN},
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True, "name": "own"}, "expireAfterSeconds": 3600},
        {"validator": {"a": {"$type": "int"}}, "validationLevel": "moderate", "validationAction": "warn"},
        {"changeStreamPreAndPostImages": {"enabled": True}},
    ],
    ids=lambda given: next(iter(given)),
)
async def test_options_of_collections_come_over_also_of_empty_ones(
    pair: Pair, mongo: Mongo, database: str, target: str, given: dict[str, Any]
) -> None:
    for name in ("a", "empty"):
        mongo[database].command({"create": name, **given})
    mongo[database].a.insert_many([{"_id": number, "a": number} for number in range(10)])
    await pair.run(mode="Full")
    for name in ("a", "empty"):
        assert options(mongo, target, name) == options(mongo, database, name)
    assert mongo[target].a.count_documents({}) == 10


async def test_a_validator_comes_after_documents_that_it_would_refuse(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    mongo[database].a.insert_one({"_id": 1, "a": "old"})
    mongo[database].command({"collMod": "a", "validator": {"a": {"$type": "int"}}})
    await pair.run(mode="InitialSync")
    assert mongo[target].a.count_documents({}) == 1
    with pytest.raises(WriteError):
        mongo[target].a.insert_one({"a": "new"})


async def test_a_unique_index_waits_for_the_changes_that_make_it_possible(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    """While the copy reads, a value moves from a document that was read to one that was not."""
    source = mongo[database].a
    source.create_index("u", unique=True)
    source.insert_many([{"_id": number, "u": number} for number in range(20)])

    class Moving(MongoConnector):
        async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
            page = await super().ListData(request)
            if not request.cursor:
                source.update_one({"_id": 0}, {"$set": {"u": 100}})
                source.update_one({"_id": 19}, {"$set": {"u": 0}})
            return page

    moving = Moving(pair.uri, {"stream_wait": 0.05, "max_page_size": 10})
    settings = Settings(
        metadata="memory:",
        retry_for=0,
        mode="Full",
        until_caught_up=True,
        indexes=True,
        selection=parse([f"{database}:{target}"]),
    )
    async with asyncio.timeout(60):
        await migrate(moving, MongoConnector(pair.uri, {}), settings)
    assert indexes(mongo, target, "a") == indexes(mongo, database, "a")
    assert list(mongo[target].a.find().sort("_id")) == list(source.find().sort("_id"))


async def test_a_unique_index_that_the_destination_cannot_have_is_an_error_after_all_else(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    mongo[database].a.create_indexes([IndexModel("u", unique=True), IndexModel("v", unique=True), IndexModel("w")])
    mongo[database].a.insert_one({"_id": 1, "u": 1, "v": 1})
    mongo[target].a.insert_one({"_id": "there before", "u": 1})
    for mode in ("InitialSync", "Full"):
        with pytest.raises(ConflictError, match="'u_1'"):
            await pair.run(mode=mode)
        assert {each["name"] for each in indexes(mongo, target, "a")} == {"_id_", "v_1", "w_1"}


async def test_indexes_that_are_made_while_changes_are_followed_come_over_at_their_end(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    mongo[database].a.insert_one({"_id": 1})

    class Late(MongoConnector):
        async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
            plan = await super().GeneratePlan(request)
            mongo[database].b.create_index("x")
            mongo[database].b.insert_one({"_id": 1})
            return plan

    late = Late(pair.uri, {"stream_wait": 0.05})
    selection = parse([f"{database}:{target}"])
    settings = Settings(metadata="memory:", mode="Full", until_caught_up=True, indexes=True, selection=selection)
    async with asyncio.timeout(60):
        await migrate(late, MongoConnector(pair.uri, {}), settings)
    assert indexes(mongo, target, "b") == indexes(mongo, database, "b")
    assert mongo[target].b.count_documents({}) == 1


async def test_while_a_unique_index_is_not_there_nothing_is_safe_to_cut_over(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    mongo[database].a.create_index("u", unique=True)
    mongo[database].a.insert_one({"_id": 1, "u": 1})
    mongo[target].a.insert_one({"_id": "there before", "u": 1})
    stop = asyncio.Event()
    run = asyncio.create_task(pair.run(mode="Full", until_caught_up=False, stop=stop))
    async with asyncio.timeout(30):
        while pair.tracker.lag_seconds != 0:
            await asyncio.sleep(0.02)
        assert not pair.tracker.safe_to_cut_over
        mongo[target].a.delete_one({"_id": "there before"})
        while not pair.tracker.safe_to_cut_over:
            await asyncio.sleep(0.02)
    stop.set()
    await run
    assert indexes(mongo, target, "a") == indexes(mongo, database, "a")


async def test_what_is_there_and_is_another_is_refused_by_name(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    mongo[database].a.create_index("x", name="mine")
    mongo[database].a.insert_one({})
    mongo[target].a.create_index("y", name="mine")
    with pytest.raises(DataError, match="has another index in the place of one of 'mine'"):
        await pair.run(mode="InitialSync")
    mongo[database].create_collection("b", capped=True, size=4096)
    mongo[target].create_collection("b")
    with pytest.raises(DataError, match="option 'capped' is another"):
        await pair.run(mode="InitialSync", names=f"{database}.b:{target}.b")


async def test_views_come_over_with_the_names_of_the_destination(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    source = mongo[database]
    source.a.insert_many([{"_id": number, "b": number % 2} for number in range(6)])
    source.b.insert_one({"_id": 1})
    source.create_collection("some", viewOn="a", pipeline=[{"$match": {"b": 1}}], collation=GERMAN)
    lookup = {"from": "b", "localField": "b", "foreignField": "_id", "as": "c"}
    facet = {"$facet": {"x": [{"$lookup": lookup}]}}
    source.create_collection("joined", viewOn="some", pipeline=[facet], collation=GERMAN)
    for _ in range(2):
        await pair.run(mode="Full", views=True, indexes=False)
        assert options(mongo, target, "some") == options(mongo, database, "some")
        assert list(mongo[target].joined.find()) == list(source.joined.find())
    assert not any("view" in warning for warning in pair.tracker.warnings)


async def test_a_view_follows_its_collection_under_another_name_and_says_where_it_cannot(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    source = mongo[database]
    source.a.insert_one({"_id": 1})
    source.create_collection("v", viewOn="a", pipeline=[])
    names = f"{database}.a:{target}.z,{database}.v:{target}.v"
    await pair.run(mode="Full", views=True, names=names)
    assert options(mongo, target, "v")["viewOn"] == "z"
    source.create_collection("w", viewOn="v", pipeline=[{"$unionWith": "a"}])
    await pair.run(mode="Full", views=True, names=f"{names},{database}.w:{target}.w")
    assert any(
        f"'{target}.w' is not made: what it reads is called '{target}.z'" in warning
        for warning in pair.tracker.warnings
    )
    assert "w" not in mongo[target].list_collection_names()
    mongo[target].v.drop()
    mongo[target].create_collection("v")
    with pytest.raises(DataError, match="is there already, and is another view or a collection"):
        await pair.run(mode="Full", views=True, names=names)


async def test_without_being_asked_nothing_comes_over(pair: Pair, mongo: Mongo, database: str, target: str) -> None:
    mongo[database].a.create_index("x")
    mongo[database].a.insert_one({})
    await pair.run(mode="Full", indexes=False)
    assert [each["name"] for each in indexes(mongo, target, "a")] == ["_id_"]
    assert any("not carried over: 1 secondary index" in warning for warning in pair.tracker.warnings)


async def test_pairs_and_modes_that_cannot_are_refused_before_anything_is_written(
    pair: Pair, mongo: Mongo, database: str, target: str
) -> None:
    mongo[database].a.insert_one({})
    with pytest.raises(UsageError, match="--indexes goes with a copy"):
        await pair.run(mode="CDC")
    settings = Settings(metadata="memory:", views=True, selection=parse([database]))
    store = MemoryStore()
    with pytest.raises(UsageError, match="--views cannot work between mongodb and memory"):
        await migrate(MongoConnector(pair.uri, {}), MemoryConnector(store), settings)
    assert not store.namespaces


@pytest.mark.parametrize("data", [b"", b"garbage", bson.encode({"v": 99})])
async def test_a_definition_of_something_else_is_refused(mongo_uri: str, database: str, data: bytes) -> None:
    definition = wire.Definition(namespace=f"{database}.a", data=data)
    async with MongoConnector(uri_of(mongo_uri), {}) as sink:
        with pytest.raises(CursorError, match="definition"):
            await sink.WriteDefinition(wire.WriteDefinitionRequest(definition=definition))
