"""A server of the test's own that forgets its oplog, and one that is killed and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import bson
import pytest

from connectors.mongo.connector import MongoConnector
from dsync import namespaces, wire
from dsync.endpoint import Endpoint
from dsync.errors import GapError, TransientError
from dsync.run import migrate
from dsync.settings import Settings
from tests.kit.mongod import Mongod
from tests.kit.process import MissingServerError, in_ci
from tests.mongo.driving import Mongo, pages, plan, read, stored, uri_of, write
from tests.mongo.following import position, until_quiet, updates


@pytest.fixture
def server() -> Iterator[Mongod]:
    try:
        with Mongod("--syncdelay=1", oplog_megabytes=1) as started:
            yield started
    except MissingServerError as error:
        if in_ci():
            raise
        pytest.skip(str(error))


async def test_a_position_that_the_oplog_has_forgotten_is_a_gap(server: Mongod) -> None:
    with Mongo(server.uri) as mongo:
        async with MongoConnector(uri_of(server.uri, "shop"), {"stream_wait": 0.05}) as source:
            start = await position(source)
            idle = (await until_quiet(source, start))[-1].next_cursor
            deadline = time.monotonic() + 60
            found = None
            while found is None and time.monotonic() < deadline:
                mongo.shop.a.insert_many([{"s": "x" * 900_000} for _ in range(12)])
                await asyncio.sleep(1)
                with contextlib.suppress(TransientError):
                    found = await gap(source, start)
            assert isinstance(found, GapError)
            assert "--restart" in str(found)
            assert isinstance(await gap(source, idle), GapError)


async def test_a_copy_that_outlasts_the_oplog_ends_as_soon_as_it_cannot_be_made_whole(server: Mongod) -> None:
    ends = Endpoint(server.uri, {"max_page_size": 10}), Endpoint(server.uri)
    with Mongo(server.uri) as mongo:
        mongo.shop.a.insert_many([{"_id": number} for number in range(4000)])
        # without the watch, a quarter of an hour
        slow = Settings(metadata="memory:", mode="Full", selection=namespaces.parse(["shop:copy"]), write_rate_limit=5)
        run = asyncio.create_task(migrate(*ends, slow))
        while not run.done():
            mongo.other.noise.insert_many([{"s": "x" * 900_000} for _ in range(12)])
            await asyncio.sleep(0.5)
        with pytest.raises(GapError, match="no longer keeps the changes"):
            await run
        assert 0 < mongo.copy.a.count_documents({}) < 4000


async def gap(source: MongoConnector, cursor: bytes) -> GapError | None:
    try:
        await until_quiet(source, cursor)
    except GapError as error:
        return error
    return None


async def test_after_a_crash_of_the_server_everything_answered_is_there_and_cursors_go_on(server: Mongod) -> None:
    options = {"stream_wait": 0.05, "max_page_size": 10, "server_timeout": 20}
    async with MongoConnector(uri_of(server.uri, "shop"), options) as both:
        await write(both, "a", [{"_id": i} for i in range(50)])
        (partition,) = (await plan(both)).partitions
        first = await both.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))
        start = await position(both)
        await write(both, "b", [{"_id": 1}])
        server.kill()
        with pytest.raises(TransientError):
            await write(both, "b", [{"_id": 2}])
        server.start()
        await write(both, "b", [{"_id": 2}])
        rest = await both.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=first.next_cursor))
        assert [bson.decode(each)["_id"] for each in rest.data] == list(range(10, 20))
        assert len(await pages(both, partition)) == 6
        assert len(await read(both, [partition])) == 50
        assert {each[2] for each in updates(await until_quiet(both, start))} == {1, 2}
    with Mongo(server.uri) as mongo:
        assert len(stored(mongo, "shop", "a")) == 50
