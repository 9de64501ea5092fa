"""Cursors of partitions and pages: JSON lists with a version; read as untrusted data."""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

from msgspec import Struct

from dsync.errors import CursorError

# Of a partition's cursor: since 2 its start may be NOT_COUNTED. Of a page's.
VERSIONS, PAGE_VERSION = (1, 2), 1
LONGEST_CURSOR_BYTES = 64 << 10
GREATEST = 1 << 62
STATES = ("", "lines", "open", "first", "value", "end")
# Partitions that are read side by side: their cursors come with every page.
REMEMBERED_PARTS = 256

_encode = json.JSONEncoder(separators=(",", ":")).encode


# The number of a partition's start, and of the end before it, where nobody has counted the lines before.
NOT_COUNTED = 0


class Mark(NamedTuple):
    """A place between two records: bytes before it (of Parquet: rows), the line, element or document that follows, counted
    from 1 (in a partition whose start is NOT_COUNTED: from 0 at its start), and what the format has to remember besides."""

    offset: int
    number: int = 1
    state: str = ""


class Identity(NamedTuple):
    """Which file it is, and that it has not changed."""

    size: int
    mtime_ns: int
    inode: int


class Part(Struct, frozen=True):
    """A partition of a namespace: a file below the root from `start` to `end`.

    An empty path is the root itself, no end the end of the stream; `page_bytes` and `page_documents` are the rule by which pages
    are cut; `kind` is format and compression.
    """

    namespace: str
    path: str
    kind: str
    identity: Identity
    start: Mark
    end: Mark | None
    page_bytes: int
    page_documents: int


class Place(Struct, frozen=True):
    """Where a page begins: after `skip` documents of the chunk that begins at `mark`."""

    mark: Mark
    skip: int = 0


def write_part(part: Part) -> bytes:
    """The cursor of a partition."""
    end = None if part.end is None else list(part.end)
    content = [list(part.identity), list(part.start), end, [part.page_bytes, part.page_documents]]
    return _write(["file", VERSIONS[-1], part.namespace, part.path, part.kind, *content])


@functools.lru_cache(REMEMBERED_PARTS)
def read_part(cursor: bytes, namespace: str) -> Part:
    """The partition of a cursor, which has to be one of this namespace. Raises CursorError."""
    match _read(cursor):
        case ["file", int(version), *_] if version not in VERSIONS:
            raise CursorError(f"the partition's cursor has version {version}, not {VERSIONS[-1]}", remedy="start again")
        case ["file", int(), str(name), str(path), str(kind), identity, start, end, page]:
            whole = Identity(*_numbers(identity, 3))
            last = None if end is None else _mark(end)
            page_bytes, page_documents = _numbers(page, 2)
            part = Part(name, path, kind, whole, _mark(start), last, page_bytes, page_documents)
            if page_bytes < 1 or page_documents < 1 or (last and last.offset < part.start.offset):
                raise CursorError("the partition's cursor is damaged")
            if part.namespace != namespace:
                raise CursorError(f"the partition's cursor is not of namespace {namespace!r}")
            return part
    raise CursorError("not a partition's cursor of the file connector")


def write_place(place: Place) -> bytes:
    """The cursor of a page."""
    return _write(["page", PAGE_VERSION, list(place.mark), place.skip])


def read_place(cursor: bytes, part: Part) -> Place:
    """The place of a page within its partition; an empty cursor is the partition's start. Raises CursorError."""
    if not cursor:
        return Place(part.start)
    match _read(cursor):
        case ["page", int(version), *_] if version != PAGE_VERSION:
            raise CursorError(f"the page's cursor has version {version}, not {PAGE_VERSION}", remedy="start again")
        case ["page", int(), mark, skip]:
            place = Place(_mark(mark), *_numbers([skip], 1))
            if place.mark.offset < part.start.offset or (part.end and place.mark.offset > part.end.offset):
                raise CursorError("the page's cursor belongs to another partition")
            return place
    raise CursorError("not a page's cursor of the file connector")


def _write(content: list[object]) -> bytes:
    return _encode(content).encode()


def _read(cursor: bytes) -> object:
    try:
        return json.loads(cursor) if len(cursor) <= LONGEST_CURSOR_BYTES else None
    except (ValueError, RecursionError):
        return None


def _numbers(content: object, count: int) -> list[int]:
    if not isinstance(content, list) or len(content) != count:
        raise CursorError("the cursor is damaged")
    if not all(type(item) is int and 0 <= item < GREATEST for item in content):
        raise CursorError("the cursor is damaged")
    return content


def _mark(content: object) -> Mark:
    match content:
        case [offset, number, str(state)] if state in STATES:
            offset, number = _numbers([offset, number], 2)
            return Mark(offset, number, state)
    raise CursorError("the cursor is damaged")
