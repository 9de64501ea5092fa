"""Reads both sides of a pair of namespaces at the same pace and lets equal documents cancel."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from msgspec import Struct

from dsync import codec, wire
from dsync.cancel import together
from dsync.codec import raw
from dsync.codec.lines import Lines
from dsync.connector import Connector
from dsync.errors import DataError
from dsync.flow.digest import Digester, Form
from dsync.flow.verify_abreast import Feed, abreast
from dsync.flow.verify_scope import Pair
from dsync.flow.verify_spill import Spill, pack
from dsync.flow.verify_window import DESTINATION, SIDES, SOURCE, Window
from dsync.progress import Tracker
from dsync.wire.local import LocalPage

# One side reads no further ahead of the other than this, in bytes, so that equal documents meet in memory.
LEAD_BYTES = 8 << 20
# How most documents begin: this spares a third of the time that finding their ids takes.
OBJECT_ID_FIRST = b"\7_id\0"
# GetByIds asks for so many documents at the most.
IDS_PER_REQUEST = 1000

# A partition of the source, and one of the destination that holds the same range.
Partitions = tuple[wire.Partition, wire.Partition]


class Side(Struct, frozen=True):
    """An end as verification reads it: the type it is asked for, whether it finds documents by id, and gives lines."""

    index: int
    connector: Connector
    type: wire.Type
    by_ids: bool
    lines: bool = False

    @property
    def name(self) -> str:
        """For messages."""
        return ("source", "destination")[self.index]


class Reading:
    """What a document is compared by. `part` of `parts` (from 1) are the ids that this run covers."""

    def __init__(self, form: Form, key: bytes, *, common: wire.Type | None, part: int = 1, parts: int = 1) -> None:
        self.form = form
        # The type in which equal bytes are equal documents; None: only BSON, made as the documents come.
        self.common = None if parts > 1 else common
        self._text_on_both = common == wire.EXTENDED_JSON
        self._digester = Digester(key)
        self._part, self._parts = part - 1, parts
        # Stands for the id of a document without one; nobody can guess it.
        self._marker = f"no id {key.hex()}"
        self._marked = struct.pack("<i", len(self._marker) + 1) + self._marker.encode() + b"\0"

    def to_bson(self, side: Side, namespace: str, documents: Sequence[bytes]) -> Sequence[bytes]:
        """The documents of a side as BSON. Raises DataError for those that cannot be read."""
        if side.type == wire.BSON:
            return documents
        make_id = (lambda _: self._marker) if self._text_on_both else None
        try:
            return codec.convert(documents, side.type, wire.BSON, make_id)
        except codec.RecordError as error:
            raise DataError(f"a document of {namespace!r} at the {side.name} cannot be read: {error.reason}") from error

    def covered(self, documents: Sequence[bytes]) -> Sequence[bytes]:
        """Those BSON documents that belong to this run's part."""
        if self._parts == 1:
            return documents
        return [each for each in documents if zlib.crc32(self._identity(each)[0]) % self._parts == self._part]

    def records(self, pair: int, documents: Iterable[bytes]) -> Iterator[bytes]:
        """A packed record for each BSON document."""
        for document in documents:
            identity, kind, value = self._identity(document)
            digest = self._digester.of(self.form.of(document))
            yield pack(self.key(pair, identity), digest, len(document), pair, kind, value)

    def keys(self, pair: int, documents: Iterable[bytes]) -> Iterator[bytes]:
        """The key of each BSON document's record."""
        return (self.key(pair, self._identity(document)[0]) for document in documents)

    def key(self, pair: int, identity: bytes) -> bytes:
        """The same for what counts as one id within a pair."""
        return self._digester.of(struct.pack("<I", pair) + identity)

    def _identity(self, document: bytes) -> tuple[bytes, int, bytes]:
        """What identifies a document, and its id as type and value; one without an id is identified by what is compared of it."""
        if document[4:9] == OBJECT_ID_FIRST and not self.form.as_text:
            value = document[9:21]
            return b"\7" + value, raw.OBJECT_ID, value
        kind, value = raw.id_of(document)
        if self._text_on_both and value == self._marked and kind == raw.STRING:
            return b"\0" + self.form.of(document), 0, b""
        return self.form.identity(kind, value), kind, value


class Pace:
    """Keeps two sides from running away from each other."""

    def __init__(self) -> None:
        self._read = [0, 0]
        self._ended = [False, False]
        self._changed = asyncio.Event()

    async def turn(self, side: int) -> None:
        """Returns when the side may read on."""
        while not self._ended[1 - side] and self._read[side] - self._read[1 - side] > LEAD_BYTES:
            self._changed.clear()
            await self._changed.wait()

    def read(self, side: int, size: int) -> None:
        """A page was read."""
        self._read[side] += size
        self._changed.set()

    def end(self, side: int) -> None:
        """The side is at its end."""
        self._ended[side] = True
        self._changed.set()


class PairListing:
    """The listing of one pair; what finds no partner is in `spill` afterwards, and `counts` are documents by side."""

    def __init__(
        self, pair: Pair, sides: Sequence[Side], reading: Reading, spill: Spill, budget: int, tracker: Tracker
    ) -> None:
        self.pair = pair
        self.sides = sides
        self.reading = reading
        self.spill = spill
        self.tracker = tracker
        self.progress = tracker.namespaces[pair.destination]
        self.counts = [0, 0]
        self.window = Window(self._spill, budget)
        self._pace = Pace()

    async def run(self, readers: int) -> None:
        """Reads everything, with so many partitions of a side at a time."""
        alike = await self._cut_alike()
        if alike:
            self.progress.partitions = 2 * len(alike)
            todo = iter(alike)
            await together([self._read_abreast(todo) for _ in range(min(readers, len(alike)))])
        else:
            parts = self.pair.source_parts, self.pair.destination_parts
            await together([self._read_side(self.sides[side], parts[side], readers) for side in SIDES])
        self.window.flush()

    async def _cut_alike(self) -> list[Partitions]:
        """All partitions, source and destination of each range; empty where these ends cannot be read that way.

        The side with fewer partitions is cut as the other one.
        """
        parts = [self.pair.source_parts, self.pair.destination_parts]
        if self.reading.common is None or not all(parts):
            return []
        fewer = min(SIDES, key=lambda side: len(parts[side]))
        parts[fewer] = await self.sides[fewer].connector.cut_alike(parts[fewer], parts[1 - fewer])
        return list(zip(*parts, strict=True)) if parts[fewer] else []

    async def _read_abreast(self, todo: Iterator[Partitions]) -> None:
        for parts in todo:
            ours, theirs = (Feed(self._counted_pages(side, parts[side.index])) for side in self.sides)
            await abreast((ours, theirs), self.window.add)
            self.progress.partitions_done += len(parts)

    async def _counted_pages(self, side: Side, part: wire.Partition) -> AsyncIterator[list[bytes]]:
        async for page in pages(side, part):
            self._progress(page)
            self.counts[side.index] += len(page)
            yield page

    async def run_by_ids(self, readers: int) -> None:
        """Reads the source, and from the destination only the documents of the same ids: nothing extra is found."""
        self._pace.end(DESTINATION)
        await self._read_side(self.sides[SOURCE], self.pair.source_parts, readers, look_up=True)
        self.window.flush()

    async def _read_side(
        self, side: Side, parts: Sequence[wire.Partition], readers: int, *, look_up: bool = False
    ) -> None:
        todo = iter(parts)
        await together([self._read_parts(side, todo, look_up) for _ in range(min(readers, len(parts)))])
        self._pace.end(side.index)

    async def _read_parts(self, side: Side, todo: Iterator[wire.Partition], look_up: bool) -> None:
        for part in todo:
            async for page in pages(side, part, self._pace):
                documents = self._take(side, part.namespace, page)
                if look_up:
                    await self._look_up(self.reading.to_bson(side, part.namespace, documents))
            self.progress.partitions_done += 1

    def _take(self, side: Side, namespace: str, page: Sequence[bytes]) -> Sequence[bytes]:
        size = self._progress(page)
        if self.reading.common is None:
            page = self.reading.covered(self.reading.to_bson(side, namespace, page))
        self.counts[side.index] += len(page)
        self.window.add(side.index, page)
        self._pace.read(side.index, size)
        return page

    def _progress(self, page: Sequence[bytes]) -> int:
        """Tells that a page was read; its bytes."""
        size = sum(map(len, page))
        self.progress.documents += len(page)
        self.progress.bytes += size
        self.tracker.run_documents += len(page)
        return size

    async def _look_up(self, documents: Sequence[bytes]) -> None:
        for at in range(0, len(documents), IDS_PER_REQUEST):
            ids = [raw.id_of(document) for document in documents[at : at + IDS_PER_REQUEST]]
            found = await by_ids(self.sides[DESTINATION], self.pair.listed or self.pair.destination, ids)
            self._take(self.sides[DESTINATION], self.pair.destination, [each for each in found if each])

    def _spill(self, side: int, documents: Iterable[bytes]) -> None:
        every = list(documents)
        if self.reading.common is not None:
            every = list(self.reading.to_bson(self.sides[side], self.pair.destination, every))
        self.spill.add(side, self.reading.records(self.pair.number, every))


async def pages(side: Side, part: wire.Partition, pace: Pace | None = None) -> AsyncIterator[list[bytes]]:
    """The pages of a partition."""
    cursor = b""
    while True:
        if pace:
            await pace.turn(side.index)
        request = wire.ListDataRequest(partition=part, type=side.type, cursor=cursor, lines=side.lines)
        answer = await side.connector.ListData(request)
        yield _documents(answer)
        cursor = answer.next_cursor
        # ends that never suspend must not hold the loop
        await asyncio.sleep(0)
        if not cursor:
            return


def _documents(answer: wire.ListDataResponse | LocalPage) -> list[bytes]:
    if answer.lines_count:
        return Lines(answer.lines, answer.lines_count)[:]
    return list(answer.data)  # once: each look at a message copies the documents


async def by_ids(side: Side, namespace: str, ids: Sequence[tuple[int, bytes]]) -> Sequence[bytes]:
    """The documents of these ids, as the side gives them; empty where there is none."""
    wanted = [
        wire.GetByIdsRequest.IdRequest(id=[wire.BsonValue(type=kind, data=value, name="_id")]) for kind, value in ids
    ]
    answer = await side.connector.GetByIds(wire.GetByIdsRequest(namespace=namespace, ids=wanted, type=side.type))
    if len(answer.data) != len(ids):
        raise DataError(f"the {side.name} answered {len(answer.data)} documents to {len(ids)} ids of {namespace!r}")
    return [item.data for item in answer.data]
