"""What a stream must not follow: what the copy leaves out, where the state lives, and what the run itself writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.mongo.connector import MongoConnector
from connectors.mongo.namespaces import leaves_out
from dsync.errors import UsageError
from dsync.namespaces import parse
from dsync.run import migrate
from dsync.settings import Settings
from tests.mongo.driving import Mongo, uri_of


@pytest.fixture
def target(mongo: Mongo, database: str) -> Iterator[str]:
    yield f"{database}t"
    mongo.drop_database(f"{database}t")


async def run(
    mongo_uri: str, database: str, metadata: str, exclude: list[str], *, names: bool = True, **options: Any
) -> None:
    settings = Settings(
        metadata=metadata,
        retry_for=0,
        mode="Full",
        until_caught_up=True,
        save_positions_seconds=0.01,
        selection=parse([f"{database}:{database}t"], exclude),
    )
    source = MongoConnector(uri_of(mongo_uri, database if names else ""), {"stream_wait": 0.05, **options})
    async with asyncio.timeout(60):
        await migrate(source, MongoConnector(uri_of(mongo_uri), {}), settings)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", ["logs", "{}.logs"])
async def test_excluded_collections_are_not_followed_and_may_be_dropped(
    mongo_uri: str, mongo: Mongo, database: str, target: str, tmp_path: Path, name: str, streams: bool
) -> None:
    source, exclude = mongo[database], [name.format(database)]
    for collection in ("orders", "logs", "logs.old", "logs2"):
        source[collection].insert_one({"_id": 1})
    state = str(tmp_path / "state.db")
    await run(mongo_uri, database, state, exclude, per_namespace_streams=streams)
    for collection in ("orders", "logs", "logs.old", "logs2"):
        source[collection].insert_one({"_id": 2})
    source.logs.drop()
    await run(mongo_uri, database, state, exclude, per_namespace_streams=streams)
    found = {each: mongo[target][each].count_documents({}) for each in mongo[target].list_collection_names()}
    assert found == {"orders": 2, "logs2": 2}


async def test_the_state_in_the_sources_database_is_neither_copied_nor_followed(
    mongo_uri: str, mongo: Mongo, database: str, target: str
) -> None:
    mongo[database].orders.insert_one({"_id": 1})
    for number in (2, 3):
        await run(mongo_uri, database, uri_of(mongo_uri, database), [])
        mongo[database].orders.insert_one({"_id": number})
    assert mongo[target].list_collection_names() == ["orders"]
    assert {"flows", "positions"} <= set(mongo[database].list_collection_names())
    assert mongo[target].orders.count_documents({}) == 2


async def test_a_database_with_nothing_but_the_state_is_refused(mongo_uri: str, database: str, mongo: Mongo) -> None:
    mongo[database].create_collection("flows")
    with pytest.raises(UsageError, match="state of dsync itself"):
        await run(mongo_uri, database, uri_of(mongo_uri, database), [])


@pytest.mark.parametrize("mode", ["Full", "InitialSync", "CDC"])
@pytest.mark.parametrize(
    ("uri_database", "names"), [("", "{0}:{0}.copy"), ("", "{0}.a:{0}.a.copy"), ("{0}", "a:{0}.a.copy"), ("", "{0}")]
)
async def test_what_would_be_read_again_is_refused_before_anything_is_written(
    mongo_uri: str, mongo: Mongo, database: str, mode: Any, uri_database: str, names: str
) -> None:
    mongo[database].a.insert_one({"_id": 1})
    selection = parse([names.format(database)])
    settings = Settings(metadata="memory:", retry_for=0, mode=mode, selection=selection, until_caught_up=True)
    source = MongoConnector(uri_of(mongo_uri, uri_database.format(database)), {"stream_wait": 0.05})
    with pytest.raises(UsageError, match=r"would be copied again|onto itself"):
        await migrate(source, MongoConnector(uri_of(mongo_uri), {}), settings)
    assert mongo[database].list_collection_names() == ["a"]


@pytest.mark.parametrize("mode", ["Full", "CDC"])
async def test_a_name_that_only_looks_like_the_sources_is_copied(
    mongo_uri: str, mongo: Mongo, database: str, target: str, mode: Any
) -> None:
    """The source's database is in its URI: its `a` is not the `a` of another database."""
    mongo[database].a.insert_one({"_id": 1})
    selection = parse([f"a:{target}.a"])
    settings = Settings(metadata="memory:", retry_for=0, mode=mode, selection=selection, until_caught_up=True)
    source = MongoConnector(uri_of(mongo_uri, database), {"stream_wait": 0.05})
    await migrate(source, MongoConnector(uri_of(mongo_uri), {}), settings)
    assert mongo[target].a.count_documents({}) == (mode == "Full")


def test_a_name_to_leave_out_may_lack_the_database() -> None:
    assert leaves_out(["logs"], "shop.logs") and leaves_out(["shop.logs"], "shop.logs.old")
    assert leaves_out(["shop"], "shop.logs") and not leaves_out(["log", "hop.logs"], "shop.logs")
