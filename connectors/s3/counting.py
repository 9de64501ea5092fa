"""Which line or element a range of a large object starts with: known only by reading what comes before."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict

from connectors.s3.bucket import Bucket, Entry
from connectors.s3.cursors import Part, Place, Range
from connectors.s3.plan import PAGE_BYTES
from connectors.s3.reading import BLOCK_BYTES, Reader
from dsync.codec.jsontext import Position


class Counter:
    """Counts the records before cuts; every byte of an object is read at most once if cuts are asked for in order."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        # By key and ETag: cuts and the records before them, sorted.
        self._known: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(lambda: [(0, 0)])
        self._turns: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def known(self, part: Part) -> int | None:
        """Records before a partition's range, if that is known without reading."""
        if part.range is None or _is_first(part.range.position):
            return 0
        entry = part.entries[0]
        return dict(self._known[entry.key, entry.etag]).get(part.range.position.offset)

    async def count(self, part: Part) -> int:
        """Records before a partition's range. Raises TextError, CursorError or TransientError as reading does."""
        counted = self.known(part)
        if part.range is None or counted is not None:
            return counted or 0
        entry, end = part.entries[0], part.range.position.offset
        async with self._turns[entry.key, entry.etag]:
            known = self._known[entry.key, entry.etag]
            at = bisect_right(known, (end, 1 << 62))
            start, before = known[at - 1]
            if start == end:
                return before
            lines = part.range.position.form == "lines"
            count = before + await (self._lines(entry, start, end) if lines else self._elements(part, start, end))
            known.insert(at, (end, count))
            return count

    async def _lines(self, entry: Entry, start: int, end: int) -> int:
        count = 0
        for at in range(start, end, BLOCK_BYTES):
            count += (await self._bucket.get(entry, at, min(at + BLOCK_BYTES, end))).count(b"\n")
        return count

    async def _elements(self, part: Part, start: int, end: int) -> int:
        position = Position("array", start)
        before = Part(part.namespace, part.entries, PAGE_BYTES, Range(position, end, True))
        reader = Reader(self._bucket, before, Place(0, position if start else None))
        count = 0
        try:
            while reader.place is not None:
                count += sum(len(piece.texts) for piece in await reader.page())
                await asyncio.sleep(0)
        finally:
            reader.close()
        return count


def _is_first(position: Position) -> bool:
    """Whether a range starts where the text does: at a bracket, or before any cut, after a byte-order mark at most."""
    return position.expect == "open" or position.offset <= 3
