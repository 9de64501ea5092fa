"""Who is let in: addresses that others reach want TLS and a token or certificate; a token is asked of every call."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from dsync import wire
from dsync.cli import serve
from dsync.errors import EndpointError, UsageError
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from dsync.wire import guard
from dsync.wire.client import GrpcConnector
from dsync.wire.guard import Guard
from dsync.wire.reflection import NEWER
from dsync.wire.server import ServerSettings, serving
from tests.kit.cli import Dsync
from tests.wire.served import SERVICE, raw_channel, served

TOKEN = "open-sesame-c4n4ry"
GUARDED = ServerSettings(Guard(token=TOKEN))
NOTHING = {"address": "127.0.0.1:0", "cert_file": None, "key_file": None, "client_ca": None, "token": None}
HEALTH, REFLECTION = "/grpc.health.v1.Health/Check", f"/{NEWER}/ServerReflectionInfo"
TLS = {"cert_file": "c", "key_file": "k"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "localhost"])
def test_loopback_needs_nothing(host: str) -> None:
    serve.refuse_open_doors(NOTHING | {"address": f"{host}:9000"})


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "", "192.168.1.5", "db.example.net", "[2001:db8::1]", "127.0.0.1.example.net"]
)
def test_elsewhere_tls_and_a_token_or_a_certificate_are_needed(host: str) -> None:
    address = {"address": f"{host}:9000"}
    for half in ({}, {"token": "t"}, TLS):
        with pytest.raises(UsageError, match="can be reached from other machines"):
            serve.refuse_open_doors(NOTHING | address | half)
    for whole in (TLS | {"token": "t"}, TLS | {"client_ca": "a"}):
        serve.refuse_open_doors(NOTHING | address | whole)


@pytest.mark.parametrize("address", ["127.0.0.1", "9000", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "::1"])
def test_what_is_no_address_is_said_so(address: str) -> None:
    with pytest.raises(UsageError, match="is not HOST:PORT"):
        serve.refuse_open_doors(NOTHING | {"address": address})


def test_an_open_door_is_refused_before_the_store_is_touched(tmp_path: Path) -> None:
    done = Dsync(tmp_path)("serve", "--address", "0.0.0.0:9000", "mongodb://127.0.0.1:1/", expect=2)
    assert "'0.0.0.0' can be reached from other machines" in done.err


def test_an_address_that_is_taken_is_an_endpoints_error(tmp_path: Path) -> None:
    done = Dsync(tmp_path)("serve", "--address", "192.0.2.1:1", "--token", "t", "/dev/null", expect=2)
    assert "can be reached from other machines" in done.err


async def test_two_servers_do_not_share_an_address() -> None:
    async with (
        MemoryConnector(MemoryStore()) as connector,
        serving(connector, "127.0.0.1:0") as port,
    ):
        with pytest.raises(EndpointError, match="cannot be listened on"):
            async with serving(connector, f"127.0.0.1:{port}"):
                pass


async def test_the_right_token_lets_in() -> None:
    async with served(MemoryConnector(MemoryStore()), GUARDED, token=TOKEN) as client:
        assert (await client.GetInfo(wire.GetInfoRequest())).db_type == "memory"


@pytest.mark.parametrize("token", ["", "another", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
async def test_a_missing_or_wrong_token_is_refused_and_not_repeated(token: str) -> None:
    async with MemoryConnector(MemoryStore()) as connector, serving(connector, "127.0.0.1:0", GUARDED) as port:
        client = GrpcConnector(f"grpc://127.0.0.1:{port}", {"insecure": True, "token": token})
        with pytest.raises(EndpointError, match="the token is missing or wrong") as error:
            await client.open()
        assert not token or token not in str(error.value)
        await client.close()


async def test_every_service_wants_the_token() -> None:
    async with raw_channel(MemoryConnector(MemoryStore()), GUARDED) as channel:
        unary: Any = channel.unary_unary
        calls = [unary(SERVICE + "GetInfo")(b""), unary(SERVICE + "NoSuchMethod")(b""), unary(HEALTH)(b"")]
        follow: Any = channel.unary_stream(SERVICE + "StreamUpdates")
        reflect: Any = channel.stream_stream(REFLECTION)
        streams = [follow(b""), reflect(iter([b""]))]
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
                await call
        for stream in streams:
            with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
                async for _ in stream:
                    pass


async def test_headers_that_are_no_token_are_refused() -> None:
    async with raw_channel(MemoryConnector(MemoryStore()), GUARDED) as channel:
        for value in (TOKEN, f"bearer {TOKEN}", f"Bearer  {TOKEN}", f"Basic {TOKEN}", "Bearer", "Bearer " + "x" * 4000):
            call: Any = channel.unary_unary(SERVICE + "GetInfo")
            with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
                await call(b"", metadata=(("authorization", value),))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[bytes, bytes]]]:
    seen: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        seen.append((left, right))
        return hmac.compare_digest(left, right)

    class Watched:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(guard, "hmac", Watched)
    yield seen


async def test_tokens_are_compared_whole_so_that_time_tells_nothing(compared: list[tuple[bytes, bytes]]) -> None:
    async with raw_channel(MemoryConnector(MemoryStore()), GUARDED) as channel:
        for value in ("", "B", f"Bearer {TOKEN[:5]}", f"Bearer {TOKEN}"):
            call: Any = channel.unary_unary(SERVICE + "GetInfo")
            try:
                await call(b"", metadata=(("authorization", value),))
            except grpc.aio.AioRpcError:
                continue
    assert len(compared) == 4


def test_a_token_that_cannot_be_a_header_is_refused_without_being_shown() -> None:
    for token in ("two words", "line\nend", "schlüssel"):
        with pytest.raises(UsageError, match="check --token") as error:
            GrpcConnector("grpc://127.0.0.1:1", {"insecure": True, "token": token})
        assert token not in str(error.value)
        with pytest.raises(UsageError, match="check --token"):
            Guard(token=token)


@pytest.mark.parametrize(
    "uri", ["grpc://h", "grpc://h:0", "grpc://h:99999", "grpc://:1", "grpc://h:1/path", "grpc://u:p4ss@h:1"]
)
def test_what_is_no_grpc_address_is_said_so(uri: str) -> None:
    with pytest.raises(UsageError, match=r"is not a gRPC address|has no user or password") as error:
        GrpcConnector(uri, {})
    assert "p4ss" not in str(error.value)


async def test_more_calls_than_allowed_are_told_to_try_again() -> None:
    async with (
        MemoryConnector(MemoryStore()) as connector,
        serving(connector, "127.0.0.1:0", ServerSettings(most_calls=2)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as one,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as other,
    ):
        follow: Any = one.unary_stream(SERVICE + "StreamUpdates")
        streams = [follow(wire.StreamUpdatesRequest(type=wire.BSON).SerializeToString()) for _ in range(2)]
        for stream in streams:
            await stream.read()
        call: Any = other.unary_unary(SERVICE + "GetInfo")
        with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
            await call(b"")
        for stream in streams:
            stream.cancel()
