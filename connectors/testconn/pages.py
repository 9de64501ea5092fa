"""Reading bootstrap.json: pages of records, and cursors that know the file they belong to."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from connectors.testconn.cursors import read, write
from dsync.codec import jsontext
from dsync.codec.jsontext import Position, Rest
from dsync.errors import CursorError, DataError


class Extent(Struct, frozen=True):
    """The partition: the file as it was planned, and the rule by which it is cut into pages."""

    size: int
    modified_ns: int
    page_bytes: int

    @classmethod
    def of(cls, path: Path, size: int, page_bytes: int) -> Extent:
        """The file as it is now; one that is not there is empty."""
        return cls(size, path.stat().st_mtime_ns if path.exists() else 0, page_bytes)

    def to_cursor(self) -> bytes:
        """The partition's cursor."""
        return write("file", self.size, self.modified_ns, self.page_bytes)

    @classmethod
    def from_cursor(cls, cursor: bytes) -> Extent:
        """The inverse. Raises CursorError."""
        extent = cls(*read("file", cursor, 3))
        if not extent.page_bytes:
            raise CursorError("the cursor is damaged")
        return extent


def page_cursor(extent: Extent, at: Position) -> bytes:
    """The cursor of the page that begins here."""
    return write("page", extent.size, extent.modified_ns, at.offset, at.number)


def page_position(extent: Extent, cursor: bytes) -> Position:
    """Where the page begins. Raises CursorError."""
    size, modified_ns, offset, number = read("page", cursor, 4)
    if (size, modified_ns) != (extent.size, extent.modified_ns):
        raise CursorError("the cursor belongs to another file")
    if not 0 < offset < size or number < 1:
        raise CursorError(f"no page begins at offset {offset}")
    return Position("lines", offset, number)


def read_page(path: Path, extent: Extent, at: Position | None) -> jsontext.Page:
    """The records from a position (None: the beginning) on, up to the page's bytes. Raises DataError with file and line."""
    size = extent.page_bytes
    try:
        while True:
            start = at.offset if at else 0
            chunk = _chunk(path, start, min(size, extent.size - start))
            rest = Rest.END if start + len(chunk) == extent.size else Rest.MORE
            page = _split(chunk, at, rest)
            if page is not None and (page.next.offset > start or rest is Rest.END):
                return page
            size *= 2
    except jsontext.TextError as error:
        raise DataError(f"{str(path)!r}, line {error.number} (offset {error.offset}): {error.reason}") from error


def _split(chunk: bytes, at: Position | None, rest: Rest) -> jsontext.Page | None:
    """None: the chunk is too short."""
    if at is not None:
        return jsontext.split(chunk, at, rest)
    first = jsontext.start(chunk, rest)
    if first is None:
        return None
    if first.form != "lines":
        raise jsontext.TextError("a JSON array; a document a line is wanted", first, offset=0, number=1)
    return jsontext.split(chunk[first.offset :], first, rest)


def _chunk(path: Path, offset: int, size: int) -> bytes:
    if size <= 0:
        return b""
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise CursorError(f"{str(path)!r} was cut short while it was read", remedy="copy again")
    return content


def count_records(path: Path, extent: Extent) -> int:
    """How many there are."""
    count, at = 0, None
    while True:
        page = read_page(path, extent, at)
        count += len(page.texts)
        at = page.next
        if at.offset >= extent.size:
            return count
