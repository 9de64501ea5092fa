"""A file's uncompressed bytes, by offset: plain files in any order, compressed ones as a stream that only goes forward."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Protocol

from dsync.codec import compression

# What is read of a compressed file at once.
READ_BYTES = 128 << 10


class Content(Protocol):
    """Bytes of one file."""

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on; fewer than `size` only at the end of the file. Raises DataError, OSError."""

    def distance(self, offset: int) -> int:
        """How many bytes have to be gone through, at least, before those at `offset` are there."""

    def close(self) -> None:
        """Lets go of what is held."""


class Plain:
    """The bytes of an open file as they are; the descriptor stays its opener's."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on."""
        data = os.pread(self._descriptor, size, offset)
        if 0 < len(data) < size:
            pieces = [data]
            done = len(data)
            while done < size and (piece := os.pread(self._descriptor, size - done, offset + done)):
                pieces.append(piece)
                done += len(piece)
            data = b"".join(pieces)
        return data

    def distance(self, offset: int) -> int:
        """Every place is near."""
        return 0

    def close(self) -> None:
        """Nothing is held."""


class Stream:
    """The bytes of an open compressed file; reading before the last offset starts again from the first byte.

    Holds a descriptor of its own, until it is closed.
    """

    def __init__(self, descriptor: int, kind: str, name: str) -> None:
        self._file = io.FileIO(os.dup(descriptor))
        self._kind = kind
        self._name = name
        self._rewind()

    def close(self) -> None:
        """Lets go of the descriptor."""
        self._file.close()

    def _rewind(self) -> None:
        self._buffer = bytearray()
        self._offset = 0
        self._pieces = self._decompressed()

    def _decompressed(self) -> Iterator[bytes]:
        decompressor = compression.decompressor(self._kind, self._name)
        at = 0
        while data := os.pread(self._file.fileno(), READ_BYTES, at):
            at += len(data)
            yield from decompressor.decompress(data)
        decompressor.finish()

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on."""
        if offset < self._offset:
            self._rewind()
        self._skip_to(offset)
        while len(self._buffer) < size and (piece := next(self._pieces, b"")):
            self._buffer += piece
        return bytes(self._buffer[:size])

    def distance(self, offset: int) -> int:
        """How many bytes have to be decompressed, at least."""
        return offset - self._offset if offset >= self._offset else offset

    def _skip_to(self, offset: int) -> None:
        while (ahead := offset - self._offset) > 0:
            if not self._buffer:
                piece = next(self._pieces, b"")
                if not piece:
                    return
                self._buffer += piece
            step = min(ahead, len(self._buffer))
            del self._buffer[:step]
            self._offset += step
