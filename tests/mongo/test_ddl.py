"""`--ddl apply`: a dropped or renamed collection is dropped or renamed at the destination, in its place among the changes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.mongo.connector import MongoConnector
from dsync import wire
from dsync.errors import LimitError
from dsync.flow.updates import runs
from dsync.namespaces import parse
from dsync.run import migrate
from dsync.settings import Settings
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, stored, uri_of
from tests.mongo.following import position, until_quiet, updates
from tests.mongo.test_apply import apply, put

QUICK = 0.05
DROPPED = wire.Update(type=wire.DROP)


async def test_a_drop_comes_in_its_place_among_the_changes(connect: Connect, mongo: Mongo, database: str) -> None:
    source = await connect(stream_wait=QUICK, ddl="apply")
    start = await position(source)
    mongo[database].a.insert_one({"_id": 1})
    mongo[database].a.drop()
    mongo[database].a.insert_one({"_id": 2})
    kinds = updates_with_drops(await until_quiet(source, start))
    assert kinds == [("a", wire.INSERT), ("a", wire.DROP), ("a", wire.INSERT)]


def updates_with_drops(answers: list[wire.StreamUpdatesResponse]) -> list[tuple[str, int]]:
    return [(answer.namespace.partition(".")[2], update.type) for answer in answers for update in answer.updates]


async def test_a_rename_is_a_drop_and_everything_under_the_new_name(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.insert_many([{"_id": i, "on": i % 2} for i in range(500)])
    mongo[database].b.insert_one({"_id": "old"})
    source = await connect(stream_wait=QUICK, ddl="apply", initial_sync_query='{"on": 1}')
    start = await position(source)
    mongo[database].a.rename("b", dropTarget=True)
    answers = await until_quiet(source, start)
    assert updates_with_drops(answers)[:2] == [("a", wire.DROP), ("b", wire.DROP)]
    assert {each[2] for each in updates(answers[2:])} == set(range(1, 500, 2))


async def test_a_rename_to_a_name_that_is_not_followed_is_a_drop(connect: Connect, mongo: Mongo, database: str) -> None:
    mongo[database].a.insert_one({})
    source = await connect(stream_wait=QUICK, ddl="apply")
    start = await position(source, f"{database}.a")
    mongo[database].a.rename("b")
    assert updates_with_drops(await until_quiet(source, start)) == [("a", wire.DROP)]


async def test_a_sink_removes_the_documents_and_keeps_the_collection(
    connect: Connect, mongo: Mongo, database: str
) -> None:
    mongo[database].a.create_index("u")
    mongo[database].a.insert_many([{"_id": i} for i in range(100)])
    sink = await connect()
    ask = wire.GetNamespaceMetadataRequest(namespace="a")
    before = await sink.GetNamespaceMetadata(ask)
    for _ in range(2):
        await apply(sink, put(1, v=1), DROPPED, put(2, v=2))
        assert list(mongo[database].a.find()) == [{"_id": 2, "v": 2}]
    assert (await sink.GetNamespaceMetadata(ask)).identity == before.identity
    assert "u_1" in mongo[database].a.index_information()
    await apply(sink, DROPPED, namespace="nosuch")


def test_what_comes_before_and_after_a_drop_is_not_written_with_it() -> None:
    def answer(name: str, *changes: wire.Update) -> wire.StreamUpdatesResponse:
        return wire.StreamUpdatesResponse(namespace=name, updates=changes)

    told = [answer("a", put(1)), answer("b", put(1)), answer("a", DROPPED), answer("a", put(2)), answer("b", DROPPED)]
    assert [[each.namespace for each in run] for run in runs(told)] == [["a", "b"], ["a"], ["a"], ["b"]]
    assert [len(run) for run in runs(told[:2])] == [2]
    assert list(runs([])) == []


class Ends:
    """Two databases and a command line between them, as a person would run it again and again."""

    def __init__(self, mongo_uri: str, mongo: Mongo, database: str, state: Path) -> None:
        self.mongo, self.source, self.target = mongo, database, f"{database}t"
        self.uris = [uri_of(mongo_uri, self.source), uri_of(mongo_uri, self.target)]
        self.state = state

    async def run(self, **changes: Any) -> None:
        settings = Settings(
            metadata=str(self.state),
            retry_for=0,
            mode="Full",
            until_caught_up=True,
            save_positions_seconds=0.01,
            selection=parse([f"{self.source}:{self.target}"]),
            **changes,
        )
        source = MongoConnector(self.uris[0], {"stream_wait": QUICK, "ddl": "apply"})
        async with asyncio.timeout(60):
            await migrate(source, MongoConnector(self.uris[1], {}), settings)

    def contents(self, database: str) -> dict[str, list[bytes]]:
        names = sorted(self.mongo[database].list_collection_names())
        return {name: found for name in names if (found := stored(self.mongo, database, name))}

    def assert_equal(self) -> None:
        assert self.contents(self.target) == self.contents(self.source)


async def test_drops_and_renames_between_runs_leave_both_ends_equal(
    mongo_uri: str, mongo: Mongo, database: str, tmp_path: Path
) -> None:
    ends = Ends(mongo_uri, mongo, database, tmp_path / "state.db")
    for name in ("a", "b", "c"):
        mongo[database][name].insert_many([{"_id": i, "in": name} for i in range(50)])
    await ends.run()
    ends.assert_equal()
    mongo[database].a.delete_many({"_id": {"$lt": 10}})
    mongo[database].a.drop()
    mongo[database].a.insert_many([{"_id": i, "again": True} for i in range(40, 60)])
    mongo[database].b.rename("d")
    mongo[database].d.update_many({}, {"$set": {"moved": True}})
    mongo[database].c.drop()
    await ends.run()
    ends.assert_equal()
    mongo.drop_database(ends.target)


async def test_a_drop_of_more_than_may_be_deleted_stops_before_it_is_applied(
    mongo_uri: str, mongo: Mongo, database: str, tmp_path: Path
) -> None:
    ends = Ends(mongo_uri, mongo, database, tmp_path / "state.db")
    mongo[database].a.insert_many([{"_id": i} for i in range(50)])
    mongo[database].b.insert_one({})
    await ends.run()
    mongo[database].a.drop()
    with pytest.raises(LimitError, match="--max-delete 49"):
        await ends.run(max_delete=49)
    assert len(ends.contents(ends.target)["a"]) == 50
    await ends.run(max_delete=50)
    ends.assert_equal()
    mongo.drop_database(ends.target)
