"""TLS: who the server is, who the client is, and what files cannot be used for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dsync import wire
from dsync.errors import EndpointError, UsageError
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from dsync.wire import peer
from dsync.wire.client import GrpcConnector
from dsync.wire.guard import Guard
from dsync.wire.server import ServerSettings, serving
from tests.wire.certificates import DAY, NOW, Authority, authority


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return authority(tmp_path, "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return authority(tmp_path, "theirs")


@asynccontextmanager
async def server(guard: Guard) -> AsyncIterator[int]:
    async with (
        MemoryConnector(MemoryStore()) as connector,
        serving(connector, "127.0.0.1:0", ServerSettings(guard)) as port,
    ):
        yield port


async def greet(port: int, host: str = "127.0.0.1", **options: Any) -> str:
    """The store's id, as a client with these options gets it."""
    async with GrpcConnector(f"grpc://{host}:{port}", options) as client:
        return (await client.GetInfo(wire.GetInfoRequest())).id


async def test_a_client_that_trusts_the_authority_is_served(ours: Authority) -> None:
    async with server(Guard(*ours.sign("server"))) as port:
        assert await greet(port, ca=ours.ca) == "memory-memory"
        assert await greet(port, "localhost", ca=ours.ca) == "memory-memory"


async def test_a_server_of_another_authority_is_refused_at_once(ours: Authority, theirs: Authority) -> None:
    async with server(Guard(*ours.sign("server"))) as port:
        for options in ({"ca": theirs.ca}, {}):
            with pytest.raises(EndpointError, match=r"no gRPC connection with TLS to .*CERTIFICATE_VERIFY_FAILED"):
                await greet(port, **options)


async def test_an_expired_certificate_is_refused(ours: Authority) -> None:
    async with server(Guard(*ours.sign("server", NOW - DAY))) as port:
        with pytest.raises(EndpointError, match="certificate has expired"):
            await greet(port, ca=ours.ca)


async def test_with_and_without_tls_do_not_meet(ours: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "CONNECT_SECONDS", 0.5)
    async with server(Guard(*ours.sign("server"))) as port:
        with pytest.raises(EndpointError, match=r"no gRPC connection to .* without TLS"):
            await greet(port, insecure=True)
    async with server(Guard()) as port:
        with pytest.raises(EndpointError, match=r"no gRPC connection with TLS to .* --insecure does without"):
            await greet(port, ca=ours.ca)


async def test_only_clients_with_a_certificate_of_the_authority_are_served(
    ours: Authority, theirs: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "CONNECT_SECONDS", 0.5)
    async with server(Guard(*ours.sign("server"), client_ca=ours.ca)) as port:
        certificate, key = ours.sign("client")
        assert await greet(port, ca=ours.ca, cert=certificate, key=key) == "memory-memory"
        strangers = [theirs.sign("stranger"), ours.sign("late", NOW - DAY)]
        for options in ({}, *({"cert": cert, "key": key} for cert, key in strangers)):
            with pytest.raises(EndpointError, match="--cert where it wants one"):
                await greet(port, ca=ours.ca, **options)


def test_files_that_are_no_certificates_are_named(ours: Authority, theirs: Authority, tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_text("nonsense")
    nonsense = str(tmp_path / "nonsense")
    certificate, key = ours.sign("server")
    _, other_key = theirs.sign("other")
    for guard, message in (
        (Guard(certificate, other_key), "are not a certificate and its key"),
        (Guard(nonsense, key), "are not a certificate and its key"),
        (Guard(certificate, "/nowhere"), "'/nowhere' cannot be read"),
        (Guard(certificate, key, client_ca=nonsense), "nonsense' holds no certificates"),
    ):
        with pytest.raises(UsageError, match=message):
            guard.credentials()
    for options, message in (
        ({"ca": nonsense}, "holds no certificates"),
        ({"ca": "/nowhere"}, "'/nowhere' cannot be read"),
        ({"cert": certificate}, "--cert and --key belong together"),
        ({"cert": certificate, "key": other_key}, "are not a certificate and its key"),
        ({"ca": ours.ca, "insecure": True}, "--insecure and --ca exclude each other"),
    ):
        with pytest.raises(UsageError, match=message):
            GrpcConnector("grpc://127.0.0.1:1", options)
