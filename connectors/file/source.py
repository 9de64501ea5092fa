"""The file connector as a source: a plan of partitions, and their pages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import cast

from msgspec.structs import replace

from connectors.file import kinds, opening, tree
from connectors.file.content import Plain
from connectors.file.cursors import (
    NOT_COUNTED,
    Identity,
    Mark,
    Part,
    Place,
    read_part,
    read_place,
    write_part,
    write_place,
)
from connectors.file.format import Chunk, Format, data_type_of, unit_of
from connectors.file.identity import with_ids
from connectors.file.kept import Kept
from connectors.file.numbering import Numbering
from connectors.file.reader import Reader, TextReader
from connectors.file.settings import Settings
from dsync import codec, wire
from dsync.codec.lines import Lines
from dsync.errors import CursorError, DataError, NotFoundError, UsageError
from dsync.wire.local import LocalPage

# Caches; cursors do without: chunks that have further pages, headers, and streams with their decompressors.
KEPT_CHUNKS = 32
KEPT_FORMATS = 64
KEPT_STREAMS = 32
# How many names an error lists.
SHOWN = 5


class FileSource:
    """Reads what the settings name; many pages may be asked for at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chunks: Kept[tuple[Part, Place], tuple[Chunk, bool]] = Kept(KEPT_CHUNKS)
        self._formats: Kept[tuple[str, Identity], Format] = Kept(KEPT_FORMATS)
        self._streams: Kept[tuple[Part, int], Reader] = Kept(KEPT_STREAMS)
        self._numbering = Numbering(settings)

    def close(self) -> None:
        """Lets go of what is open."""
        for stream in self._streams.drain():
            stream.close()

    async def plan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Partitions of the selected files, by path. Raises NotFoundError for a name that selects none."""
        settings = self._settings
        listing = await asyncio.to_thread(tree.list_files, settings)
        listing.entries = _selected(listing.entries, request.namespaces, settings.typed)
        response = wire.GeneratePlanResponse(warnings=listing.warnings())
        for entry in tree.readable(listing, settings) if request.initial_sync else ():
            planned = await asyncio.to_thread(opening.plan_file, settings, entry, settings.name_of(entry.path))
            response.warnings.extend(planned.warnings)
            for part, documents in planned.parts:
                response.partitions.add(
                    namespace=entry.namespace,
                    cursor=write_part(part),
                    estimated_count=documents,
                    estimated_bytes=_bytes(part, entry.kind),
                )
        return response

    async def page(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page of a partition."""
        if request.type not in (wire.EXTENDED_JSON, wire.BSON, wire.JSON_ID):
            raise UsageError(f"files cannot be read as data type {request.type}")
        part = read_part(request.partition.cursor, request.partition.namespace)
        place = read_place(request.cursor, part)
        chunk, ended = await self._chunk(part, place)
        if place.skip > len(chunk.documents):
            raise CursorError("the page's cursor belongs to another partition")
        until = min(place.skip + part.page_documents, len(chunk.documents))
        cursor = b""
        if until < len(chunk.documents):
            following = Place(place.mark, until)
            self._chunks.keep((part, following), (chunk, ended))
            cursor = write_place(following)
        elif not ended:
            cursor = write_place(Place(chunk.next))
        within = slice(place.skip, until)
        if request.lines and request.type == wire.EXTENDED_JSON and isinstance(chunk.documents, Lines):
            lines = chunk.documents.part(within)
            return cast("wire.ListDataResponse", LocalPage((), 0, cursor, lines.text, len(lines)))
        if (
            request.type != wire.EXTENDED_JSON
        ):  # errors say where a document is, and those without an id get one of their place
            chunk = await self._counted(part, chunk)
        documents = self._converted(request, part, chunk, within)
        if request.lines:
            return cast("wire.ListDataResponse", LocalPage(documents, sum(map(len, documents)), cursor))
        return wire.ListDataResponse(data=documents, next_cursor=cursor)

    async def _counted(self, part: Part, chunk: Chunk) -> Chunk:
        """The chunk with numbers that count from the file's start."""
        if part.start.number != NOT_COUNTED:
            return chunk
        line = await self._numbering.line(part)
        numbers = chunk.numbers
        moved = (
            range(numbers.start + line, numbers.stop + line)
            if isinstance(numbers, range)
            else [n + line for n in numbers]
        )
        return replace(chunk, numbers=moved)

    async def _chunk(self, part: Part, place: Place) -> tuple[Chunk, bool]:
        name = self._settings.name_of(part.path)
        kind = kinds.of_text(part.kind)
        if kind is None:
            raise CursorError("the partition's cursor is damaged")
        with tree.opened(self._settings.path, part.path) as descriptor:
            if tree.identity(descriptor) != part.identity:
                raise CursorError(f"{name!r} has changed since it was planned", remedy="copy it again with --restart")
            kept = self._chunks.take((part, place))
            if kept:
                return kept
            if kind.format == kinds.PARQUET or kind.compression != "none":
                return await self._next_of_stream(part, kind, place.mark, descriptor, name)
            return await self._next_of_plain(part, kind, place.mark, Plain(descriptor), name)

    async def _next_of_plain(
        self, part: Part, kind: kinds.Kind, at: Mark, content: Plain, name: str
    ) -> tuple[Chunk, bool]:
        key = (part.path, part.identity)
        data_format = self._formats.take(key) or opening.make_format(self._settings, kind, content, name)
        self._formats.keep(key, data_format)
        reader = TextReader(data_format, content, kind.format, name)
        try:
            return reader.chunk(at, part)
        except DataError as error:
            # What a partition trips over depends on the cuts; what is said must not.
            first = await asyncio.to_thread(opening.first_fault, data_format, reader, content, part)
            if first is None and part.start.number == NOT_COUNTED:
                line = await self._numbering.line(part)
                reader.chunk(at._replace(number=at.number + line), part)  # the same once more, with its line
            raise first or error from None

    async def _next_of_stream(
        self, part: Part, kind: kinds.Kind, at: Mark, descriptor: int, name: str
    ) -> tuple[Chunk, bool]:
        stream = self._streams.take((part, at.offset))
        if stream is None:
            stream = await asyncio.to_thread(opening.make_stream_reader, self._settings, kind, descriptor, name)
        try:
            far = stream.is_far(at)
            chunk, ended = await asyncio.to_thread(stream.chunk, at, part) if far else stream.chunk(at, part)
        except BaseException:
            stream.close()
            raise
        superseded = stream if ended else self._streams.keep((part, chunk.next.offset), stream)
        if superseded:
            superseded.close()
        return chunk, ended

    def _converted(self, request: wire.ListDataRequest, part: Part, chunk: Chunk, within: slice) -> list[bytes]:
        documents, numbers = chunk.documents[within], chunk.numbers[within]
        native = data_type_of(part.kind.split(" ")[0])
        namespace = request.partition.namespace

        def made(index: int) -> str:
            return f"{namespace}:{numbers[index]}"

        if native == wire.BSON and request.type != wire.EXTENDED_JSON:
            documents = with_ids(documents, made)
        try:
            return codec.convert(documents, native, request.type, made)
        except codec.RecordError as error:
            unit = unit_of(part.kind.split(" ")[0], part.start)
            place = f"{self._settings.name_of(part.path)!r} {unit} {numbers[error.index]}"
            raise DataError(f"{place}: {error.reason}") from error


def _bytes(part: Part, kind: kinds.Kind) -> int:
    """Of a partition's documents; 0 where only reading tells."""
    plain = kind.compression == "none" and kind.format != kinds.PARQUET
    return part.end.offset - part.start.offset if plain and part.end else 0


def _selected(entries: Sequence[tree.Entry], names: Iterable[str], root: str) -> list[tree.Entry]:
    """The entries of these names and of all below them; all where there are no names. Raises NotFoundError."""
    chosen: set[str] = set()
    for name in names:
        found = {each.namespace for each in entries if each.namespace == name or each.namespace.startswith(f"{name}.")}
        if not found:
            have = ", ".join(repr(entry.namespace) for entry in entries[:SHOWN])
            raise NotFoundError(
                f"{root!r} has no namespace {name!r}", remedy=f"it has {have}{' ...' * (len(entries) > SHOWN)}"
            )
        chosen |= found
    return [entry for entry in entries if entry.namespace in chosen] if chosen else list(entries)
