"""Messages over a socket pair: a number that the answer repeats, a length, the bytes."""

from __future__ import annotations

import asyncio
import socket
import struct

HEAD = struct.Struct("<II")
# The number of the first frame each way: the assignment, and the worker's word that it is ready (nothing) or not (a Failure).
# Later ones of this number are grants, and with nothing in them the word to hand over.
GREETING = 0
HAND_OVER = HEAD.pack(GREETING, 0)


async def open_frames(end: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Reader and writer of one end of a pair."""
    end.setblocking(False)  # asyncio.open_connection hangs on a blocking socket
    return await asyncio.open_connection(sock=end, limit=1 << 20)


def pack(number: int, body: bytes) -> bytes:
    """A frame."""
    return HEAD.pack(number, len(body)) + body


async def receive(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame; asyncio.IncompleteReadError at the end."""
    number, size = HEAD.unpack(await reader.readexactly(HEAD.size))
    return number, await reader.readexactly(size)
