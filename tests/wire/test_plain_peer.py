"""Peers that know the plain contract only work as source, as sink and as client, as far as it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import bson
import grpc
import pytest
from google.protobuf import message_factory

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.errors import UsageError
from dsync.namespaces import Selection, parse
from dsync.progress import Tracker
from dsync.run import migrate
from dsync.settings import Settings
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from tests.wire import plain
from tests.wire.plain import PlainPeer, message, plain_server
from tests.wire.served import SERVICE, raw_channel

COPY = Settings(selection=parse(["a.docs"], []), metadata="memory:", retry_for=0, mode="InitialSync")
UNASKED = replace(COPY, mode=None)


def end(port: int) -> Endpoint:
    return Endpoint(f"grpc://127.0.0.1:{port}", {"insecure": True})


async def until(true: Callable[[], bool], run: asyncio.Task[Any]) -> None:
    while not true():
        assert not run.done(), run
        await asyncio.sleep(0.01)


async def test_a_plain_source_is_copied() -> None:
    peer, store = PlainPeer(), MemoryStore()
    peer.load("a.docs", 95)
    async with plain_server(peer) as port:
        result = await migrate(end(port), MemoryConnector(store), COPY)
    assert result.complete
    assert sorted(store.documents("a.docs")) == sorted(peer.documents["a.docs"].values())


async def test_a_plain_sink_takes_a_copy() -> None:
    peer, store = PlainPeer(), MemoryStore()
    store.load("a.docs", [bson.encode({"_id": number}) for number in range(300)])
    async with plain_server(peer) as port:
        result = await migrate(MemoryConnector(store), end(port), COPY)
    assert result.complete
    assert sorted(peer.documents["a.docs"].values()) == sorted(store.documents("a.docs"))


@pytest.mark.parametrize("mode", [None, "Full"])
async def test_changes_between_plain_peers_are_followed_without_being_asked_for(mode: Any) -> None:
    one, other = PlainPeer(), PlainPeer()
    one.load("a.docs", 20)
    stop = asyncio.Event()
    async with plain_server(one) as from_port, plain_server(other) as to_port:
        run = asyncio.create_task(migrate(end(from_port), end(to_port), replace(COPY, mode=mode), stop=stop))
        await until(lambda: len(other.documents.get("a.docs", {})) == 20, run)
        one.change("a.docs", plain.update(plain.INSERT, 100, "new"))
        one.change("a.docs", plain.update(plain.UPDATE, 3, "changed"))
        one.change("a.docs", plain.update(plain.DELETE, 4))
        await until(lambda: one.documents["a.docs"] == other.documents["a.docs"], run)
        stop.set()
        await run


async def test_changes_of_a_plain_source_reach_a_store_of_dsync() -> None:
    peer, store, stop = PlainPeer(), MemoryStore(), asyncio.Event()
    peer.load("a.docs", 5)
    async with plain_server(peer) as port:
        run = asyncio.create_task(migrate(end(port), MemoryConnector(store), UNASKED, stop=stop))
        await until(lambda: len(store.documents("a.docs")) == 5, run)
        peer.change("a.docs", plain.update(plain.UPDATE, 3, "changed"))
        peer.change("a.docs", plain.update(plain.DELETE, 4))
        wanted = peer.documents["a.docs"]
        await until(lambda: sorted(store.documents("a.docs")) == sorted(wanted.values()), run)
        stop.set()
        await run


async def test_a_plain_source_without_positions_is_only_copied_and_the_run_says_so() -> None:
    peer, tracker = PlainPeer(streams=False), Tracker()
    peer.load("a.docs", 5)
    async with plain_server(peer) as port:
        await migrate(end(port), MemoryConnector(MemoryStore()), UNASKED, tracker=tracker)
        assert tracker.stage == "done"
        assert any("changes are not followed after the copy" in warning for warning in tracker.warnings)
        with pytest.raises(UsageError, match="--mode Full cannot work: grpc has no change stream"):
            await migrate(end(port), MemoryConnector(MemoryStore()), replace(COPY, mode="Full"))


async def test_a_plain_sink_without_updates_is_only_copied_to_and_the_run_says_so() -> None:
    peer, tracker, store = PlainPeer(takes_updates=False), Tracker(), MemoryStore()
    store.load("a.docs", [bson.encode({"_id": 1})])
    async with plain_server(peer) as port:
        await migrate(MemoryConnector(store), end(port), UNASKED, tracker=tracker)
        assert tracker.stage == "done"
        assert any("grpc takes no updates" in warning for warning in tracker.warnings)
        with pytest.raises(UsageError, match="--mode Full cannot work: grpc takes no updates"):
            await migrate(MemoryConnector(store), end(port), replace(COPY, mode="Full"))


async def test_a_source_that_has_to_be_told_what_to_copy_says_so() -> None:
    async with plain_server(PlainPeer()) as port:
        with pytest.raises(UsageError, match="does not say what it holds; name what to copy with --namespace"):
            await migrate(end(port), MemoryConnector(MemoryStore()), replace(COPY, selection=Selection()))


async def test_several_namespaces_are_asked_for_one_by_one() -> None:
    peer, store = PlainPeer(), MemoryStore()
    peer.load("a.docs", 5)
    peer.load("b.docs", 7)
    async with plain_server(peer) as port:
        await migrate(end(port), MemoryConnector(store), replace(COPY, selection=parse(["a.docs,b.docs"], [])))
    assert (len(store.documents("a.docs")), len(store.documents("b.docs"))) == (5, 7)


async def test_documents_are_converted_for_peers_that_speak_json_with_id() -> None:
    peer, store, back = PlainPeer(kind=plain.JSON_ID), MemoryStore(), MemoryStore()
    store.load("a.docs", [bson.encode({"_id": number, "n": [number, None]}) for number in range(30)])
    async with plain_server(peer) as port:
        await migrate(MemoryConnector(store), end(port), COPY)
        assert json.loads(peer.documents["a.docs"]["7"]) == {"id": 7, "n": [7, None]}
        await migrate(end(port), MemoryConnector(back), COPY)
    assert sorted(back.documents("a.docs")) == sorted(store.documents("a.docs"))


async def test_a_plain_client_can_use_a_store_that_dsync_serves() -> None:
    store = MemoryStore()
    async with raw_channel(MemoryConnector(store, Shape(page_documents=10))) as channel:
        call = plain_stub(channel)
        documents = [bson.encode({"_id": number, "text": ""}) for number in range(25)]
        await call("WriteData", namespace="a.docs", data=documents, type=wire.BSON)
        changes = [plain.update(plain.UPDATE, 3, "changed"), plain.update(plain.DELETE, 4)]
        await call("WriteUpdates", namespace="a.docs", updates=changes, type=wire.BSON)
        documents[3] = bson.encode({"_id": 3, "text": "changed"})
        del documents[4]
        info = await call("GetInfo")
        assert info.capabilities.source.default_plan
        assert (await call("GetNamespaceMetadata", namespace="a.docs")).count == len(documents)
        plan = await call("GeneratePlan", initial_sync=True, updates=True)
        found = []
        for partition in plan.partitions:
            page = await call("ListData", partition=partition, type=wire.BSON)
            found += page.data
            while page.next_cursor:
                page = await call("ListData", partition=partition, type=wire.BSON, cursor=page.next_cursor)
                found += page.data
        assert sorted(found) == sorted(documents)
        asked = message("GetByIdsRequest.IdRequest", id=changes[0].id)
        answer = await call("GetByIds", namespace="a.docs", ids=[asked], type=wire.BSON)
        assert [item.data for item in answer.data] == [documents[3]]


async def test_a_plain_client_writes_to_a_sink_without_keys_and_it_is_published_at_once() -> None:
    store = MemoryStore()
    async with raw_channel(MemoryConnector(store, Shape(keyed=False))) as channel:
        data = [bson.encode({"_id": 1})]
        await plain_stub(channel)("WriteData", namespace="a.docs", data=data, type=wire.BSON)
    assert store.documents("a.docs") == data


def plain_stub(channel: grpc.aio.Channel) -> Callable[..., Any]:
    """Calls a method with fields of its plain request."""

    async def call(name: str, **fields: Any) -> Any:
        method = plain.SERVICE.methods_by_name[name]
        answer = message_factory.GetMessageClass(method.output_type)
        made: Any = channel.unary_unary(SERVICE + name, lambda request: request.SerializeToString(), answer.FromString)
        return await made(message_factory.GetMessageClass(method.input_type)(**fields))

    return call
