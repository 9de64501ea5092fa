"""Cursors of partitions and pages: JSON lists with a version. They come back as untrusted data and are checked as such."""

from __future__ import annotations

import hashlib
import json

from msgspec import Struct
from msgspec.structs import replace

from connectors.s3.bucket import Entry
from connectors.s3.settings import Settings
from dsync.codec import compression
from dsync.codec.jsontext import Position
from dsync.errors import CursorError

VERSION = 2
LONGEST_CURSOR_BYTES = 4 << 20
LONGEST_PAGE_BYTES = 16 << 20

GREATEST = 1 << 62

# Every kind of position that there is.
POSITIONS = (
    Position("lines", 0),
    Position("array", 0, 1, "open"),
    Position("array", 0, 1, "first"),
    Position("array", 0, 1, "value"),
    Position("array", 0, 1, "end"),
)


class Range(Struct, frozen=True):
    """A piece of an uncompressed object, from one record's start to another's, or to the object's end."""

    # Where reading begins; numbers count from there.
    position: Position
    end: int
    # Whether the object's text goes on after `end`.
    is_cut: bool


class Part(Struct, frozen=True):
    """A partition: whole objects, or a range of a single one. A page ends when it has `page_bytes` of text."""

    namespace: str
    entries: tuple[Entry, ...]
    page_bytes: int
    range: Range | None = None
    # Of the cursor that it came in: pages' cursors tell by it where they belong.
    digest: str = ""


class Place(Struct, frozen=True):
    """Where a page begins: in the object of this index, at a position; None: at its start.

    `packing` is the compression that the object was found to have.
    """

    index: int = 0
    position: Position | None = None
    packing: str = compression.NONE


def write_part(part: Part) -> bytes:
    """The cursor of a partition."""
    entries = [[entry.key, entry.size, entry.etag] for entry in part.entries]
    span = part.range and [_plain(part.range.position), part.range.end, part.range.is_cut]
    return _written(["s3", VERSION, part.namespace, entries, part.page_bytes, span])


def read_part(cursor: bytes, settings: Settings, namespace: str) -> Part:
    """The partition of a cursor, which names nothing outside the prefix. Raises CursorError."""
    match _content(cursor, "partition"):
        case ["s3", int(), str(name), [*entries], int(page_bytes), span] if 0 < page_bytes <= LONGEST_PAGE_BYTES:
            digest = hashlib.blake2b(cursor, digest_size=6).hexdigest()
            part = Part(name, tuple(map(_entry, entries)), page_bytes, _range(span), digest)
        case _:
            raise CursorError("this is no cursor of a partition in S3")
    if name != namespace:
        raise CursorError(f"the cursor is of the namespace {name!r}, not {namespace!r}")
    if any(entry.key != settings.prefix and not entry.key.startswith(settings.root) for entry in part.entries):
        raise CursorError(f"the cursor is of another prefix than {settings.shown()!r}")
    if part.range and (len(part.entries) != 1 or part.range.end > part.entries[0].size):
        raise CursorError("the partition's cursor is damaged")
    return part


def write_place(place: Place, part: Part) -> bytes:
    """The cursor of a page of a partition."""
    return _written(["s3", VERSION, part.digest, place.index, place.packing, place.position and _plain(place.position)])


def read_place(cursor: bytes, part: Part) -> Place:
    """The place of a page within its partition; an empty cursor is the start. Raises CursorError."""
    if not cursor:
        return Place(0, part.range.position if part.range else None)
    match _content(cursor, "page"):
        case ["s3", int(), str(digest), int(index), str(packing), at] if packing in compression.NAMES:
            place = Place(index, None if at is None else _position(at), packing)
        case _:
            raise CursorError("this is no cursor of a page in S3")
    if digest != part.digest or not 0 <= index < len(part.entries):
        raise CursorError("the page's cursor belongs to another partition")
    if part.range and (
        place.position is None or not part.range.position.offset <= place.position.offset <= part.range.end
    ):
        raise CursorError("the page's cursor belongs to another partition")
    return place


def _written(content: list[object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _content(cursor: bytes, what: str) -> object:
    try:
        content = json.loads(cursor) if len(cursor) <= LONGEST_CURSOR_BYTES else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, list) and len(content) > 1 and content[0] == "s3" and content[1] != VERSION:
        raise CursorError(f"the {what}'s cursor has another version than {VERSION}", remedy="copy with --restart")
    return content


def _entry(content: object) -> Entry:
    match content:
        case [str(key), int(size), str(etag)] if 0 <= size <= GREATEST:
            return Entry(key, size, etag)
    raise CursorError("the partition's cursor is damaged")


def _range(content: object) -> Range | None:
    match content:
        case None:
            return None
        case [position, int(end), bool(is_cut)]:
            span = Range(_position(position), end, is_cut)
            if span.position.offset < end:
                return span
    raise CursorError("the partition's cursor is damaged")


def _plain(at: Position) -> list[object]:
    return [at.form, at.offset, at.number, at.expect]


def _position(content: object) -> Position:
    match content:
        case [form, int(offset), int(number), expect] if 0 <= offset <= GREATEST and 0 < number <= GREATEST:
            for known in POSITIONS:
                if (known.form, known.expect) == (form, expect):
                    return replace(known, offset=offset, number=number)
    raise CursorError("the cursor is damaged")
