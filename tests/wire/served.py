"""Connectors behind a server, in this process and in others."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from dsync import wire
from dsync.connector import Connector
from dsync.wire.client import GrpcConnector
from dsync.wire.server import ServerSettings, serving
from tests.kit import process
from tests.kit.cli import Dsync

SERVICE = "/adiom.v1.ConnectorService/"


@asynccontextmanager
async def served(
    connector: Connector, settings: ServerSettings | None = None, **options: Any
) -> AsyncIterator[GrpcConnector]:
    """A client of a server around the connector, on loopback."""
    async with (
        connector,
        serving(connector, "127.0.0.1:0", settings) as port,
        GrpcConnector(f"grpc://127.0.0.1:{port}", {"insecure": True} | options) as client,
    ):
        yield client


@asynccontextmanager
async def raw_channel(
    connector: Connector, settings: ServerSettings | None = None, **options: Any
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel without anything of dsync's, to a server around the connector; it may send messages of any size."""
    async with connector, serving(connector, "127.0.0.1:0", settings) as port:
        sizes = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=sizes, **options) as channel:
            yield channel


async def failure(channel: grpc.aio.Channel, method: str, message: bytes) -> grpc.aio.AioRpcError:
    """How a call with these bytes fails."""
    call: Any = channel.unary_unary(SERVICE + method)
    try:
        await call(message)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"{method} took it")


def joined(pages: Iterable[list[bytes]]) -> list[bytes]:
    """The documents of all pages."""
    return list(itertools.chain.from_iterable(pages))


async def every_page(connector: Connector, data_type: wire.Type = wire.BSON) -> list[list[bytes]]:
    """All pages of all partitions."""
    pages = []
    for partition in (await connector.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))).partitions:
        request = wire.ListDataRequest(partition=partition, type=data_type)
        while True:
            page = await connector.ListData(request)
            pages.append(list(page.data))
            if not page.next_cursor:
                break
            request.cursor = page.next_cursor
    return pages


@contextlib.contextmanager
def in_another_process(
    dsync: Dsync, *words: str | Path, port: int = 0
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`dsync serve` with these words: (its port, the process). It is killed at the end, if it still runs."""
    log = dsync.folder / "serve.log"
    before = log.stat().st_size if log.exists() else 0
    command = dsync.command("serve", "--address", f"127.0.0.1:{port}", *map(str, words))
    server = process.start(command, log, dsync.variables())

    def said() -> str:
        with log.open("rb") as text:
            text.seek(before)
            return text.read().decode()

    try:
        process.wait_ready(server, log, lambda: "serving " in said())
        (found,) = re.findall(r"^serving .* at .*:(\d+)$", said(), re.MULTILINE)
        yield int(found), server
    finally:
        process.stop(server)
