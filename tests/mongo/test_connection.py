"""Connecting: what cannot be reached is told in time, with what to check, and without secrets."""

from __future__ import annotations

import asyncio

import pytest

from connectors.mongo.connector import MongoConnector
from dsync import wire
from dsync.errors import EndpointError, UsageError
from tests.kit.process import free_port
from tests.mongo.conftest import Connect
from tests.mongo.driving import Mongo, fail

CANARY = "c4n4ry"


async def test_a_server_that_is_not_there_is_the_endpoints_error_within_the_time() -> None:
    uri = f"mongodb://user:{CANARY}@127.0.0.1:{free_port()}/shop"
    with pytest.raises(EndpointError, match="check host") as caught:
        async with MongoConnector(uri, {"server_timeout": 0.3}):
            pass
    assert CANARY not in str(caught.value)


async def test_a_server_that_does_not_answer_is_the_endpoints_error_within_the_time() -> None:
    silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    with pytest.raises(EndpointError):
        async with MongoConnector(f"mongodb://127.0.0.1:{port}/", {"server_timeout": 0.3, "ping_timeout": 0.3}):
            pass
    silent.close()


async def test_a_slow_ping_is_the_endpoints_error(connect: Connect, mongo: Mongo, database: str) -> None:
    fail(mongo, database, ["ping"], blockConnection=True, blockTimeMS=1500)
    with pytest.raises(EndpointError, match="in time"):
        await connect(ping_timeout=0.2)


async def test_wrong_credentials_are_the_endpoints_error(mongo_uri: str) -> None:
    host = mongo_uri.partition("://")[2].partition("/")[0].rpartition("@")[2]
    with pytest.raises(EndpointError, match="password") as caught:
        async with MongoConnector(f"mongodb://nobody:{CANARY}@{host}/", {}):
            pass
    assert CANARY not in str(caught.value)


async def test_a_password_of_its_own_lets_the_user_of_the_uri_in(mongo_uri: str, mongo: Mongo, database: str) -> None:
    host, _, options = mongo_uri.partition("://")[2].rpartition("@")[2].partition("/?")
    mongo[database].command("createUser", "someone", pwd="p@ss/w:rd%", roles=["read"])
    uri = f"mongodb://someone@{host}/{database}?{options}"
    async with MongoConnector(uri, {"password": "p@ss/w:rd%"}) as connector:
        assert (await connector.GetInfo(wire.GetInfoRequest())).db_type == "mongodb"
    with pytest.raises(EndpointError):
        async with MongoConnector(uri, {"password": CANARY}):
            pass
    mongo[database].command("dropUser", "someone")


async def test_a_host_name_that_does_not_resolve_is_the_endpoints_error() -> None:
    with pytest.raises(EndpointError):
        async with MongoConnector("mongodb+srv://cluster.invalid/", {"server_timeout": 0.5}):
            pass


async def test_the_connector_says_what_it_is(connect: Connect, database: str) -> None:
    info = await (await connect()).GetInfo(wire.GetInfoRequest())
    assert info.db_type == "mongodb"
    assert info.version
    assert database in info.id
    assert list(info.capabilities.source.supported_data_types) == [wire.BSON]
    assert info.capabilities.source.default_plan
    assert info.capabilities.source.multi_namespace_plan
    assert info.capabilities.sink.keyed
    assert 1 << 20 <= info.capabilities.sink.preferred_batch_bytes <= 2 << 20


async def test_a_connector_that_is_not_open_says_so() -> None:
    with pytest.raises(UsageError, match="not open"):
        await MongoConnector("mongodb://a/shop", {}).GeneratePlan(wire.GeneratePlanRequest())
