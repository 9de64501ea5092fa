"""Cursors of made-up sources: JSON lists with a version and the digest of the settings; read as untrusted data."""

from __future__ import annotations

import json

from msgspec import Struct

from dsync.errors import CursorError

VERSION = 1
LONGEST_CURSOR_BYTES = 1 << 20
GREATEST = 1 << 62


class Slice(Struct, frozen=True):
    """A partition: which, and the rule by which it is cut into pages."""

    namespace: int
    partition: int
    page_documents: int


class Lane(Struct, frozen=True):
    """A change stream's place: its namespace and number, the next tick, updates already sent of it and before it."""

    namespace: int
    partition: int
    tick: int = 0
    sent: int = 0
    before: int = 0


def write_slice(digest: str, part: Slice) -> bytes:
    """The cursor of a partition."""
    return _write("partition", digest, [part.namespace, part.partition, part.page_documents])


def read_slice(digest: str, cursor: bytes) -> Slice:
    """The partition of a cursor. Raises CursorError."""
    return Slice(*_numbers(_read("partition", digest, cursor), 3))


def write_page(digest: str, part: Slice, offset: int) -> bytes:
    """The cursor of the page of a partition that begins at an offset."""
    return _write("page", digest, [part.namespace, part.partition, offset])


def read_page(digest: str, part: Slice, cursor: bytes) -> int:
    """The offset of a page of this partition. Raises CursorError."""
    namespace, partition, offset = _numbers(_read("page", digest, cursor), 3)
    if (namespace, partition) != (part.namespace, part.partition):
        raise CursorError("the cursor belongs to another partition")
    if offset == 0 or offset % part.page_documents:
        raise CursorError(f"no page begins at {offset}")
    return offset


def write_lanes(digest: str, lanes: list[Lane]) -> bytes:
    """The position in one or more change streams."""
    return _write("stream", digest, [[at.namespace, at.partition, at.tick, at.sent, at.before] for at in lanes])


def read_lanes(digest: str, cursor: bytes) -> list[Lane]:
    """The position in one or more change streams. Raises CursorError."""
    lanes = [Lane(*_numbers(lane, 5)) for lane in _read("stream", digest, cursor)]
    if not lanes or len({(lane.namespace, lane.partition) for lane in lanes}) != len(lanes):
        raise CursorError("the cursor names no change stream, or one twice")
    return lanes


def _write(kind: str, digest: str, place: object) -> bytes:
    return json.dumps([kind, VERSION, digest, place], separators=(",", ":")).encode()


def _read(kind: str, digest: str, cursor: bytes) -> list[object]:
    try:
        content = json.loads(cursor) if len(cursor) <= LONGEST_CURSOR_BYTES else None
    except (ValueError, RecursionError) as error:
        raise CursorError(f"not a {kind} cursor of this source") from error
    match content:
        case [found, int(version), str(of), list(place)] if found == kind and type(version) is int:
            if version != VERSION:
                raise CursorError(f"the {kind} cursor has version {version}, not {VERSION}", remedy="start again")
            if of != digest:
                raise CursorError(
                    f"the {kind} cursor belongs to a source with other options",
                    remedy="use the same options, or start again",
                )
            return place
    raise CursorError(f"not a {kind} cursor of this source")


def _numbers(place: object, count: int) -> list[int]:
    if not isinstance(place, list) or len(place) != count:
        raise CursorError("the cursor is damaged")
    if not all(type(item) is int and 0 <= item < GREATEST for item in place):
        raise CursorError("the cursor is damaged")
    return place
