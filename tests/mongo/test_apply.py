"""A stream's updates at the destination: in order for each id, in any for different ones, and no matter how often."""

from __future__ import annotations

import itertools
from typing import Any

import bson
import pytest
from bson.int64 import Int64
from bson.timestamp import Timestamp

from dsync import wire
from dsync.codec import raw
from dsync.errors import ConflictError, DataError, GapError, TransientError
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, fail, stored
from tests.mongo.test_read import EVERY_TYPE
from tests.mongo.test_write import ODD

CANARY = "c4n4ry"


def part(value: Any, name: str = "") -> wire.BsonValue:
    kind, data = raw.id_of(bson.encode({"_id": value}))
    return wire.BsonValue(type=kind, data=data, name=name)


def put(id_: Any, **fields: Any) -> wire.Update:
    return wire.Update(id=[part(id_)], type=wire.UPDATE, data=bson.encode({"_id": id_, **fields}))


def delete(id_: Any) -> wire.Update:
    return wire.Update(id=[part(id_)], type=wire.DELETE)


def change(id_: Any, unset: tuple[str, ...] = (), **fields: Any) -> wire.Update:
    data = bson.encode(fields) if fields else b""
    return wire.Update(id=[part(id_)], type=wire.PARTIAL_UPDATE, data=data, partial_update_unset=unset)


async def apply(sink: Any, *updates: wire.Update, namespace: str = "a") -> None:
    await sink.WriteUpdates(wire.WriteUpdatesRequest(namespace=namespace, updates=updates, type=wire.BSON))


STORIES: list[tuple[list[wire.Update], dict[str, Any] | None]] = [
    ([put(1, v=1)], {"v": 1}),
    ([put(1, v=1), put(1, v=2)], {"v": 2}),
    ([put(1, v=1), delete(1)], None),
    ([delete(1), put(1, v=1)], {"v": 1}),
    ([delete(1)], None),
    ([change(1, v=1)], {"old": 1, "v": 1}),
    ([change(1, unset=("old",))], {}),
    ([change(1, unset=("old",), v=1), change(1, v=2, w=3)], {"v": 2, "w": 3}),
    ([put(1, v=1), change(1, w=2)], {"v": 1, "w": 2}),
    ([change(1, w=2), put(1, v=1)], {"v": 1}),
    ([put(1, v=1), change(1, w=2), change(1, unset=("v",))], {"w": 2}),
    ([delete(1), change(1, w=2)], None),
    ([change(1, w=2), delete(1)], None),
    ([change(1)], {"old": 1}),
    ([change(1, t=Timestamp(0, 0))], {"old": 1, "t": Timestamp(0, 0)}),
    ([put(1, v=1), put(1.0, v=2), change(Int64(1), w=3)], {"v": 2, "w": 3}),
]


@pytest.mark.parametrize(("updates", "leaves"), STORIES)
async def test_updates_of_one_id_are_applied_in_order_and_again_change_nothing(
    connect: Connect, mongo: Mongo, database: str, updates: list[wire.Update], leaves: dict[str, Any] | None
) -> None:
    mongo[database].a.insert_one({"_id": 1, "old": 1})
    sink = await connect()
    expected = [] if leaves is None else [{"_id": 1, **leaves}]
    for _ in range(2):
        await apply(sink, *updates)
        assert list(mongo[database].a.find()) == expected


async def test_all_stories_of_different_ids_fit_into_one_batch(connect: Connect, mongo: Mongo, database: str) -> None:
    def renamed(update: wire.Update, number: int) -> wire.Update:
        copy = wire.Update()
        copy.CopyFrom(update)
        copy.id[0].CopyFrom(part(f"{number}"))
        if copy.data and copy.type != wire.PARTIAL_UPDATE:
            copy.data = bson.encode({**bson.decode(copy.data), "_id": f"{number}"})
        return copy

    mongo[database].a.insert_many([{"_id": str(i), "old": 1} for i in range(len(STORIES))])
    told = [[renamed(update, i) for update in updates] for i, (updates, _) in enumerate(STORIES)]
    mixed = [update for step in itertools.zip_longest(*told) for update in step if update is not None]
    sink = await connect()
    for _ in range(2):
        await apply(sink, *mixed)
    expected = {str(i): leaves for i, (_, leaves) in enumerate(STORIES) if leaves is not None}
    assert {each.pop("_id"): each for each in mongo[database].a.find()} == expected


async def test_deletes_remove_exactly_the_id_of_every_type(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": each} for each in EVERY_TYPE])
    sink = await connect()
    await apply(sink, delete(bson.regex.Regex(".")), delete({"$gt": 0}), delete([1]), delete("nosuch"))
    assert len(stored(mongo, database, "a")) == len(EVERY_TYPE)
    for count, each in enumerate(EVERY_TYPE, 1):
        await apply(sink, delete(each))
        assert len(stored(mongo, database, "a")) == len(EVERY_TYPE) - count


async def test_updates_of_every_type_of_id_arrive(connect: Connect, mongo: Mongo, database: str) -> None:
    sink = await connect()
    updates = [put(each, v=i) for i, each in enumerate(EVERY_TYPE)]
    for _ in range(2):
        await apply(sink, *updates)
        assert stored(mongo, database, "a") == sorted(update.data for update in updates)


async def test_int64_five_and_a_date_of_five_milliseconds_are_two_ids(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    date = bson.datetime_ms.DatetimeMS(5)
    sink = await connect()
    await apply(sink, put(Int64(5), v=1), put(date, v=2), delete(Int64(5)))
    assert [each["v"] for each in mongo[database].a.find()] == [2]


@pytest.mark.parametrize("name", ODD)
async def test_documents_of_updates_arrive_byte_for_byte(
    connect: Connect, mongo: Mongo, database: str, name: str
) -> None:
    mongo[database].a.insert_one({"_id": 1, "old": 1})
    sink = await connect()
    for _ in range(2):
        await apply(sink, wire.Update(id=[part(1)], type=wire.UPDATE, data=ODD[name]))
        assert stored(mongo, database, "a") == [ODD[name]]


async def test_a_unique_value_may_move_between_documents(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.create_index("u", unique=True)
    mongo[database].a.insert_many([{"_id": 1, "u": "a"}, {"_id": 2, "u": "b"}, {"_id": 3, "u": "c"}])
    sink = await connect()
    await apply(sink, put(4, u="a"), delete(1), put(2, u="c"), put(3, u="d"))
    assert {each["_id"]: each["u"] for each in mongo[database].a.find()} == {4: "a", 2: "c", 3: "d"}


async def test_documents_may_take_each_others_unique_values(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.create_index("u", unique=True)
    mongo[database].a.insert_many([{"_id": number, "u": number} for number in range(9)])
    sink = await connect()
    # two circles, a chain that ends at a free value, and one that stays as it is
    wanted = {0: 1, 1: 0, 2: 3, 3: 4, 4: 2, 5: 6, 6: 7, 7: 99, 8: 8}
    await apply(sink, *(put(number, u=value) for number, value in wanted.items()))
    assert {each["_id"]: each["u"] for each in mongo[database].a.find()} == wanted


async def test_a_circle_is_left_as_it_is_where_somebody_else_has_the_value(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.create_index("u", unique=True)
    mongo[database].a.insert_many([{"_id": number, "u": number} for number in range(3)])
    sink = await connect()
    with pytest.raises(ConflictError, match="int32 0"):
        await apply(sink, put(0, u=1))
    assert {each["_id"]: each["u"] for each in mongo[database].a.find()} == {0: 0, 1: 1, 2: 2}


async def test_a_unique_value_that_is_taken_stops_with_the_id(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.create_index("u", unique=True)
    mongo[database].a.insert_one({"_id": 1, "u": CANARY})
    sink = await connect()
    for update in (put(2, u=CANARY), change(3, u=CANARY)):
        mongo[database].a.replace_one({"_id": 3}, {"_id": 3, "u": 3}, upsert=True)
        with pytest.raises(DataError, match="int32") as caught:
            await apply(sink, update)
        assert CANARY not in str(caught.value)


async def test_an_unknown_type_of_update_is_a_gap_and_nothing_is_applied(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    sink = await connect()
    for kind in (0, 99):
        strange = put(2)
        strange.type = kind  # type: ignore[assignment]  # from a peer that knows more types
        with pytest.raises(GapError, match="not understood"):
            await apply(sink, put(1), strange)
    assert stored(mongo, database, "a") == []


@pytest.mark.parametrize(
    "update",
    [
        wire.Update(type=wire.DELETE),
        wire.Update(id=[part(1, "other")], type=wire.DELETE),
        wire.Update(id=[part(1)], type=wire.UPDATE),
        wire.Update(id=[part(1)], type=wire.UPDATE, data=bson.encode({"_id": 2})),
        wire.Update(id=[part(1)], type=wire.UPDATE, data=bson.encode({"a": 2})),
        *(wire.Update(id=[part(1)], type=wire.PARTIAL_UPDATE, data=bson.encode({key: 1})) for key in ("a.b", "$a", "")),
        change(1, unset=("a.b",)),
        change(1, unset=("a",), a=1),
    ],
)
async def test_updates_that_cannot_be_meant_are_refused(connect: Connect, update: wire.Update) -> None:
    with pytest.raises(DataError):
        await apply(await connect(), update)


async def test_a_changed_id_among_changed_fields_is_no_change(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({"_id": 1})
    await apply(await connect(), change(1, _id=1, v=2))
    assert list(mongo[database].a.find()) == [{"_id": 1, "v": 2}]


async def test_a_key_of_several_parts_finds_the_document_and_one_that_moved(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    sink = await connect()
    for region in ("eu", "us"):
        document = {"_id": 1, "place": {"region": region}}
        key = [part(region, "place.region"), part(1, "_id")]
        await apply(sink, wire.Update(id=key, type=wire.UPDATE, data=bson.encode(document)))
        assert list(mongo[database].a.find()) == [document]
    await apply(sink, wire.Update(id=key, type=wire.DELETE))
    assert list(mongo[database].a.find()) == []


async def test_many_updates_are_split_into_commands(connect: Connect, mongo: Mongo, database: str) -> None:
    sink = await connect(writer_batch_size=7)
    await apply(sink, *(put(i, v=1) for i in range(30)))
    await apply(sink, *(change(i, w=2) for i in range(30)), *(delete(i) for i in range(100, 130)))
    assert mongo[database].a.count_documents({"v": 1, "w": 2}) == 30
    await apply(sink, *(delete(i) for i in range(30)))
    assert mongo[database].a.count_documents({}) == 0


@pytest.mark.parametrize("command", ["update", "delete"])
async def test_a_fault_of_the_server_is_transient_and_the_same_updates_are_applied_again(
    connect: Connect, mongo: Mongo, database: str, command: str
) -> None:
    mongo[database].a.insert_one({"_id": 1})
    sink = await connect()
    updates = [delete(1), put(2, v=1), change(2, w=1)]
    for what in ({"errorCode": 91}, {"closeConnection": True}, {"writeConcernError": {"code": 91, "errmsg": "no"}}):
        fail(mongo, database, [command], **what)
        with pytest.raises(TransientError):
            await apply(sink, *updates)
        await apply(sink, *updates)
    assert list(mongo[database].a.find()) == [{"_id": 2, "v": 1, "w": 1}]
