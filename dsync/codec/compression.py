"""gzip and zstd as streams: what is compressed piece by piece is one valid file, what is decompressed stays bounded."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Protocol

import zstandard

from dsync.errors import DataError

NONE, GZIP, ZSTD = "none", "gzip", "zstd"
NAMES = (NONE, GZIP, ZSTD)
EXTENSIONS = {NONE: "", GZIP: ".gz", ZSTD: ".zst"}

# The most that one step of decompression gives: one block of zstd.
PIECE_BYTES = 128 << 10
# What decompression may remember of the past; frames that ask for more come of `zstd --long` alone.
MAX_WINDOW_BYTES = 128 << 20

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Sixteen magic numbers, 0x50 to 0x5F, begin frames that hold no data.
ZSTD_SKIPPABLE = b"\x50\x2a\x4d\x18"


def split_name(name: str) -> tuple[str, str]:
    """A file's or object's name without the extension that tells its compression, and the compression."""
    lower = name.lower()
    for compression, extension in EXTENSIONS.items():
        if extension and lower.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)], compression
    return name, NONE


def of_content(head: bytes) -> str:
    """The compression that a file's first bytes show."""
    if head.startswith(GZIP_MAGIC):
        return GZIP
    return ZSTD if head.startswith(ZSTD_MAGIC) else NONE


def compress(compression: str, data: bytes) -> bytes:
    """The data as one member or frame that stands alone; several, one after another, are one valid file.

    The same data give the same bytes.
    """
    if compression == GZIP:
        return gzip.compress(data, 6, mtime=0)
    if compression == ZSTD:
        return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(data)
    return data


class Decompressor(Protocol):
    """Compressed bytes in, pieces of at most PIECE_BYTES out; any number of members or frames, one after another."""

    def decompress(self, data: bytes) -> Iterator[bytes]:
        """The pieces that these further bytes bring; take them all before the next call. Raises DataError."""

    def finish(self) -> None:
        """Raises DataError where the bytes so far end in the middle, or were none at all."""


def decompressor(compression: str, name: str) -> Decompressor:
    """A decompressor; `name` is the file or object that errors are about."""
    if compression == GZIP:
        return _Gzip(name)
    if compression == ZSTD:
        return _Zstd(name)
    return _Plain()


class _Plain:
    def decompress(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), PIECE_BYTES):
            yield data[at : at + PIECE_BYTES]

    def finish(self) -> None:
        pass


class _Gzip:
    def __init__(self, name: str) -> None:
        self._name = name
        self._members = 0
        self._member: zlib._Decompress | None = None

    def decompress(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member is None:
                # Tapes and block devices pad with zeros, and gzip itself lets them pass.
                data = data.lstrip(b"\0") if self._members else data
                if not data:
                    return
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
                self._members += 1
            data = yield from self._inflate(self._member, data)

    def _inflate(self, member: zlib._Decompress, data: bytes) -> Generator[bytes, None, bytes]:
        while True:
            try:
                piece = member.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                what = (
                    "is not gzip, or damaged" if self._members == 1 else "is damaged, or goes on with what is not gzip"
                )
                raise DataError(f"{self._name} {what}") from error
            if piece:
                yield piece
            if member.eof:
                self._member = None
                return member.unused_data
            data = member.unconsumed_tail
            if not data and len(piece) < PIECE_BYTES:
                return b""

    def finish(self) -> None:
        if self._member is not None or not self._members:
            raise DataError(f"{self._name} ends in the middle of its gzip data", remedy="fetch the file again")


class _Zstd:
    """Walks frames and blocks itself: so no step gives more than a block, and an end in the middle is seen.

    `_step` is what to do with the next `_need` bytes; it gives what they decompress to.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._whole = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        self._frame = self._whole.decompressobj()
        self._pending = b""
        self._frames = 0
        self._step: Callable[[bytes], bytes]
        self._await(4, self._magic)

    def decompress(self, data: bytes) -> Iterator[bytes]:
        buffer, at = self._pending + data, 0
        while len(buffer) - at >= self._need:
            step = buffer[at : at + self._need]
            at += self._need
            piece = self._step(step)
            if piece:
                yield piece
        self._pending = buffer[at:]

    def finish(self) -> None:
        if self._pending or self._step != self._magic or not self._frames:
            raise DataError(f"{self._name} ends in the middle of its zstd data", remedy="fetch the file again")

    def _await(self, need: int, step: Callable[[bytes], bytes]) -> bytes:
        self._need, self._step = need, step
        return b""

    def _decode(self, step: bytes) -> bytes:
        try:
            return self._frame.decompress(step)
        except zstandard.ZstdError as error:
            if "memory" in str(error):
                raise DataError(
                    f"{self._name} needs more memory than {MAX_WINDOW_BYTES >> 20} MiB to decompress",
                    remedy="decompress it with `zstd -d --long=31` and compress it without --long",
                ) from error
            raise self._damaged() from error

    def _damaged(self) -> DataError:
        return DataError(f"{self._name} is not zstd, or damaged")

    def _magic(self, step: bytes) -> bytes:
        if step[1:] == ZSTD_SKIPPABLE[1:] and step[0] & 0xF0 == ZSTD_SKIPPABLE[0]:
            return self._await(4, self._skip_size)
        if step != ZSTD_MAGIC:
            raise self._damaged()
        self._frames += 1
        self._frame = self._whole.decompressobj()
        self._decode(step)
        return self._await(1, self._descriptor)

    def _skip_size(self, step: bytes) -> bytes:
        self._skip_left = int.from_bytes(step, "little")
        return self._await(min(self._skip_left, PIECE_BYTES), self._skip)

    def _skip(self, step: bytes) -> bytes:
        self._skip_left -= len(step)
        if self._skip_left:
            return self._await(min(self._skip_left, PIECE_BYTES), self._skip)
        return self._await(4, self._magic)

    def _descriptor(self, step: bytes) -> bytes:
        flags = step[0]
        self._checksum_follows = bool(flags & 4)
        one_segment = bool(flags & 0x20)
        dictionary_bytes = (0, 1, 2, 4)[flags & 3]
        size_bytes = (int(one_segment), 2, 4, 8)[flags >> 6]
        self._decode(step)
        return self._await(int(not one_segment) + dictionary_bytes + size_bytes, self._header)

    def _header(self, step: bytes) -> bytes:
        self._decode(step)
        return self._await(3, self._block_header)

    def _block_header(self, step: bytes) -> bytes:
        word = int.from_bytes(step, "little")
        self._last, repeats, size = bool(word & 1), word >> 1 & 3 == 1, word >> 3
        if size > PIECE_BYTES:
            raise self._damaged()
        piece = self._decode(step)
        self._await(1 if repeats else size, self._block)
        return piece

    def _block(self, step: bytes) -> bytes:
        piece = self._decode(step)
        if not self._last:
            self._await(3, self._block_header)
        elif self._checksum_follows:
            self._await(4, self._checksum)
        else:
            self._await(4, self._magic)
        return piece

    def _checksum(self, step: bytes) -> bytes:
        piece = self._decode(step)
        self._await(4, self._magic)
        return piece
