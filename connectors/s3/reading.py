"""Reads a partition page by page: blocks of bytes ahead of need, decompressed, split into records."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from msgspec import Struct

from connectors.s3 import names
from connectors.s3.bucket import Bucket, Entry
from connectors.s3.cursors import Part, Place
from dsync.codec import compression, jsontext
from dsync.codec.jsontext import Position, Rest

# One request; small enough that many partitions fit into memory.
BLOCK_BYTES = 4 << 20

# What is asked for before it is needed: one block, or several small objects.
AHEAD_BYTES = 4 << 20
AHEAD_BLOCKS = 8


class Piece(Struct, frozen=True):
    """Records of one object, and the lines or elements where they start, as counted from the partition's start."""

    entry: Entry
    position: Position
    texts: Sequence[bytes]
    numbers: Sequence[int]


class Reader:
    """Reads from a place on; `place` is where the next page begins, None after the last one.

    It holds a few megabytes and requests that are under way: `close` it. What it gives follows from the place alone.
    """

    def __init__(self, bucket: Bucket, part: Part, place: Place) -> None:
        self.place: Place | None = place if part.entries else None
        self._bucket = bucket
        self._part = part
        self._blocks = _Blocks(bucket, _spans(part, place))
        self._text: _Text | None = None

    @property
    def entry(self) -> Entry:
        """The object that is being read."""
        return self._part.entries[self.place.index if self.place else -1]

    async def page(self) -> list[Piece]:
        """The next records, about as many bytes as a page should have; none where objects are empty."""
        pieces: list[Piece] = []
        size = 0
        # A chunk of a page's size gives a little less, and that is a page.
        while self.place is not None and 2 * size < self._part.page_bytes:
            piece = await self._piece(self.place)
            if piece.texts:
                pieces.append(piece)
                size += sum(map(len, piece.texts))
        return pieces

    def close(self) -> None:
        """Gives up what was asked for ahead."""
        self._blocks.close()

    async def _piece(self, place: Place) -> Piece:
        entry = self.entry
        text = self._text or await self._open(place)
        at = place.position or await self._start(text)
        size = self._part.page_bytes
        while True:
            chunk, is_all = await text.peek(size)
            rest = self._rest() if is_all else Rest.MORE
            page = jsontext.split(chunk, at, rest)
            if page.next.offset > at.offset or is_all:
                break
            size *= 2
        if is_all:
            text.finish()
            self._text = None
            following = place.index + 1
            self.place = Place(following) if following < len(self._part.entries) else None
        else:
            text.skip(page.next.offset - at.offset)
            self.place = Place(place.index, page.next, text.packing)
        return Piece(entry, at, page.texts, page.numbers)

    def _rest(self) -> Rest:
        return Rest.CUT if self._part.range and self._part.range.is_cut else Rest.END

    async def _open(self, place: Place) -> _Text:
        offset = place.position.offset if place.position else 0
        named = names.compression_of(self.entry.name) or compression.NONE
        packing = place.packing if place.packing != compression.NONE else named
        self._text = _Text(self._blocks, place.index, packing, self._bucket.settings.shown(self.entry.key))
        if packing == compression.NONE and offset:
            return self._text  # the blocks begin there
        await self._text.forward(offset)
        return self._text

    async def _start(self, text: _Text) -> Position:
        size = self._part.page_bytes
        while True:
            chunk, is_all = await text.peek(size)
            at = jsontext.start(chunk, Rest.END if is_all else Rest.MORE)
            if at is not None:
                text.skip(at.offset)
                return at
            size *= 2


class _Text:
    """The text of an object, as far as it has been asked for. At its start, content tells a compression that no name does."""

    def __init__(self, blocks: _Blocks, index: int, packing: str, name: str) -> None:
        self.packing = packing
        self._name = name
        self._blocks = blocks
        self._index = index
        self._decompressor = compression.decompressor(packing, name)
        self._pieces: Iterator[bytes] = iter(())
        self._buffer = b""
        self._done = 0
        self._is_first, self._is_over = True, False

    async def peek(self, size: int) -> tuple[bytes, bool]:
        """The next bytes, at most `size`, and whether they are all that is left."""
        missing = size + 1 - (len(self._buffer) - self._done)
        if missing > 0 and not self._is_over:
            gathered = [self._buffer[self._done :]]
            while missing > 0 and (piece := await self._next()):
                gathered.append(piece)
                missing -= len(piece)
            self._buffer, self._done = b"".join(gathered), 0
        return self._buffer[self._done : self._done + size], len(self._buffer) - self._done <= size

    def skip(self, size: int) -> None:
        """Goes on by what was peeked at."""
        self._done += size

    async def forward(self, size: int) -> None:
        """Goes on by any number of bytes."""
        while size > 0:
            chunk, is_all = await self.peek(min(size, BLOCK_BYTES))
            self.skip(len(chunk))
            size -= len(chunk)
            if is_all:
                return
            await asyncio.sleep(0)

    def finish(self) -> None:
        """Raises DataError where a compressed object ends too early."""
        self._decompressor.finish()

    async def _next(self) -> bytes:
        while True:
            for piece in self._pieces:
                if piece:
                    return piece
            block = await self._blocks.next(self._index)
            if not block:
                self._is_over = True
                return b""
            if self._is_first and self.packing == compression.NONE:
                self.packing = compression.of_content(block)
                self._decompressor = compression.decompressor(self.packing, self._name)
            self._is_first = False
            self._pieces = iter((block,)) if self.packing == compression.NONE else self._decompressor.decompress(block)


class _Span(Struct, frozen=True):
    """Bytes of one of a partition's objects."""

    index: int
    entry: Entry
    start: int
    end: int


def _spans(part: Part, place: Place) -> Iterator[_Span]:
    """The blocks that a reader needs, in order: compressed objects from their start, whatever the place."""
    for index in range(place.index, len(part.entries)):
        entry = part.entries[index]
        start, end = 0, part.range.end if part.range else entry.size
        packed = place.packing != compression.NONE or names.compression_of(entry.name) not in (None, compression.NONE)
        if index == place.index and place.position and not packed:
            start = place.position.offset
        for at in range(start, end, BLOCK_BYTES):
            yield _Span(index, entry, at, min(at + BLOCK_BYTES, end))


class _Blocks:
    """Fetches spans in order, the next ones before they are needed."""

    def __init__(self, bucket: Bucket, spans: Iterator[_Span]) -> None:
        self._bucket = bucket
        self._spans = spans
        self._ahead: deque[tuple[_Span, asyncio.Task[bytes]]] = deque()
        self._ahead_bytes = 0

    async def next(self, index: int) -> bytes:
        """The next block of one object; empty where it has no more."""
        self._refill()
        if not self._ahead or self._ahead[0][0].index != index:
            return b""
        span, task = self._ahead.popleft()
        self._ahead_bytes -= span.end - span.start
        self._refill()
        return await task

    def close(self) -> None:
        """Cancels what is under way."""
        for _, task in self._ahead:
            task.cancel()
        self._ahead.clear()

    def _refill(self) -> None:
        while not self._ahead or (self._ahead_bytes < AHEAD_BYTES and len(self._ahead) < AHEAD_BLOCKS):
            span = next(self._spans, None)
            if span is None:
                return
            task = asyncio.create_task(self._bucket.get(span.entry, span.start, span.end))
            task.add_done_callback(_look)
            self._ahead.append((span, task))
            self._ahead_bytes += span.end - span.start


def _look(task: asyncio.Task[bytes]) -> None:
    """Takes note of a failure, so that nobody misses it where the block is never needed."""
    if not task.cancelled():
        task.exception()
