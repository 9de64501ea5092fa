"""Change streams: every change comes, whole, after the position, and what cannot be told stops with a reason."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import bson
import pytest
from bson.max_key import MaxKey
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from connectors.mongo.positions import Position, moment, token_time
from dsync import wire
from dsync.errors import CursorError, GapError, TransientError
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, fail, plan, stored
from tests.mongo.following import position, stream, until_quiet, updates
from tests.mongo.test_write import ODD

QUICK = 0.05


async def test_inserts_updates_replacements_and_deletes_come_with_whole_documents(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    collection = mongo[database].a
    collection.insert_many([{"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"_id": 3, "v": 1}])
    collection.update_one({"_id": 2}, {"$set": {"v": 2}})
    collection.replace_one({"_id": 1}, {"_id": 1, "w": 3})
    collection.delete_one({"_id": 3})
    found = updates(await until_quiet(source, start))
    assert found == [
        ("a", wire.UPDATE, 2, {"_id": 2, "v": 2}),
        ("a", wire.UPDATE, 1, {"_id": 1, "w": 3}),
        ("a", wire.DELETE, 3, None),
    ]


async def test_documents_come_byte_for_byte(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(stream_wait=QUICK)
    for document in ODD.values():
        start = await position(source)
        mongo[database].a.delete_many({})
        mongo[database].a.insert_one(RawBSONDocument(document))
        (answer, _) = await until_quiet(source, start)
        assert [update.data for update in answer.updates] == stored(mongo, database, "a")


async def test_nothing_falls_between_the_plan_and_the_stream(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({"_id": 1})
    source = await connect(stream_wait=QUICK)
    response = await source.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True, updates=True))
    mongo[database].a.insert_one({"_id": 2})
    (partition,) = response.partitions
    page = await source.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))
    streamed = updates(await until_quiet(source, response.updates_partitions[0].cursor))
    assert {bson.decode(each)["_id"] for each in page.data} | {each[2] for each in streamed} == {1, 2}
    assert 2 in {each[2] for each in streamed}


async def test_an_update_of_a_document_that_is_gone_is_a_delete_later(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_one({"_id": 1})
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    mongo[database].a.update_one({"_id": 1}, {"$set": {"v": 1}})
    async with stream(source, start) as answers:
        mongo[database].a.delete_one({"_id": 1})
        found = []
        async for answer in answers:
            found += updates([answer])
            if found:
                break
    assert found == [("a", wire.DELETE, 1, None)]


async def test_a_stream_goes_on_from_every_position_it_gave(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    for i in range(20):
        mongo[database][f"c{i % 3}"].insert_one({"_id": i})
    answers = await until_quiet(source, start)
    everything = {each[2] for each in updates(answers)}
    assert everything == set(range(20))
    other = await connect(stream_wait=QUICK)
    for taken, answer in enumerate(answers, 1):
        rest = updates(await until_quiet(other, answer.next_cursor))
        assert {each[2] for each in updates(answers[:taken])} | {each[2] for each in rest} == everything
    assert updates(await until_quiet(other, answers[-1].next_cursor)) == []


async def test_an_idle_stream_moves_its_position_and_tells_the_time(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    (idle,) = await until_quiet(source, start)
    assert (idle.namespace, list(idle.updates)) == ("", [])
    assert idle.next_cursor != start
    mongo[database].a.insert_many([{"_id": i} for i in range(5)])
    now = (await source.GetInfo(wire.GetInfoRequest())).now
    answers = await until_quiet(source, idle.next_cursor)
    times = [(each.seconds, each.nanos) for each in (idle.time, answers[0].time, now, answers[-1].time)]
    assert times == sorted(times)
    assert times[0] < times[1]


async def test_the_time_of_updates_is_that_of_the_source(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    with mongo.start_session() as session:
        mongo[database].a.insert_one({"_id": 1}, session=session)
        written = session.operation_time
    assert written is not None
    answers = await until_quiet(source, start)
    assert answers[0].time.seconds == written.time


async def test_an_answer_before_the_last_of_a_run_keeps_the_earlier_position(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    with mongo.start_session() as session, session.start_transaction():
        for name in ("a", "b", "a", "b"):
            mongo[database][name].insert_one({}, session=session)
    answers = await until_quiet(source, start)
    assert [answer.namespace.partition(".")[2] for answer in answers] == ["a", "b", ""]
    assert len(updates(await until_quiet(source, answers[0].next_cursor))) == 4
    assert not answers[0].HasField("time")


async def test_the_newest_of_one_id_comes_alone(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    mongo[database].a.insert_one({"_id": 1})
    for i in range(50):
        mongo[database].a.update_one({"_id": 1}, {"$set": {"v": i}})
    assert updates(await until_quiet(source, start)) == [("a", wire.UPDATE, 1, {"_id": 1, "v": 49})]


@pytest.mark.parametrize(
    ("names", "to", "followed"),
    [
        ([], "", {"a", "a.b", "ab"}),
        ([], "{db}", {"a", "a.b", "ab"}),
        (["{db}"], "", {"a", "a.b", "ab"}),
        (["{db}.a"], "", {"a", "a.b"}),
        (["a"], "{db}", {"a", "a.b"}),
        (["ab", "{db}.a.b"], "{db}", {"a.b", "ab"}),
    ],
)
async def test_a_stream_covers_what_the_plan_covers(
    connect: Connect, mongo: Mongo, database: str, names: list[str], to: str, followed: set[str]
) -> None:
    for name in ("a", "a.b", "ab"):
        mongo[database].create_collection(name)
    source = await connect(to=to.format(db=database), stream_wait=QUICK)
    start = await position(source, *(name.format(db=database) for name in names))
    for name in ("a", "a.b", "ab"):
        mongo[database][name].insert_one({})
    answers = [each for each in await until_quiet(source, start) if each.namespace.startswith(database) or to]
    assert {each[0] for each in updates(answers)} == followed


async def test_names_in_several_databases_are_followed_side_by_side(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    other = f"{database}x"
    for name in (database, other):
        mongo[name].a.insert_one({})
    source = await connect(to="", stream_wait=QUICK)
    response = await source.GeneratePlan(wire.GeneratePlanRequest(namespaces=[f"{database}.a", other], updates=True))
    for name in (database, other):
        mongo[name].a.insert_one({"_id": name})
    streamed = [updates(await until_quiet(source, each.cursor)) for each in response.updates_partitions]
    assert [[each[2] for each in found] for found in streamed] == [[database], [other]]
    assert [list(each.namespaces) for each in response.updates_partitions] == [[f"{database}.a"], [other]]
    mongo.drop_database(other)


async def test_collections_and_databases_made_after_the_plan_are_followed(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    everywhere = await connect(to="", stream_wait=QUICK)
    whole, one = await position(everywhere), await position(await connect(stream_wait=QUICK))
    later = f"{database}later"
    mongo[database].late.insert_one({"_id": 1})
    mongo[later].a.insert_one({"_id": 2})
    mongo[database]["system.js"].insert_one({"_id": "f"})
    found = [each for each in await until_quiet(everywhere, whole) if each.namespace.startswith(database)]
    assert {(each.namespace, len(each.updates)) for each in found} == {(f"{database}.late", 1), (f"{later}.a", 1)}
    assert [each[2] for each in updates(await until_quiet(everywhere, one))] == [1]
    mongo.drop_database(later)


async def test_streams_per_namespace_have_positions_of_their_own_and_one_follows_what_comes_later(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    for name in ("a", "b"):
        mongo[database][name].insert_one({"_id": 0})
    source = await connect(stream_wait=QUICK, per_namespace_streams=True)
    response = await source.GeneratePlan(wire.GeneratePlanRequest(updates=True))
    for name in ("a", "b", "c"):
        mongo[database][name].insert_one({"_id": name})
    streamed = [updates(await until_quiet(source, each.cursor)) for each in response.updates_partitions]
    assert [[each[2] for each in found] for found in streamed] == [["a"], ["b"], ["c"]]


async def test_a_filter_holds_in_the_stream_and_leaving_it_is_a_delete(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    collection = mongo[database].a
    collection.insert_many([{"_id": 1, "on": True}, {"_id": 2, "on": False}])
    source = await connect(stream_wait=QUICK, initial_sync_query='{"on": true}')
    start = await position(source)
    collection.update_one({"_id": 1}, {"$set": {"on": False}})
    collection.update_one({"_id": 2}, {"$set": {"on": True}})
    collection.insert_many([{"_id": 3, "on": True}, {"_id": 4, "on": False}])
    collection.delete_one({"_id": 1})
    found = updates(await until_quiet(source, start))
    assert sorted(found, key=lambda each: each[2]) == [
        ("a", wire.DELETE, 1, None),
        ("a", wire.UPDATE, 2, {"_id": 2, "on": True}),
        ("a", wire.INSERT, 3, {"_id": 3, "on": True}),
    ]
    collection.update_one({"_id": 3}, {"$set": {"on": 5}})
    assert ("a", wire.DELETE, 3, None) in updates(await until_quiet(source, start))


async def test_a_position_of_another_filter_is_refused(connect: Connect) -> None:
    start = await position(await connect(initial_sync_query='{"on": true}'))
    with pytest.raises(CursorError, match="initial-sync-query"):
        await until_quiet(await connect(stream_wait=QUICK), start)


async def test_large_changes_of_large_documents_come_over(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({"_id": 1, "s": "x" * 9_000_000})
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    mongo[database].a.update_one({"_id": 1}, {"$set": {"t": "y" * 6_000_000}})
    mongo[database].a.insert_one({"_id": 2})
    (first, second) = updates(await until_quiet(source, start))
    assert (len(first[3]["s"]), len(first[3]["t"]), second[2]) == (9_000_000, 6_000_000, 2)


async def test_an_event_that_the_server_cannot_send_whole_does_not_stop_the_stream(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    large_id = "i" * 450_000
    mongo[database].a.insert_one({"_id": large_id, "s": "x" * 15_400_000})
    mongo[database].a.insert_one({"_id": 2})
    found = updates(await until_quiet(source, start))
    assert [each[2] for each in found] == [large_id, 2]
    assert len(found[0][3]["s"]) == 15_400_000


async def test_only_an_idle_stream_answers_without_updates_and_every_change_is_counted(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    source = await connect(stream_wait=0.05)
    mongo[database].a.insert_many([{"_id": number} for number in range(1500)])
    start = await position(source)
    # by the time the first thousand is looked up, all are gone
    mongo[database].a.update_many({}, {"$set": {"x": 1}})
    mongo[database].a.delete_many({})
    answers = await until_quiet(source, start)
    assert all(answer.updates for answer in answers[:-1])
    assert sum(answer.events for answer in answers) == 3000
    assert sum(len(answer.updates) for answer in answers) == 1500


async def test_many_documents_come_in_answers_of_bounded_size(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    mongo[database].a.insert_many([{"_id": i, "s": "x" * 1_000_000} for i in range(25)])
    mongo[database].a.update_many({}, {"$set": {"v": 1}})
    answers = await until_quiet(source, start)
    assert {each[2] for each in updates(answers)} == set(range(25))
    assert max(sum(len(update.data) for update in answer.updates) for answer in answers) < 20 << 20


@pytest.mark.parametrize("what", ["drop", "rename", "dropDatabase"])
@pytest.mark.parametrize("alone", [False, True], ids=["one stream", "per namespace"])
async def test_what_updates_cannot_tell_stops_the_stream_after_what_came_before(
    connect: Connect, mongo: Mongo, database: str, what: str, alone: bool
) -> None:
    mongo[database].a.insert_one({"_id": 0})
    source = await connect(stream_wait=QUICK, per_namespace_streams=alone)
    start = await position(source)
    mongo[database].a.insert_one({"_id": 1})
    ddl(mongo, database, what)
    found: list[Any] = []
    with pytest.raises(GapError, match="--ddl ignore"):
        async with stream(source, start) as answers:
            async for answer in answers:
                found += updates([answer])
    assert [each[2] for each in found] == [1]


def ddl(mongo: Mongo, database: str, what: str) -> None:
    if what == "drop":
        mongo[database].a.drop()
    elif what == "rename":
        mongo[database].a.rename("renamed")
    else:
        mongo.drop_database(database)


@pytest.mark.parametrize("what", ["drop", "rename", "dropDatabase"])
@pytest.mark.parametrize("alone", [False, True], ids=["one stream", "per namespace"])
async def test_where_it_is_to_be_ignored_the_stream_goes_on(
    connect: Connect, mongo: Mongo, database: str, what: str, alone: bool
) -> None:
    mongo[database].a.insert_one({"_id": 0})
    source = await connect(stream_wait=QUICK, ddl="ignore", per_namespace_streams=alone)
    start = await position(source)
    mongo[database].a.insert_one({"_id": 1})
    ddl(mongo, database, what)
    mongo[database].a.insert_one({"_id": 2})
    found: list[Any] = []
    async with asyncio.timeout(20), stream(source, start) as answers:
        async for answer in answers:
            found += updates([answer])
            if [each[2] for each in found] == [1, 2]:
                break


async def test_what_happens_to_collections_that_are_not_followed_is_no_matter(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_one({"_id": 0})
    source = await connect(stream_wait=QUICK)
    start = await position(source, f"{database}.a")
    mongo[database].other.insert_one({})
    mongo[database].other.drop()
    mongo[database].a.insert_one({"_id": 1})
    assert [each[2] for each in updates(await until_quiet(source, start))] == [1]


@pytest.mark.parametrize("code", [286, 280, 136])
async def test_an_expired_position_is_a_gap_with_a_remedy(
    connect: Connect, mongo: Mongo, database: str, code: int
) -> None:
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    fail(mongo, database, ["aggregate"], errorCode=code)
    with pytest.raises(GapError, match="--restart"):
        await until_quiet(source, start)


@pytest.mark.parametrize("command", ["aggregate", "getMore", "find"])
async def test_a_fault_of_the_server_is_transient_and_the_stream_goes_on_from_its_position(
    connect: Connect, mongo: Mongo, database: str, command: str
) -> None:
    mongo[database].a.insert_one({"_id": 1})
    source = await connect(stream_wait=QUICK)
    start = await position(source)
    mongo[database].a.update_one({"_id": 1}, {"$set": {"v": 1}})
    fail(mongo, database, [command], times=2, errorCode=11600)
    with pytest.raises(TransientError):
        await until_quiet(source, start)
    mongo.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert [each[2] for each in updates(await until_quiet(source, start))] == [1]


async def test_foreign_positions_are_refused(connect: Connect) -> None:
    source = await connect(stream_wait=QUICK)
    token = bson.encode({"_data": "82ZZ"})
    for cursor in (b"foreign", Position((), "", token=token).encode()):
        with pytest.raises(CursorError):
            await until_quiet(source, cursor)


async def test_without_a_cursor_a_stream_begins_now(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({"_id": 1})
    mongo[database].b.insert_one({"_id": 2})
    source = await connect(stream_wait=QUICK)
    found: list[Any] = []
    request = wire.StreamUpdatesRequest(namespaces=[f"{database}.a"], type=wire.BSON)
    answers = source.StreamUpdates(request)
    async with contextlib.aclosing(answers):
        await anext(answers)
        mongo[database].a.insert_one({"_id": 3})
        async for answer in answers:
            found += updates([answer])
            if found:
                break
    assert [each[2] for each in found] == [3]


async def test_the_full_key_names_the_shard_key_too(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(stream_wait=QUICK, full_document_key=True)
    start = await position(source)
    mongo[database].a.insert_one({"_id": 1, "region": "eu"})
    (answer, _) = await until_quiet(source, start)
    assert [part.name for part in answer.updates[0].id] == ["_id"]


async def test_the_number_of_updates_is_counted_from_the_cursor(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].create_collection("a")
    source = await connect(stream_wait=QUICK)
    start = await position(source, f"{database}.a")
    mongo[database].a.insert_many([{"_id": i} for i in range(7)])
    mongo[database].b.insert_one({})
    mongo[database].a.delete_one({"_id": 3})
    counts = source.StreamLSN(wire.StreamLSNRequest(cursor=start))
    async with contextlib.aclosing(counts):
        last = wire.StreamLSNResponse()
        async for answer in counts:
            if last.lsn == answer.lsn == 8:
                break
            last = answer
    assert updates(await until_quiet(source, last.next_cursor)) == []


async def test_a_plan_without_streams_gives_none(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({"_id": MaxKey()})
    assert not (await plan(await connect())).updates_partitions


FULL = Position(("a", "b.c"), "db", "db.x", Timestamp(5, 6), b"", b"q" * 8, ("x", "y.z"), ("db.x",))
AFTER = FULL.after(bson.encode({"_data": "8265A0C0FF"}))


@pytest.mark.parametrize("place", [FULL, AFTER, Position((), "", start=Timestamp(1, 1))])
def test_a_position_comes_back(place: Position) -> None:
    assert Position.decode(place.encode()) == place


@given(st.binary(max_size=100), st.integers(0, len(AFTER.encode()) - 1), st.integers(1, 255))
def test_a_damaged_position_is_refused_or_sound(garbage: bytes, at: int, difference: int) -> None:
    changed = bytearray(AFTER.encode())
    changed[at] ^= difference
    with contextlib.suppress(CursorError):
        assert Position.decode(bytes(changed)).token
    with pytest.raises(CursorError):
        Position.decode(garbage)
    with pytest.raises(CursorError):
        Position.decode(AFTER.encode()[:at])


@pytest.mark.parametrize(
    ("token", "time"),
    [
        ({"_data": "8265A0C0FF0000000A2B"}, Timestamp(0x65A0C0FF, 10)),
        *((token, None) for token in ({"_data": "zz"}, {"_data": 5}, {}, {"_data": "8265A0C0FF"})),
    ],
)
def test_a_resume_token_tells_its_time(token: dict[str, Any], time: Timestamp | None) -> None:
    assert token_time(bson.encode(token)) == time


def test_times_keep_their_order_on_the_wire() -> None:
    times = [Timestamp(5, 1), Timestamp(5, 2), Timestamp(5, 4_000_000_000), Timestamp(6, 0)]
    told = [(moment(time).seconds, moment(time).nanos) for time in times]
    assert told == sorted(set(told))
    assert all(nanos < 1_000_000_000 for _, nanos in told)
