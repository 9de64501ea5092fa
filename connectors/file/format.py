"""What a format has to say: which documents a piece of a file holds, and where a file can be cut into parts.

`split` is pure: bytes in, documents and places out. The reader brings the bytes, decompresses them and shows more of them (from
the same place) where a piece held no whole record.
"""

from __future__ import annotations

import codecs
import enum
from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from connectors.file import kinds
from connectors.file.content import Content
from connectors.file.cursors import Mark
from dsync import wire
from dsync.codec import compression
from dsync.errors import DataError

# The longest record that is waited for; messages on the wire are capped at the same size.
MAX_RECORD_BYTES = 64 << 20

_UNITS = {kinds.CSV: "line", kinds.BSON: "document", kinds.PARQUET: "row"}

# Longer ones first: UTF-32 begins as UTF-16 does.
_WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class Rest(enum.Enum):
    """What follows a piece: more of it, the next partition, or nothing."""

    MORE = enum.auto()
    CUT = enum.auto()
    END = enum.auto()


class Chunk(Struct, frozen=True):
    """The documents of a piece, the line, element or document number where each one starts, and where the next piece begins."""

    documents: Sequence[bytes]
    numbers: Sequence[int]
    next: Mark


class Format(Protocol):
    """One file's way to hold documents, of the type `data_type_of` says; errors name the file and the place."""

    # The size of a page.
    page_bytes: int

    def start(self, content: Content) -> Mark:
        """The place of the first record. Raises DataError for what is no file of this format at all."""

    def split(self, piece: bytes, at: Mark, rest: Rest) -> Chunk:
        """The whole records of a piece that begins at `at`; `next` is `at` where there is not one whole record in it.

        With Rest.CUT and Rest.END all of the piece has to be records. Raises DataError.
        """

    def cuts(self, content: Content, start: Mark, size: int, targets: Iterable[int]) -> list[Mark]:
        """Places between records near the targets (offsets, ascending), each a sound start of a partition."""


def data_type_of(data_format: str) -> wire.Type:
    """What the documents of a format are before they are converted."""
    return wire.BSON if data_format == kinds.BSON else wire.EXTENDED_JSON


def unit_of(data_format: str, at: Mark) -> str:
    """What `Mark.number` counts, as errors call it."""
    if data_format in _UNITS:
        return _UNITS[data_format]
    return "line" if at.state == "lines" else "element"


def refuse_foreign_text(head: bytes, name: str) -> None:
    """Raises DataError where the first bytes of a text file show that it is none, or in another encoding."""
    packed = compression.of_content(head)
    if packed != compression.NONE:
        raise DataError(f"{name!r} is compressed", remedy=f"add --compression {packed}")
    encoding = next((name for mark, name in _WIDE_MARKS.items() if head.startswith(mark)), "")
    if not encoding and b"\0" in head[:4]:
        encoding = "UTF-16" if head[:4].count(0) < 3 else "UTF-32"
    if encoding:
        raise DataError(f"{name!r} is {encoding} text", remedy=f"convert it, as in iconv -f {encoding} -t UTF-8")
    if head.startswith(b"PAR1"):
        raise DataError(f"{name!r} is a Parquet file", remedy="add --format parquet")
