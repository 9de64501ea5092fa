"""A state in MongoDB is held by a lease: one owner at a time, and whoever lost it commits and sends nothing more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from dsync import wire
from dsync.errors import HeldError, StateError, UsageError
from dsync.run import migrate
from dsync.state import mongo as mongo_state
from dsync.state import open_state
from dsync.state.mongo import MongoState
from dsync.testing.store import MemoryStore
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, Position
from dsync.wrap.fence import Fence
from tests.engine.driving import connector, contents, documents, settings, store_with
from tests.state.test_state import flow, plan


@pytest.fixture
def uri(mongo_uri: str, database: str) -> str:
    return mongo_uri.replace("/?", f"/{database}?")


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo_state, "LEASE_SECONDS", 1.5)


async def test_a_second_owner_is_told_who_holds_the_flow(uri: str) -> None:
    async with MongoState(uri) as first, MongoState(uri) as second:
        await first.lock("f")
        with pytest.raises(HeldError, match="process"):
            await second.lock("f")
        await second.lock("g")


async def test_a_lease_is_given_back_at_the_end(uri: str) -> None:
    for _ in range(2):
        started = time.monotonic()
        async with MongoState(uri) as state:
            await state.lock("f")
        assert time.monotonic() - started < 1.4


async def test_the_lease_of_a_killed_run_is_free_after_a_while(uri: str) -> None:
    killed = MongoState(uri)
    await killed.open()
    await killed.lock("f")
    for renewal in killed._renewals:
        renewal.cancel()  # nobody renews for a process that is gone
    async with MongoState(uri) as state:
        await state.lock("f")
    await killed._client.close()


async def test_whoever_lost_the_lease_cannot_commit(uri: str) -> None:
    paused = MongoState(uri)
    await paused.open()
    await paused.lock("f")
    await paused.begin(flow(), plan(2))
    for renewal in paused._renewals:
        renewal.cancel()
    async with MongoState(uri) as state:
        await state.lock("f")
        with pytest.raises(HeldError, match="another run has taken"):
            await paused.save("f", {0: Checkpoint(read=5)})
        with pytest.raises(HeldError):
            await paused.begin(flow(), plan(1))
        assert [p.checkpoint.read for p in await state.partitions("f")] == [0, 0]
    await paused._client.close()


async def test_whoever_may_have_lost_the_lease_sends_nothing_more(uri: str) -> None:
    target = MemoryStore("target")
    async with MongoState(uri) as state:
        await state.lock("f")
        sink = Fence(connector(target), lambda: state.valid_until)
        request = wire.WriteDataRequest(namespace="a", data=documents(1), type=wire.BSON)
        await sink.WriteData(request)
        for renewal in state._renewals:
            renewal.cancel()
        time.sleep(1.6)  # the whole process stands still, as after SIGSTOP
        with pytest.raises(HeldError, match="ran out"):
            await sink.WriteData(request)


async def test_a_lease_is_renewed_while_the_run_goes_on(uri: str) -> None:
    async with MongoState(uri) as state:
        await state.lock("f")
        await asyncio.sleep(2.5)
        assert state.valid_until is not None
        assert state.valid_until > time.monotonic()
        await state.begin(flow(), plan(1))


async def test_a_run_keeps_its_state_there_and_goes_on_from_it(uri: str) -> None:
    source, target = store_with(a=documents(200)), MemoryStore("target")
    asked = settings(Path("unused"), metadata=uri, mode="Full", until_caught_up=True)
    for number in (1, 2):
        source.put("a", documents(1, start=1000 + number)[0])
        await migrate(connector(source), connector(target), asked)
        assert contents(target, "a") == contents(source, "a")


async def test_the_collections_of_the_state_are_known_by_name_and_identity(uri: str, database: str) -> None:
    async with open_state(uri) as state:
        await state.lock("f")
        await state.begin(flow(), plan(1))
        own = await state.own_namespaces()
    assert {f"{database}.flows", f"{database}.leases", f"{database}.positions"} <= set(own)
    assert f"{database}.orders" not in own
    assert {len(identity) for name, identity in own.items() if name != f"{database}.positions"} == {32}


async def test_a_damaged_row_is_an_error(uri: str, database: str, mongo: MongoClient[dict[str, Any]]) -> None:
    async with MongoState(uri) as state:
        await state.lock("f")
        await state.begin(flow(), plan(1))
        mongo[database].partitions.update_many({}, {"$set": {"checkpoint": b"\xff"}})
        with pytest.raises(StateError, match="is damaged"):
            await state.partitions("f")


async def test_a_newer_layout_is_refused(uri: str, database: str, mongo: MongoClient[dict[str, Any]]) -> None:
    mongo[database].layout.insert_one({"_id": "layout", "version": 99})
    with pytest.raises(StateError, match="newer dsync"):
        async with MongoState(uri):
            pass


async def test_a_server_that_is_not_there_is_named_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo_state, "SERVER_SECONDS", 0.3)
    with pytest.raises(StateError, match="cannot be reached") as caught:
        async with MongoState("mongodb://user:canary@127.0.0.1:1/x"):
            pass
    assert "canary" not in str(caught.value)
    with pytest.raises(UsageError) as malformed:
        MongoState("mongodb://user:can/ary@host")
    assert "ary" not in str(malformed.value).replace("dsync", "")


async def test_an_older_layout_migrates_wholly_or_not_at_all(
    uri: str, database: str, mongo: MongoClient[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MongoState(uri) as state:
        await state.lock("f")
        await state.begin(flow(), plan(2))

    async def add(rows: AsyncDatabase[dict[str, Any]], session: AsyncClientSession) -> None:
        await rows["flows"].update_many({}, {"$set": {"more": 1}}, session=session)
        if broken:
            raise OperationFailure("no", code=8000)

    monkeypatch.setattr(mongo_state, "VERSION", 2)
    monkeypatch.setitem(mongo_state.MIGRATIONS, 2, add)
    broken = True
    with pytest.raises(StateError, match="cannot be used"):
        await MongoState(uri).open()
    assert mongo[database].layout.find_one() == {"_id": "layout", "version": 1}
    assert mongo[database].flows.count_documents({"more": 1}) == 0
    broken = False
    several = [MongoState(uri) for _ in range(4)]
    await asyncio.gather(*(each.open() for each in several))
    assert mongo[database].layout.find_one() == {"_id": "layout", "version": 2}
    assert mongo[database].flows.count_documents({"more": 1}) == 1
    assert len(await several[0].partitions("f")) == 2
    for each in several:
        await each.close()


@pytest.mark.parametrize(
    ("collection", "change"),
    [
        ("layout", {"$set": {"version": "one"}}),
        ("layout", {"$unset": {"version": 1}}),
        ("flows", {"$set": {"body": "{"}}),
        ("flows", {"$set": {"body": 7}}),
        ("flows", {"$unset": {"body": 1}}),
        ("partitions", {"$set": {"planned": "text"}}),
        ("partitions", {"$unset": {"checkpoint": 1}}),
        ("positions", {"$set": {"position": b"\xff"}}),
    ],
)
async def test_rows_that_dsync_has_not_written_are_an_error_and_stay(
    uri: str, database: str, mongo: MongoClient[dict[str, Any]], collection: str, change: dict[str, Any]
) -> None:
    async with MongoState(uri) as state:
        await state.lock("f")
        await state.begin(flow(), plan(1), [Position(number=0)])
    mongo[database][collection].update_one({}, change)
    kept = mongo[database][collection].find_one()
    with pytest.raises(StateError, match=f"{database}' is damaged and was left as it is"):
        async with MongoState(uri) as state:
            await state.flow("f")
            await state.partitions("f")
            await state.positions("f")
    assert mongo[database][collection].find_one() == kept


async def test_rows_without_a_layout_are_no_new_state(
    uri: str, database: str, mongo: MongoClient[dict[str, Any]]
) -> None:
    mongo[database].flows.insert_one({"of": "somebody else"})
    with pytest.raises(StateError, match="a collection 'flows', but nothing that says which layout it has"):
        await MongoState(uri).open()
    assert mongo[database].list_collection_names() == ["flows"]
