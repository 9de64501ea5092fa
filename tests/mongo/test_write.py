"""An answer means that every document is there, as it came; a repeated batch changes nothing."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.code import Code
from bson.timestamp import Timestamp

from connectors.mongo import collection
from dsync import wire
from dsync.errors import DataError, EndpointError, TransientError, UsageError
from tests.mongo import driving
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, fail, stored, write

CANARY = "c4n4ry"


@pytest.fixture(params=["messages", "replies"], autouse=True)
def however_they_came(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are messages, or what a source's server sent."""
    if request.param == "replies":
        monkeypatch.setattr(driving, "batch", driving.handed_on)


def element(kind: int, key: bytes, value: bytes) -> bytes:
    return b"%c%b\0%b" % (kind, key, value)


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


ID = element(16, b"_id", b"\1\0\0\0")
ODD = {
    "duplicate keys": document(ID, element(16, b"a", b"\1\0\0\0"), element(16, b"a", b"\2\0\0\0")),
    "dollar keys": document(ID, element(16, b"$set", b"\1\0\0\0"), element(3, b"$x", document())),
    "dotted and empty keys": document(ID, element(16, b"a.b", b"\1\0\0\0"), element(16, b"", b"\2\0\0\0")),
    "undefined": document(ID, element(6, b"u", b"")),
    "invalid UTF-8": document(ID, element(2, b"s", b"\3\0\0\0\xff\xfe\0")),
    "array keys": document(ID, element(4, b"a", document(element(16, b"7", b"\1\0\0\0"), element(10, b"x", b"")))),
    "old binary": document(ID, element(5, b"b", b"\6\0\0\0\2\2\0\0\0ab")),
    "NaN with a payload": document(ID, element(1, b"n", b"\1\0\0\0\0\0\xf8\x7f")),
    "zero timestamp": document(
        ID, element(17, b"t", bytes(8)), element(16, b"$a", b"\1\0\0\0"), element(10, b"a", b"")
    ),
    "zero timestamp and duplicate keys": document(ID, element(17, b"t", bytes(8)), element(17, b"t", bytes(8))),
    "nested zero timestamp": document(ID, element(3, b"d", document(element(17, b"t", bytes(8))))),
    "code with scope": bson.encode({"_id": 1, "c": Code("f", {"a": 1})}),
    "far date": document(ID, element(9, b"d", b"\xff" * 7 + b"\x7f")),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("before", [[], [{"_id": 1, "old": True}]], ids=["new", "there"])
async def test_documents_arrive_byte_for_byte(
    connect: Connect, mongo: Mongo, database: str, name: str, before: list[dict[str, Any]]
) -> None:
    sink = await connect()
    for each in before:
        mongo[database].a.insert_one(each)
    for _ in range(2):
        await write(sink, "a", [ODD[name]])
        assert stored(mongo, database, "a") == [ODD[name]]


async def test_zero_timestamps_as_ids_and_last_fields_are_kept(connect: Connect, mongo: Mongo, database: str) -> None:
    documents = [bson.encode({"_id": Timestamp(0, 0), "t": Timestamp(0, 0)}), bson.encode({"_id": 0.0, "z": 0.0})]
    await write(await connect(), "a", documents)
    assert stored(mongo, database, "a") == sorted(documents)


async def test_a_batch_written_again_replaces_and_the_last_of_one_id_wins(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    sink = await connect()
    await write(sink, "a", [{"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"_id": 1, "v": 2}])
    await write(sink, "a", [{"_id": 2, "v": 3}, {"_id": 3, "v": 3}])
    assert {each["_id"]: each["v"] for each in mongo[database].a.find()} == {1: 2, 2: 3, 3: 3}


@pytest.mark.parametrize("count", [0, 1, 100, 1000])
async def test_any_share_of_existing_documents_is_replaced(
    connect: Connect, mongo: Mongo, database: str, count: int
) -> None:
    if count:
        mongo[database].a.insert_many([{"_id": i, "v": "old"} for i in range(count)])
    sink = await connect()
    for start in range(0, 1000, 100):
        await write(sink, "a", [{"_id": i, "v": "new"} for i in range(start, start + 100)])
    assert mongo[database].a.count_documents({"v": "new"}) == mongo[database].a.count_documents({}) == 1000


async def test_a_partition_of_duplicates_goes_over_to_replacing_and_back(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(20)])
    sink = await connect()
    await write(sink, "a", [{"_id": i} for i in range(10)])
    fail(mongo, database, ["insert"], times=1, errorCode=2)
    await write(sink, "a", [{"_id": i} for i in range(10, 20)])
    await write(sink, "a", [{"_id": i} for i in range(20, 30)])
    with pytest.raises(DataError):
        await write(sink, "a", [{"_id": i} for i in range(30, 40)])
    assert mongo[database].a.count_documents({}) == 30


async def test_a_collection_that_is_copied_once_more_is_told_by_its_first_documents(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_many([{"_id": number, "v": "old"} for number in range(2000)])
    before = mongo.admin.command("serverStatus")["opcounters"]["insert"]
    sink = await connect()
    for partition in range(2):
        batch = [{"_id": number, "v": "new"} for number in range(1000 * partition, 1000 * partition + 1000)]
        await write(sink, "a", batch, f"flow/{partition}/0/a")
    assert mongo[database].a.count_documents({"v": "new"}) == 2000
    assert mongo.admin.command("serverStatus")["opcounters"]["insert"] - before < 10


async def test_partitions_are_told_apart_when_one_goes_over_to_replacing(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_one({"_id": 1})
    sink = await connect()
    await write(sink, "a", [{"_id": 1}], "flow/one/0/a")
    fail(mongo, database, ["insert"], errorCode=2)
    await write(sink, "a", [{"_id": 2}], "flow/one/1/a")
    with pytest.raises(DataError):
        await write(sink, "a", [{"_id": 3}], "flow/two/0/a")


async def test_existing_documents_stay_where_that_was_asked_for(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": 1, "v": "old"}, {"_id": 2, "v": "old"}])
    sink = await connect(skip_batch_overwrite=True)
    zero = Timestamp(0, 0)
    for _ in range(2):
        await write(sink, "a", [{"_id": 1}, {"_id": 2, "t": zero}, {"_id": 3, "t": zero}, {"_id": 4, "v": "new"}])
    assert list(mongo[database].a.find().sort("_id")) == [
        {"_id": 1, "v": "old"},
        {"_id": 2, "v": "old"},
        {"_id": 3, "t": zero},
        {"_id": 4, "v": "new"},
    ]


async def test_a_unique_value_may_move_between_documents_of_a_batch(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.create_index("u", unique=True)
    mongo[database].a.insert_many([{"_id": 1, "u": "a"}, {"_id": 2, "u": "b"}])
    sink = await connect()
    documents = [{"_id": 3, "u": "a"}, {"_id": 2, "u": "c"}, {"_id": 1, "u": "b"}]
    for _ in range(2):
        await write(sink, "a", documents)
        assert sorted(mongo[database].a.find(), key=lambda each: -each["_id"]) == documents


async def test_the_last_of_one_id_wins_also_where_an_earlier_one_had_to_wait(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.create_index("u", unique=True)
    for there in (False, True):
        mongo[database].a.replace_one({"_id": 1}, {"_id": 1, "u": "a"}, upsert=True)
        if there:
            mongo[database].a.replace_one({"_id": 2}, {"_id": 2, "u": "z"}, upsert=True)
        await write(await connect(), "a", [{"_id": 2, "u": "a"}, {"_id": 2, "u": "c"}, {"_id": 1, "u": "b"}])
        assert {each["_id"]: each["u"] for each in mongo[database].a.find()} == {1: "b", 2: "c"}


async def test_a_unique_value_of_another_document_stops_with_the_ids_after_the_rest_is_written(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.create_index("u", unique=True)
    mongo[database].a.insert_one({"_id": 1, "u": CANARY})
    with pytest.raises(DataError) as caught:
        await write(await connect(), "a", [{"_id": "two", "u": CANARY}, {"_id": 3, "u": "c"}])
    assert "string 'two'" in str(caught.value)
    assert "'u'" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert mongo[database].a.find_one({"_id": 3}) == {"_id": 3, "u": "c"}


async def test_a_validators_refusal_names_the_document_and_not_its_contents(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].create_collection("a", validator={"n": {"$type": "int"}})
    with pytest.raises(DataError) as caught:
        await write(await connect(), "a", [{"_id": 1, "n": 1}, {"_id": 2, "n": CANARY}])
    assert "int32 2" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert mongo[database].a.count_documents({}) == 1


async def test_documents_of_any_size_and_number_are_split_into_commands(
    connect: Connect, mongo: Mongo, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = await connect()
    large = [{"_id": i, "s": "x" * 9_000_000} for i in range(4)]
    for _ in range(2):
        await write(sink, "large", large)
    assert mongo[database].large.count_documents({}) == 4
    small = [bson.encode({"_id": i}) for i in range(1000)]
    few = await connect(writer_batch_size=99)
    for _ in range(2):
        await write(few, "small", small)
    assert stored(mongo, database, "small") == sorted(small)
    assert [len(chunk) for chunk in collection.chunks(small, 400, len)] == [400, 400, 200]


@pytest.mark.parametrize("kind", ["insert", "replace"])
async def test_a_document_of_the_greatest_size_is_written(
    connect: Connect, mongo: Mongo, database: str, kind: str
) -> None:
    sink = await connect()
    if kind == "replace":
        mongo[database].a.insert_one({"_id": 1})
    room = (16 << 20) - len(bson.encode({"_id": 1, "s": ""}))
    await write(sink, "a", [{"_id": 1, "s": "x" * room}])
    assert len(stored(mongo, database, "a")[0]) == 16 << 20


async def test_large_ids_do_not_make_a_command_too_large(connect: Connect, mongo: Mongo, database: str) -> None:
    documents = [{"_id": "x" * 1_000_000 + str(i)} for i in range(12)]
    for _ in range(2):
        await write(await connect(), "a", documents)
    assert mongo[database].a.count_documents({}) == 12


async def test_a_document_beyond_the_greatest_size_is_refused_by_namespace_and_type_of_id(connect: Connect) -> None:
    with pytest.raises(DataError) as caught:
        await write(await connect(), "a", [{"_id": CANARY, "s": "x" * (16 << 20)}])
    assert "'a'" in str(caught.value) or ".a'" in str(caught.value)
    assert "string" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "broken",
    [
        document(element(16, b"a", b"\1\0\0\0")),
        b"\1\0\0\0",
        b"",
        bson.encode({"_id": 1}) * 2,
        document(ID, element(2, b"s", b"\x70\0\0\0ab\0")),
        document(ID, element(8, b"b", b"\2")),
    ],
    ids=["no _id", "cut off", "empty", "two in one", "length beyond the end", "bad boolean"],
)
async def test_what_is_not_a_document_with_an_id_is_refused(
    connect: Connect, mongo: Mongo, database: str, broken: bytes
) -> None:
    with pytest.raises(DataError, match=database):
        await write(await connect(), f"{database}.a", [broken])
    assert mongo[database].a.count_documents({}) == 0


async def test_a_write_concern_error_is_no_success(connect: Connect, mongo: Mongo, database: str) -> None:
    sink = await connect()
    for code, kind in [(64, TransientError), (91, TransientError), (100, EndpointError), (4242, EndpointError)]:
        fail(mongo, database, ["insert"], writeConcernError={"code": code, "errmsg": "no"})
        with pytest.raises(kind):
            await write(sink, "a", [{"_id": code}])


@pytest.mark.parametrize("code", [6, 7, 89, 91, 112, 189, 10107, 11600])
async def test_a_fault_of_the_server_is_transient_and_the_same_batch_is_written_again(
    connect: Connect, mongo: Mongo, database: str, code: int
) -> None:
    sink = await connect()
    fail(mongo, database, ["insert"], errorCode=code)
    with pytest.raises(TransientError):
        await write(sink, "a", [{"_id": 1}, {"_id": 2}])
    await write(sink, "a", [{"_id": 1}, {"_id": 2}])
    assert mongo[database].a.count_documents({}) == 2


async def test_a_connection_cut_in_a_write_is_transient(connect: Connect, mongo: Mongo, database: str) -> None:
    sink = await connect()
    fail(mongo, database, ["insert"], closeConnection=True)
    with pytest.raises(TransientError):
        await write(sink, "a", [{"_id": 1}])
    await write(sink, "a", [{"_id": 1}])
    assert mongo[database].a.count_documents({}) == 1


async def test_a_lack_of_rights_is_the_endpoints_error(connect: Connect, mongo: Mongo, database: str) -> None:
    sink = await connect()
    fail(mongo, database, ["insert"], errorCode=13)
    with pytest.raises(EndpointError, match="roles"):
        await write(sink, "a", [{"_id": 1}])


async def test_a_slow_server_is_given_up_after_the_operations_time(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    sink = await connect(operation_timeout=0.2)
    fail(mongo, database, ["insert"], blockConnection=True, blockTimeMS=1500)
    with pytest.raises(TransientError, match="in time"):
        await write(sink, "a", [{"_id": 1}])


async def test_names_without_a_dot_go_to_the_uris_database(connect: Connect, mongo: Mongo, database: str) -> None:
    await write(await connect(), "people", [{"_id": 1}])
    await write(await connect(to=""), f"{database}.people", [{"_id": 2}])
    assert mongo[database].people.count_documents({}) == 2
    with pytest.raises(UsageError, match="DATABASE"):
        await write(await connect(to=""), "people", [{"_id": 1}])


@pytest.mark.parametrize("name", ["admin.a", "local.a", "config.a", "{db}.system.js", "{db}.", ".a", "a.\0"])
async def test_names_that_are_not_for_data_are_usage_errors(connect: Connect, database: str, name: str) -> None:
    with pytest.raises(UsageError):
        await write(await connect(), name.format(db=database), [{"_id": 1}])


async def test_an_empty_namespace_comes_over_as_an_empty_collection(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    sink = await connect()
    part = wire.FinishNamespaceRequest.Part(partition="p", count=0)
    for name, parts in [
        ("empty", [part]),
        ("none", []),
        ("full", [wire.FinishNamespaceRequest.Part(partition="p", count=1)]),
    ]:
        for _ in range(2):
            await sink.FinishNamespace(wire.FinishNamespaceRequest(namespace=name, flow="f", parts=parts))
    assert sorted(mongo[database].list_collection_names()) == ["empty", "none"]


async def test_nothing_to_write_is_written(connect: Connect) -> None:
    await write(await connect(), "a", [])
