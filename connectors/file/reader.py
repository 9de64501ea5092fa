"""Chunks of an open file: as many bytes as a page asks for, and more where a record is longer."""

from __future__ import annotations

from typing import Protocol

from connectors.file.content import Content
from connectors.file.cursors import NOT_COUNTED, Mark, Part
from connectors.file.format import MAX_RECORD_BYTES, Chunk, Format, Rest, unit_of
from dsync.errors import CursorError, DataError

GROWTH = 4
# Decompressing this much takes some hundredths of a second.
FAR_BYTES = 4 << 20


class Reader(Protocol):
    """An open file that can be read from any place between records, fastest from where it was read last."""

    def chunk(self, at: Mark, part: Part) -> tuple[Chunk, bool]:
        """The documents from a place on, about a page of them, and whether the partition ends with them. Raises DataError."""

    def is_far(self, at: Mark) -> bool:
        """Whether getting there takes long enough to be done aside."""

    def close(self) -> None:
        """Lets go of the file."""


class TextReader:
    """A file whose records stand one after another; `content` is read from, `data_format` understands it."""

    def __init__(self, data_format: Format, content: Content, kind: str, name: str) -> None:
        self._format = data_format
        self._content = content
        self._kind = kind
        self._name = name

    def is_far(self, at: Mark) -> bool:
        """Whether much has to be decompressed first."""
        return self._content.distance(at.offset) > FAR_BYTES

    def close(self) -> None:
        """Lets go of the file."""
        self._content.close()

    def chunk(self, at: Mark, part: Part) -> tuple[Chunk, bool]:
        """The documents from a place on, and whether the partition ends with them."""
        want = part.page_bytes
        while True:
            size = want if part.end is None else min(want, part.end.offset - at.offset)
            piece = self._content.read(at.offset, size)
            rest = self._rest(at, part, size, len(piece))
            chunk = self._format.split(piece, at, rest)
            if chunk.next != at or rest is not Rest.MORE:
                return chunk, self._ends(chunk.next, part, rest)
            if len(piece) > MAX_RECORD_BYTES:
                raise DataError(f"{self._place(at)}: a record of more than {MAX_RECORD_BYTES >> 20} MiB")
            want = min(want * GROWTH, MAX_RECORD_BYTES + 1)

    def _place(self, at: Mark) -> str:
        return f"{self._name!r} {unit_of(self._kind, at)} {at.number}"

    def _rest(self, at: Mark, part: Part, size: int, found: int) -> Rest:
        if part.end is None:
            return Rest.MORE if found == size else Rest.END
        if found < size:
            raise CursorError(
                f"{self._name!r} has become shorter while it was read", remedy="copy it again with --restart"
            )
        if at.offset + found < part.end.offset:
            return Rest.MORE
        return Rest.END if part.end.offset == part.identity.size else Rest.CUT

    def _ends(self, at: Mark, part: Part, rest: Rest) -> bool:
        """Whether the partition ends here. Raises DataError where it ends elsewhere than the next one begins."""
        if part.end is None or rest is Rest.END:
            return rest is Rest.END
        if rest is Rest.CUT and not _is_at(at, part.end):
            raise DataError(
                f"{self._place(at)}: a record goes on where the next partition begins",
                remedy="something is wrong before it; a larger --partition-size reads the file as a whole and shows where",
            )
        return _is_at(at, part.end)


def _is_at(at: Mark, end: Mark) -> bool:
    return at == (end._replace(number=at.number) if end.number == NOT_COUNTED else end)
