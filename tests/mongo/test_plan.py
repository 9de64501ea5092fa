"""Which collections a plan covers, how they are cut, and what is said about the rest."""

from __future__ import annotations

import bson
import pytest
from bson.code import Code
from bson.max_key import MaxKey

from dsync import wire
from dsync.errors import CursorError, NotFoundError, UsageError
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, fail, pages, plan, read


def planned(response: wire.GeneratePlanResponse) -> list[str]:
    return sorted({partition.namespace for partition in response.partitions})


async def test_a_plan_without_names_covers_the_uris_database(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({})
    mongo[database]["b.c"].insert_one({})
    assert planned(await plan(await connect())) == [f"{database}.a", f"{database}.b.c"]


async def test_a_plan_without_names_or_database_covers_all_but_the_servers_own(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_one({})
    names = planned(await plan(await connect(to="")))
    assert f"{database}.a" in names
    assert not [name for name in names if name.startswith(("admin.", "local.", "config."))]


@pytest.mark.parametrize(
    ("name", "selects"),
    [
        ("{db}.a", ["{db}.a", "{db}.a.b", "{db}.a.b.c"]),
        ("{db}.a.b", ["{db}.a.b", "{db}.a.b.c"]),
        ("{db}.a.b.c", ["{db}.a.b.c"]),
        ("{db}", ["{db}.a", "{db}.a.b", "{db}.a.b.c", "{db}.ab"]),
        ("a", ["{db}.a", "{db}.a.b", "{db}.a.b.c"]),
        ("ab", ["{db}.ab"]),
    ],
)
async def test_a_name_selects_itself_and_everything_below(
    connect: Connect, mongo: Mongo, database: str, name: str, selects: list[str]
) -> None:
    for collection in ("a", "a.b", "a.b.c", "ab"):
        mongo[database][collection].insert_one({})
    response = await plan(await connect(), name.format(db=database))
    assert planned(response) == [each.format(db=database) for each in selects]


async def test_a_bare_name_is_a_database_where_the_uri_names_none(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_one({})
    assert planned(await plan(await connect(to=""), database)) == [f"{database}.a"]


@pytest.mark.parametrize("name", ["nosuch", "{db}.nosuch", "nosuch.a", "admin", "local.oplog.rs", "{db}.system.views"])
async def test_a_name_that_matches_nothing_is_named(connect: Connect, mongo: Mongo, database: str, name: str) -> None:
    mongo[database].a.insert_one({})
    with pytest.raises(NotFoundError, match=name.format(db=database).partition(".")[2] or name):
        await plan(await connect(), f"{database}.a", name.format(db=database))


async def test_system_collections_are_left_out_and_names_that_merely_begin_so_are_data(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    for name in ("systematic", "system_x", "system"):
        mongo[database][name].insert_one({})
    mongo[database]["system.js"].insert_one({"_id": "f", "value": Code("function() {}")})
    names = planned(await plan(await connect()))
    assert names == [f"{database}.{name}" for name in ("system", "system_x", "systematic")]


async def test_views_and_time_series_are_named_as_skipped(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({})
    mongo[database].create_collection("peek", viewOn="a", pipeline=[])
    mongo[database].create_collection("weather", timeseries={"timeField": "at"})
    response = await plan(await connect())
    assert planned(response) == [f"{database}.a"]
    assert any("'" + database + ".peek' is a view" in warning for warning in response.warnings)
    assert any("'" + database + ".weather' is a time-series" in warning for warning in response.warnings)


async def test_what_a_copy_does_not_carry_over_is_listed(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].create_collection("capped", capped=True, size=4096)
    mongo[database].create_collection("french", collation={"locale": "fr"})
    mongo[database].create_collection("strict", validator={"a": {"$exists": True}})
    mongo[database].indexed.create_index("email", unique=True)
    mongo[database].plain.insert_one({})
    warnings = (await plan(await connect())).warnings
    for name, what in [
        ("capped", "capped"),
        ("french", "collation"),
        ("strict", "validator"),
        ("indexed", "'email_1'"),
    ]:
        assert any(f"{database}.{name}'" in warning and what in warning for warning in warnings), name
    assert not any("plain" in warning for warning in warnings)


async def test_an_empty_collection_has_one_partition_without_documents(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].create_collection("empty")
    source = await connect()
    (partition,) = (await plan(source)).partitions
    assert partition.estimated_count == 0
    assert await pages(source, partition) == [([], b"")]


@pytest.mark.parametrize(
    ("count", "size", "partitions"), [(1, 10, 1), (10, 10, 1), (11, 10, 2), (1000, 100, 10), (7, 1, 7)]
)
async def test_partitions_hold_about_the_documents_asked_for(
    connect: Connect, mongo: Mongo, database: str, count: int, size: int, partitions: int
) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(count)])
    source = await connect(doc_partition=size)
    response = await plan(source)
    assert len(response.partitions) == partitions
    assert all(each.estimated_count for each in response.partitions)
    assert abs(sum(each.estimated_count for each in response.partitions) - count) <= partitions
    assert len(await read(source, response.partitions)) == count


async def test_large_collections_are_sampled_into_even_partitions(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_many([{"_id": i} for i in range(20_000)])
    source = await connect(doc_partition=5_000)
    response = await plan(source)
    sizes = [len(await read(source, [each])) for each in response.partitions]
    assert len(sizes) == 4
    assert sum(sizes) == 20_000
    assert min(sizes) > 1_000


async def test_estimates_count_what_the_filter_lets_through(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_many([{"_id": i, "odd": i % 2} for i in range(2_000)])
    source = await connect(doc_partition=500, initial_sync_query='{"odd": 1}')
    partitions = (await plan(source)).partitions
    assert 500 < sum(partition.estimated_count for partition in partitions) < 1_500


async def test_a_filter_that_the_server_does_not_understand_is_a_usage_error(connect: Connect) -> None:
    with pytest.raises(UsageError, match=r"\$nope"):
        await connect(initial_sync_query='{"a": {"$nope": 1}}')


async def test_a_filter_that_the_server_does_not_understand_is_told_without_the_filters_values(
    connect: Connect,
) -> None:
    with pytest.raises(UsageError) as caught:
        await connect(initial_sync_query='{"$expr": {"$toInt": "c4n4ry"}}')
    assert "c4n4ry" not in str(caught.value)


async def test_a_partition_planned_with_another_filter_is_refused(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_one({})
    (partition,) = (await plan(await connect(initial_sync_query='{"a": 1}'))).partitions
    with pytest.raises(CursorError, match="initial-sync-query"):
        await pages(await connect(initial_sync_query='{"a": 2}'), partition)


async def test_a_partition_of_another_namespace_is_refused(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({})
    source = await connect()
    (partition,) = (await plan(source)).partitions
    partition.namespace = f"{database}.b"
    with pytest.raises(CursorError, match=r"\.a"):
        await pages(source, partition)


async def test_metadata_counts_exactly_and_identifies_the_collection(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_many([{"_id": i, "odd": i % 2} for i in range(11)])
    ask = wire.GetNamespaceMetadataRequest(namespace=f"{database}.a")
    source = await connect()
    first = await source.GetNamespaceMetadata(ask)
    assert (first.count, first.exists, first.count_unknown) == (11, True, False)
    assert (await (await connect(initial_sync_query='{"odd": 1}')).GetNamespaceMetadata(ask)).count == 5
    mongo[database].a.drop()
    gone = await source.GetNamespaceMetadata(ask)
    assert (gone.count, gone.exists, gone.HasField("exists")) == (0, False, True)
    mongo[database].a.insert_one({"_id": MaxKey()})
    anew = await source.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace="a"))
    assert anew.count == 1
    assert anew.identity not in {"", first.identity}


async def test_it_says_how_long_changes_are_kept_where_that_is_asked_and_may_be_seen(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    source = await connect()
    assert not (await source.GetInfo(wire.GetInfoRequest())).HasField("history_start")
    info = await source.GetInfo(wire.GetInfoRequest(history=True))
    first = mongo.local["oplog.rs"].find_one(sort=[("$natural", 1)])
    assert first is not None and info.history_start.seconds == first["ts"].time
    assert info.history_seconds >= info.now.seconds - info.history_start.seconds
    fail(mongo, database, ["find", "collStats"], errorCode=13)
    assert not (await source.GetInfo(wire.GetInfoRequest(history=True))).HasField("history_start")


async def test_positions_tell_their_time(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(per_namespace_streams=True)
    mongo[database].a.insert_one({"_id": 1})
    before = (await source.GetInfo(wire.GetInfoRequest())).now
    plan = await source.GeneratePlan(wire.GeneratePlanRequest(updates=True))
    after = (await source.GetInfo(wire.GetInfoRequest())).now
    for partition in plan.updates_partitions:
        assert before.ToNanoseconds() <= partition.time.ToNanoseconds() <= after.ToNanoseconds()


async def test_a_bare_name_without_a_database_is_a_usage_error_that_shows_the_uri(connect: Connect) -> None:
    with pytest.raises(UsageError, match=r"mongodb://[^@]*/DATABASE"):
        await (await connect(to="")).GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace="people"))


@pytest.mark.parametrize("data_type", [0, wire.JSON_ID, wire.EXTENDED_JSON, 77])
async def test_only_bson_is_spoken(connect: Connect, data_type: wire.Type) -> None:
    with pytest.raises(UsageError, match="BSON"):
        await (await connect()).WriteData(
            wire.WriteDataRequest(namespace="a", data=[bson.encode({"_id": 1})], type=data_type)
        )
