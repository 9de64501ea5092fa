"""Gives the pages of partitions, in the type that is asked for; readers wait for the page that follows."""

from __future__ import annotations

import time

from connectors.s3 import cursors
from connectors.s3.bucket import Bucket
from connectors.s3.counting import Counter
from connectors.s3.cursors import Part
from connectors.s3.reading import Piece, Reader
from dsync import codec, wire
from dsync.codec.jsontext import TextError
from dsync.errors import DataError

# As many partitions as are read side by side at the most.
WAITING_READERS = 32
# What waits longer has most likely been taken over by another process.
WAITING_SECONDS = 20.0


class Pages:
    """Readers are only a cache: any page can be had from its cursor alone."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._settings = bucket.settings
        self._counter = Counter(bucket)
        self._parts: dict[tuple[str, bytes], Part] = {}
        # By the cursors of partition and page, the oldest first: readers that stand just there, and since when.
        self._waiting: dict[tuple[bytes, bytes], tuple[Reader, float]] = {}

    def close(self) -> None:
        """Gives up what is under way."""
        for reader, _ in self._waiting.values():
            reader.close()
        self._waiting.clear()

    async def page(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """The page at a cursor. Raises CursorError, DataError with the place, TransientError."""
        cursor = request.partition.cursor
        part = self._part(request.partition.namespace, cursor)
        place = cursors.read_place(request.cursor, part)
        reader, _ = self._waiting.pop((cursor, request.cursor), (None, 0.0))
        reader = reader or Reader(self._bucket, part, place)
        try:
            pieces = await self._read(reader, part)
            data = [record for piece in pieces for record in await self._converted(piece, part, request.type)]
        except BaseException:
            reader.close()
            raise
        if reader.place is None:
            return wire.ListDataResponse(data=data)
        following = cursors.write_place(reader.place, part)
        self._keep((cursor, following), reader)
        return wire.ListDataResponse(data=data, next_cursor=following)

    def _part(self, namespace: str, cursor: bytes) -> Part:
        """The partition of a cursor, read once for all its pages."""
        part = self._parts.get((namespace, cursor))
        if part is None:
            while len(self._parts) >= WAITING_READERS:
                del self._parts[next(iter(self._parts))]
            part = self._parts[namespace, cursor] = cursors.read_part(cursor, self._settings, namespace)
        return part

    def _keep(self, place: tuple[bytes, bytes], reader: Reader) -> None:
        now = time.monotonic()
        self._waiting[place] = reader, now
        for key, (waiting, since) in list(self._waiting.items()):
            if len(self._waiting) <= WAITING_READERS and now - since <= WAITING_SECONDS:
                break
            waiting.close()
            del self._waiting[key]

    async def _read(self, reader: Reader, part: Part) -> list[Piece]:
        try:
            return await reader.page()
        except TextError as error:
            raise self._refusal(error, reader, part) from error

    def _refusal(self, error: TextError, reader: Reader, part: Part) -> DataError:
        before = self._counter.known(part)
        number = "" if before is None else f"{error.unit} {before + error.number}, "
        is_guess = part.range is not None and part.range.position.form == "array"
        return DataError(
            f"{self._settings.shown(reader.entry.key)!r}, {number}offset {error.offset}: {error.reason}",
            remedy="if it is valid JSON, read it with --partition-size 0" if is_guess else "",
        )

    async def _converted(self, piece: Piece, part: Part, data_type: wire.Type) -> list[bytes]:
        if data_type == wire.EXTENDED_JSON:
            return list(piece.texts)
        try:
            return self._convert(piece, part, data_type, self._counter.known(part))
        except _UnknownNumber:
            return self._convert(piece, part, data_type, await self._counter.count(part))

    def _convert(self, piece: Piece, part: Part, data_type: wire.Type, before: int | None) -> list[bytes]:
        """The records, where `before` others come before the partition's range; None: not known, and seldom needed."""

        def make_id(index: int) -> str:
            if before is None:
                raise _UnknownNumber
            return f"{part.namespace}/{piece.entry.name}:{before + piece.numbers[index]}"

        try:
            return codec.convert(piece.texts, wire.EXTENDED_JSON, data_type, make_id)
        except codec.RecordError as error:
            if before is None:
                raise _UnknownNumber from error
            unit = "line" if piece.position.form == "lines" else "element"
            place = f"{unit} {before + piece.numbers[error.index]}"
            raise DataError(f"{self._settings.shown(piece.entry.key)!r}, {place}: {error.reason}") from error


class _UnknownNumber(Exception):
    """A record's number is needed, for its id or its place, and is not known yet."""
