"""An HTTP proxy before the S3 server, in which requests fail as they do in the world."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# What a fault makes of an answer: None is a connection that breaks before it.
Fault = Callable[[bytes], bytes | None]


@dataclass(slots=True)
class Proxy:
    """Hands requests on; those that `matches` say meet with a fault, as often as they say."""

    url: str = ""
    faults: list[tuple[str, str, Fault, int]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def fail(self, method: str, part: str, fault: Fault, times: int = 1) -> None:
        """The next requests by a method whose target holds a text end in a fault."""
        self.faults.append((method, part, fault, times))

    def due(self, method: str, target: str) -> Fault | None:
        """The fault whose turn it is."""
        self.requests.append(f"{method} {target}")
        for index, (wanted, part, fault, times) in enumerate(self.faults):
            if wanted == method and part in target and times:
                self.faults[index] = (wanted, part, fault, times - 1)
                return fault
        return None


def answer(status: int, code: str) -> Fault:
    """The server says no."""
    body = f"<Error><Code>{code}</Code><Message>as planned</Message></Error>".encode()
    head = f"HTTP/1.1 {status} Planned\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return lambda _: head.encode() + body


def broken(_: bytes) -> bytes | None:
    """The request is done, and the connection breaks before the answer."""
    return None


def cut(response: bytes) -> bytes | None:
    """Half of the answer's body arrives."""
    head, _, body = response.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + body[: len(body) // 2]


def damaged(response: bytes) -> bytes | None:
    """One byte of the answer's body is another one."""
    return response[:-1] + bytes([response[-1] ^ 1])


@contextlib.asynccontextmanager
async def proxied(endpoint: str) -> AsyncIterator[Proxy]:
    """A proxy before an endpoint."""
    proxy = Proxy()
    target = urlsplit(endpoint)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head, body = await _request(reader, writer)
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            fault = proxy.due(method, path)
            response: bytes | None = await _forward(str(target.hostname), int(target.port or 80), head, body)
            if fault is not None and response is not None:
                response = fault(response)
            if response is not None:
                writer.write(response)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield proxy


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"expect:"))]
    if b"\r\nexpect:" in head.lower():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    sizes = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
    body = await reader.readexactly(sizes[0] if sizes else 0)
    return b"\r\n".join([*lines[:-2], b"Connection: close", b"", b""]), body


async def _forward(host: str, port: int, head: bytes, body: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head + body)
    await writer.drain()
    response = await reader.read()
    writer.close()
    return response
