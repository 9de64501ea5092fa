"""A collection can be cut where another one is cut, or it is said that it cannot."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import bson
import pytest
from bson import ObjectId

from connectors.mongo.alignment import is_ascending
from connectors.mongo.cursors import PartitionCursor
from dsync import wire
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, plan, read, stored

COUNT = 1000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
IDS: dict[str, Callable[[int], Any]] = {
    "object ids": lambda n: ObjectId(f"{n:024x}"),
    "numbers": lambda n: n - COUNT // 2,
    "large numbers": lambda n: bson.Int64(n << 40),
    "texts": lambda n: f"{'é' * (n % 3)}{n}",
    "uuids": lambda n: bson.Binary.from_uuid(uuid.UUID(int=n << 100)),
    "binaries of some lengths": lambda n: b"x" * (n % 5) + bytes(divmod(n, 256)),
    "dates": lambda n: EPOCH + dt.timedelta(hours=n - COUNT // 2),
    "some types": lambda n: (n, f"{n}", ObjectId(f"{n:024x}"), EPOCH + dt.timedelta(hours=n))[n % 4],
}


def fill(mongo: Mongo, database: str, collection: str, ids: list[Any], **options: Any) -> None:
    mongo[database].create_collection(collection, **options)
    mongo[database][collection].insert_many([{"_id": each, "text": "x" * 50} for each in ids])


async def cut(connect: Connect, ours: str, theirs: str) -> list[wire.Partition]:
    """The partitions of the one, cut like those of the other."""
    small, large = await connect(doc_partition=100), await connect(doc_partition=350)
    like = (await plan(small, theirs)).partitions
    assert len(like) > 3
    return await large.cut_alike((await plan(large, ours)).partitions, like)


@pytest.mark.parametrize("kind", IDS)
async def test_what_is_cut_alike_holds_every_document_once_in_the_same_ranges(
    connect: Connect, mongo: Mongo, database: str, kind: str
) -> None:
    ids = [IDS[kind](number) for number in range(COUNT)]
    fill(mongo, database, "theirs", ids[50:-50])
    fill(mongo, database, "ours", ids[::2])
    connector = await connect(doc_partition=100)
    parts = await cut(connect, "ours", "theirs")
    assert sorted(await read(connector, parts)) == sorted(stored(mongo, database, "ours"))
    cursors = [PartitionCursor.decode(part.cursor) for part in parts]
    others = [PartitionCursor.decode(part.cursor) for part in (await plan(connector, "theirs")).partitions]
    assert [(each.lower, each.upper) for each in cursors] == [(each.lower, each.upper) for each in others]
    assert {each.uuid for each in cursors}.isdisjoint(each.uuid for each in others)


COLLATION = {"collation": {"locale": "en", "numericOrdering": True}}


@pytest.mark.parametrize("options", [(COLLATION, {}), ({}, COLLATION), (COLLATION, COLLATION)])
async def test_texts_are_not_cut_alike_where_a_collation_orders_them(
    connect: Connect, mongo: Mongo, database: str, options: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    ids = [str(13 * number) for number in range(COUNT)]
    fill(mongo, database, "theirs", ids, **options[0])
    fill(mongo, database, "ours", ids, **options[1])
    assert await cut(connect, "ours", "theirs") == []


async def test_a_collation_does_not_matter_to_other_ids(connect: Connect, mongo: Mongo, database: str) -> None:
    ids = [ObjectId() for _ in range(COUNT)]
    fill(mongo, database, "theirs", ids, **COLLATION)
    fill(mongo, database, "ours", ids)
    assert len(await cut(connect, "ours", "theirs")) > 3
    assert len(await cut(connect, "theirs", "ours")) > 3


async def test_ids_of_which_the_order_is_not_known_are_not_cut_alike(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    for collection in ("ours", "theirs"):
        fill(mongo, database, collection, [{"a": number} for number in range(COUNT)])
    assert await cut(connect, "ours", "theirs") == []


async def test_a_collection_as_a_whole_is_cut_alike_whatever_its_ids(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    for collection in ("ours", "theirs"):
        fill(mongo, database, collection, [{"a": number} for number in range(COUNT)])
    connector = await connect()
    whole = [list((await plan(connector, name)).partitions) for name in ("ours", "theirs")]
    parts = await connector.cut_alike(whole[0], whole[1])
    assert await read(connector, parts) == await read(connector, whole[0])


async def test_only_whole_collections_are_cut_alike(connect: Connect, mongo: Mongo, database: str) -> None:
    for collection in ("ours", "theirs"):
        fill(mongo, database, collection, [ObjectId() for _ in range(COUNT)])
    connector = await connect(doc_partition=100)
    ours, theirs = [[*(await plan(connector, name)).partitions] for name in ("ours", "theirs")]
    assert await connector.cut_alike(ours, theirs)
    broken = (theirs[1:], theirs[:-1], theirs[::-1], [*theirs[:2], *theirs[3:]], [*theirs[:2], *ours[2:]])
    for parts in broken:
        assert await connector.cut_alike(ours, parts) == []
        assert await connector.cut_alike(parts, theirs) == []


async def test_another_kind_of_store_is_no_pattern(connect: Connect, mongo: Mongo, database: str) -> None:
    fill(mongo, database, "ours", [ObjectId() for _ in range(COUNT)])
    store = MemoryStore("other")
    store.load("shop.things", [bson.encode({"_id": number}) for number in range(9)])
    other = (await MemoryConnector(store).GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))).partitions
    connector = await connect(doc_partition=100)
    ours = (await plan(connector, "ours")).partitions
    assert await connector.cut_alike(ours, other) == [] == await MemoryConnector(store).cut_alike(other, ours)


@pytest.mark.parametrize(
    "ids",
    [
        [2, 1],
        [1, 1],
        [1, bson.Int64(1)],
        ["a", 1],
        ["b", "a"],
        [b"bb", b"c"],
        [ObjectId("1" * 24), b"a"],
        [True],
        [1.0],
    ],
)
def test_bounds_that_are_not_surely_in_order_are_told(ids: list[Any]) -> None:
    assert not is_ascending([bson.encode({"_id": each}) for each in ids])


@pytest.mark.parametrize(
    "ids", [[], [-1, 0, bson.Int64(1 << 40)], [9, "a", b"", ObjectId("1" * 24), EPOCH], ["a", "a\0", "b"]]
)
def test_bounds_in_the_order_of_the_server_are_told(ids: list[Any]) -> None:
    assert is_ascending([bson.encode({"_id": each}) for each in ids])
