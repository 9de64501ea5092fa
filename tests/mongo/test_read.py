"""Every document comes over once, whatever its id, the page size and what is still open."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.code import Code
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.timestamp import Timestamp

from dsync import wire
from dsync.errors import CursorError, GapError, TransientError
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, fail, pages, plan, read, stored

EVERY_TYPE: list[Any] = [
    *(MinKey(), None, MaxKey(), True, False, float("nan"), float("inf"), float("-inf"), -0.0, 1, 1.5, Int64(2**62)),
    *(Decimal128("1.25"), Decimal128("1E+6000"), Decimal128("-1E-6000"), "", "a", "A", "ä", "a\0b", "z" * 2000),
    *({}, {"a": 1}, {"a": 2}, {"b": None}, {"a": {"b": [1, 2]}}, b"", b"a", Binary(b"a", 4), Binary(b"a", 128)),
    *(
        bson.ObjectId("0" * 24),
        bson.ObjectId("f" * 24),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 1, 1, tzinfo=UTC),
    ),
    *(Timestamp(0, 0), Timestamp(2**32 - 1, 1), Code("f"), Code("f", {"a": 1}), bson.datetime_ms.DatetimeMS(2**62)),
]


def ids_of_ten_types(count: int) -> Iterator[Any]:
    start = datetime(2000, 1, 1, tzinfo=UTC)
    for i in range(count // 10):
        yield from (i, i + 0.5, Int64(10**12 + i), str(i), bson.ObjectId(i.to_bytes(12, "big")))
        yield from (start + timedelta(seconds=i), {"a": i, "b": str(i)}, Binary(str(i).encode()))
        yield from (Decimal128(f"{i}.25"), Timestamp(i + 1, 1))


def fill(mongo: Mongo, database: str, name: str, ids: list[Any]) -> None:
    shuffled = random.Random(5).sample(ids, len(ids))
    mongo[database][name].insert_many([{"_id": each, "n": i, "pad": "x" * (i % 50)} for i, each in enumerate(shuffled)])


async def test_twenty_partitions_of_ten_types_come_over_whole(connect: Connect, mongo: Mongo, database: str) -> None:
    fill(mongo, database, "many", list(ids_of_ten_types(20_000)))
    source = await connect(doc_partition=1_000)
    partitions = (await plan(source)).partitions
    assert len(partitions) == 20
    assert sorted(await read(source, partitions)) == stored(mongo, database, "many")


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("partition_size", [1, 5, 1000])
async def test_every_id_type_comes_over_in_the_same_pages_warm_and_cold(
    connect: Connect, mongo: Mongo, database: str, page_size: int, partition_size: int
) -> None:
    fill(mongo, database, "types", EVERY_TYPE)
    source = await connect(doc_partition=partition_size, max_page_size=page_size)
    partitions = (await plan(source)).partitions
    warm = [await pages(source, partition) for partition in partitions]
    cold = [await pages(source, partition, cold=True) for partition in partitions]
    assert warm == cold
    assert sorted(itertools.chain(*(page for run in warm for page, _ in run))) == stored(mongo, database, "types")
    assert all(len(page) == page_size for run in warm for page, following in run if following)


@pytest.mark.parametrize(
    "options",
    [
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
        {"collation": {"locale": "de", "strength": 3}},
        {"collation": {"locale": "en", "numericOrdering": True, "caseFirst": "upper"}},
        {"capped": True, "size": 1 << 20},
    ],
    ids=["clustered", "collation", "numeric collation", "capped"],
)
@pytest.mark.parametrize("page_size", [1, 4, 1000])
async def test_collections_of_other_kinds_come_over_whole(
    connect: Connect, mongo: Mongo, database: str, options: dict[str, Any], page_size: int
) -> None:
    mongo[database].create_collection("special", **options)
    fill(mongo, database, "special", [*EVERY_TYPE, *(str(i) for i in range(30)), "Str", "str", "STR"])
    source = await connect(doc_partition=9, max_page_size=page_size)
    partitions = (await plan(source)).partitions
    assert len(partitions) > 3
    warm = [await pages(source, partition) for partition in partitions]
    assert warm == [await pages(source, partition, cold=True) for partition in partitions]
    assert sorted(itertools.chain(*(page for run in warm for page, _ in run))) == stored(mongo, database, "special")


async def test_pages_hold_as_many_documents_of_average_size_as_fit(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].large.insert_many([{"_id": i, "s": "x" * 300_000} for i in range(12)])
    source = await connect()
    (partition,) = (await plan(source)).partitions
    warm = await pages(source, partition)
    assert [len(page) for page, _ in warm] == [6, 6, 0]
    assert warm == await pages(source, partition, cold=True)


async def test_pages_end_by_bytes_too(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].mixed.insert_many([{"_id": i, "s": "x" * (1_000 if i < 8 else 1_200_000)} for i in range(16)])
    source = await connect()
    (partition,) = (await plan(source)).partitions
    warm = await pages(source, partition)
    assert [len(page) for page, _ in warm] == [3, 3, 3, 2, 2, 2, 1]
    assert warm == await pages(source, partition, cold=True)


async def test_a_document_of_the_greatest_size_comes_over(connect: Connect, mongo: Mongo, database: str) -> None:
    room = (16 << 20) - len(bson.encode({"_id": 1, "s": ""}))
    mongo[database].huge.insert_one({"_id": 1, "s": "x" * room})
    source = await connect()
    (document,) = await read(source, (await plan(source)).partitions)
    assert len(document) == 16 << 20


async def test_a_cursor_works_in_another_connector(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(10)])
    first, second = await connect(max_page_size=3), await connect(max_page_size=5)
    (partition,) = (await plan(first)).partitions
    cursor = (await pages(first, partition))[0][1]
    answer = await second.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=cursor))
    assert [bson.decode(document)["_id"] for document in answer.data] == [3, 4, 5]


async def test_reading_goes_on_after_the_last_document_read_was_deleted(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(6)])
    source = await connect(max_page_size=2)
    (partition,) = (await plan(source)).partitions
    cursor = (await pages(source, partition))[0][1]
    mongo[database].a.delete_one({"_id": 1})
    answer = await source.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=cursor))
    assert [bson.decode(document)["_id"] for document in answer.data] == [2, 3]


async def test_open_scans_are_bounded_and_can_be_lost(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(40)])
    source = await connect(doc_partition=4, max_page_size=1)
    source._reader._warm_scans = 2
    partitions = list((await plan(source)).partitions)
    cursors = dict.fromkeys(range(len(partitions)), b"")
    found: list[bytes] = []
    while cursors:
        for i, cursor in list(cursors.items()):
            request = wire.ListDataRequest(partition=partitions[i], type=wire.BSON, cursor=cursor)
            answer = await source.ListData(request)
            found += answer.data
            cursors[i] = answer.next_cursor
            assert len(source._reader._scans) <= 2
        cursors = {i: cursor for i, cursor in cursors.items() if cursor}
    assert sorted(found) == stored(mongo, database, "a")


async def test_a_cursor_that_the_server_lost_is_opened_again(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": i, "s": "x" * 1000} for i in range(5000)])
    source = await connect()
    (partition,) = (await plan(source)).partitions
    cursor = (await pages(source, partition))[0][1]
    await source._reader.close()
    request = wire.ListDataRequest(partition=partition, type=wire.BSON)
    first = await source.ListData(request)
    fail(mongo, database, ["getMore"], errorCode=43)
    second = await source.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=cursor))
    assert (second.data[0], first.next_cursor) == (stored_after(first), cursor)


def stored_after(page: wire.ListDataResponse) -> bytes:
    last = bson.decode(page.data[-1])
    return bson.encode({"_id": last["_id"] + 1, "s": last["s"]})


@pytest.mark.parametrize("code", [6, 91, 189, 11600])
async def test_a_server_that_steps_down_is_a_transient_error_and_the_same_call_goes_on(
    connect: Connect, mongo: Mongo, database: str, code: int
) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(5)])
    source = await connect()
    (partition,) = (await plan(source)).partitions
    fail(mongo, database, ["find"], times=2, errorCode=code)
    with pytest.raises(TransientError):
        await pages(source, partition)
    mongo.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert len(await read(source, [partition])) == 5


async def test_a_connection_that_is_cut_is_a_transient_error(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(5)])
    source = await connect()
    (partition,) = (await plan(source)).partitions
    fail(mongo, database, ["find"], times=2, closeConnection=True)
    with pytest.raises(TransientError):
        await pages(source, partition)
    mongo.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert len(await read(source, [partition])) == 5


async def test_a_filter_holds_for_every_page(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": i, "odd": i % 2} for i in range(100)])
    mongo[database].a.insert_many([{"_id": MaxKey(), "odd": 0}, {"_id": MinKey(), "odd": 1}])
    source = await connect(initial_sync_query='{"odd": 1}', doc_partition=10, max_page_size=3)
    documents = await read(source, (await plan(source)).partitions)
    assert sorted(documents) == sorted(bson.encode(each) for each in mongo[database].a.find({"odd": 1}))


@pytest.mark.parametrize("vanish", ["drop", "rename", "anew"])
async def test_a_collection_that_vanishes_while_it_is_read_is_no_success(
    connect: Connect, mongo: Mongo, database: str, vanish: str
) -> None:
    collection = mongo[database].a
    collection.insert_many([{"_id": i} for i in range(10)])
    source = await connect(max_page_size=3)
    (partition,) = (await plan(source)).partitions
    cursor = (await source.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))).next_cursor
    if vanish == "rename":
        collection.rename("b")
    else:
        collection.drop()
    if vanish == "anew":
        collection.insert_one({"_id": 5})
    with pytest.raises(GapError, match="dropped, renamed or made anew"):
        while cursor:
            request = wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=cursor)
            cursor = (await source.ListData(request)).next_cursor


async def test_a_collection_may_vanish_where_that_was_allowed(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({})
    source = await connect(ddl="ignore")
    (partition,) = (await plan(source)).partitions
    mongo[database].a.drop()
    assert await read(source, [partition]) == []


async def test_foreign_page_cursors_are_refused(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({})
    source = await connect()
    (partition,) = (await plan(source)).partitions
    with pytest.raises(CursorError):
        await source.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=b"foreign"))


async def test_documents_are_found_by_id_in_the_order_asked(connect: Connect, mongo: Mongo, database: str) -> None:
    fill(mongo, database, "types", EVERY_TYPE)
    source = await connect()
    wanted = [bson.encode({"_id": each}) for each in [*reversed(EVERY_TYPE), "nosuch", 5, bson.regex.Regex("a")]]
    ids = [[wire.BsonValue(type=each[4], data=each[9:-1], name="_id")] for each in wanted]
    request = wire.GetByIdsRequest(
        namespace="types", type=wire.BSON, ids=[wire.GetByIdsRequest.IdRequest(id=id_) for id_ in ids]
    )
    found = [item.data for item in (await source.GetByIds(request)).data]
    assert found[-3:] == [b"", b"", b""]
    assert [document[4 : 4 + len(each) - 5] for document, each in zip(found[:-3], wanted, strict=False)] == [
        each[4:-1] for each in wanted[:-3]
    ]


async def test_an_id_is_found_as_any_number_that_equals_it(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({"_id": 1.0})
    source = await connect(initial_sync_query='{"odd": null}')
    ids = [wire.GetByIdsRequest.IdRequest(id=[wire.BsonValue(type=16, data=b"\1\0\0\0")])]
    answer = await source.GetByIds(wire.GetByIdsRequest(namespace="a", type=wire.BSON, ids=ids))
    assert [bson.decode(item.data) for item in answer.data] == [{"_id": 1.0}]
    strict = await connect(initial_sync_query='{"odd": 1}')
    filtered = await strict.GetByIds(wire.GetByIdsRequest(namespace="a", type=wire.BSON, ids=ids))
    assert [item.data for item in filtered.data] == [b""]
