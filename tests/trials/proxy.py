"""A TCP proxy on loopback that does to connections what networks do: resets, cuts, black holes, half-open ones, a trickle."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Fault = Literal["reset", "cut", "black hole", "half open", "slow", "refuse"]
FAULTS: tuple[Fault, ...] = ("reset", "cut", "black hole", "half open", "slow", "refuse")
CHUNK = 64 << 10
# What is slow: bytes at a time, and seconds between them.
TRICKLE_BYTES, TRICKLE_SECONDS = 2048, 0.05


class Proxy:
    """Hands everything on to `host:port` until `break_with`; lives in a thread of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        # Bytes handed on, both ways.
        self.passed = 0
        self._target = host, port
        self._fault: Fault | None = None
        # Of the bytes from now on, how many pass before the fault comes; None: it is here.
        self._left: int | None = None
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Listens on a free port."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Ends every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def break_with(self, fault: Fault, after_bytes: int = 0) -> None:
        """The fault comes after so many bytes; refusal, black hole and slowness are for new connections too."""

        def change() -> None:
            self._fault, self._left = fault, after_bytes
            if not after_bytes:
                self._strike()

        self._loop.call_soon_threadsafe(change)

    def mend(self) -> None:
        """New connections are well; those that were damaged end now."""

        def change() -> None:
            damaged = self._fault in {"black hole", "half open"} and self._left is None
            self._fault = self._left = None
            self._changed.set()
            self._changed = asyncio.Event()
            if damaged:
                self._reset_all()

        self._loop.call_soon_threadsafe(change)

    @property
    def struck(self) -> bool:
        """Whether the fault has come."""
        return self._fault is not None and self._left is None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._reset_all()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def _strike(self) -> None:
        self._left = None
        if self._fault in {"reset", "refuse"}:
            self._reset_all()
        elif self._fault == "cut":
            for writer in self._writers:
                writer.close()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.struck and self._fault == "refuse":
            _reset(writer)
            return
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        both = {writer, back}
        self._writers |= both
        try:
            await asyncio.gather(self._hand_on(reader, back, "to server"), self._hand_on(there, writer, "to client"))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a connection that ends, as it may; cancelled is what the tasks are when the proxy stops
        finally:
            self._writers -= both
            for each in both:
                each.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        while data := await reader.read(CHUNK):
            if self._fault is not None and self._left is not None:
                data = await self._count_down(data, writer)
            while self.struck and (self._fault == "black hole" or (self._fault == "half open" and way == "to client")):
                await self._changed.wait()
            if self.struck and self._fault == "slow":
                await self._trickle(data, writer)
                continue
            writer.write(data)
            self.passed += len(data)
            await writer.drain()
        if writer.can_write_eof() and not self.struck:
            writer.write_eof()

    async def _count_down(self, data: bytes, writer: asyncio.StreamWriter) -> bytes:
        """The bytes up to the fault are handed on, so that it comes in the middle of a message; the rest is what is left."""
        assert self._left is not None
        if len(data) <= self._left:
            self._left -= len(data)
            return data
        head, rest = data[: self._left], data[self._left :]
        writer.write(head)
        with contextlib.suppress(OSError):
            await writer.drain()
        self._strike()
        return rest

    async def _trickle(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        for start in range(0, len(data), TRICKLE_BYTES):
            writer.write(data[start : start + TRICKLE_BYTES])
            await writer.drain()
            if self.struck:
                await asyncio.sleep(TRICKLE_SECONDS)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection by RST, without what was still to be sent."""
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def before(host: str, port: int) -> Iterator[Proxy]:
    """A proxy before a server."""
    proxy = Proxy(host, port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
