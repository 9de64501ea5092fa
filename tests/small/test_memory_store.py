from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Decimal128, Int64

from dsync import wire
from dsync.codec import raw
from dsync.errors import DataError, GapError
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore, key_of, merged
from tests.small.driving import follow, plan, read_all


def key(value: Any) -> bytes:
    return key_of(*raw.id_of(bson.encode({"_id": value})))


@pytest.mark.parametrize("values", [(1, 1.0, Int64(1), Decimal128("1.00")), (float("nan"), Decimal128("NaN"))])
def test_numbers_of_one_value_are_one_id(values: tuple[Any, ...]) -> None:
    assert len(set(map(key, values))) == 1


def test_other_ids_are_told_apart_by_type() -> None:
    values = ["1", 1, True, b"1", None, 1.5, Decimal128("1E+6144"), float("inf"), Decimal128("-Infinity"), {}, []]
    assert len(set(map(key, values[:-1]))) == len(values) - 1


def test_a_partial_update_keeps_the_bytes_of_other_fields() -> None:
    before = bson.encode({"_id": 1, "a": -0.0, "b": {"c": Int64(1)}, "d": 1})
    update = wire.Update(data=bson.encode({"b": 2, "e": 3}), partial_update_unset=["d", "missing"])
    assert merged(before, update) == bson.encode({"_id": 1, "a": -0.0, "b": 2, "e": 3})


async def test_a_lost_position_is_a_gap() -> None:
    store = MemoryStore()
    source = MemoryConnector(store)
    store.put("n", bson.encode({"_id": 1}))
    [partition] = (await plan(source, updates=True)).updates_partitions
    store.put("n", bson.encode({"_id": 1, "x": 1}))
    [message] = await follow(source, 1, partition.cursor)
    assert [update.type for update in message.updates] == [wire.UPDATE]
    store.forget_log()
    with pytest.raises(GapError):
        await follow(source, 1, partition.cursor)
    [present] = await follow(source, 1, b"")
    assert not present.updates


async def test_a_namespace_made_anew_has_another_identity() -> None:
    store = MemoryStore()
    sink = MemoryConnector(store)
    identities = []
    for _ in range(2):
        store.put("n", bson.encode({"_id": 1}))
        identities.append((await sink.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace="n"))).identity)
        store.drop("n")
    assert len(set(identities)) == 2


async def test_documents_written_while_partitions_are_read_are_in_one_of_them() -> None:
    store = MemoryStore()
    source = MemoryConnector(store, Shape(partitions=3, page_documents=2))
    store.load("n", [bson.encode({"_id": number}) for number in range(10)])
    partitions = (await plan(source)).partitions
    store.put("n", bson.encode({"_id": 10**9}))
    store.put("n", bson.encode({"_id": "text"}))
    seen: list[bytes] = []
    for partition in partitions:
        cursor = b""
        while True:
            page = await source.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=cursor))
            seen += page.data
            cursor = page.next_cursor
            if not cursor:
                break
    assert sorted(seen) == sorted(store.documents("n"))


async def test_a_sink_that_is_not_keyed_keeps_documents_of_one_id() -> None:
    store = MemoryStore()
    sink = MemoryConnector(store, Shape(keyed=False))
    document = bson.encode({"_id": 1})
    await sink.WriteData(wire.WriteDataRequest(namespace="n", data=[document, document], type=wire.BSON))
    assert await read_all(sink) == [document, document]


@pytest.mark.parametrize(
    "identity",
    [[], [wire.BsonValue(data=b"1", type=16)], [wire.BsonValue(type=300)], [wire.BsonValue(name="other", type=10)]],
)
async def test_updates_with_unusable_ids_are_refused(identity: list[wire.BsonValue]) -> None:
    update = wire.Update(id=identity, type=wire.DELETE)
    with pytest.raises(DataError):
        await MemoryConnector(MemoryStore()).WriteUpdates(
            wire.WriteUpdatesRequest(namespace="n", type=wire.BSON, updates=[update])
        )
