"""What a CSV record is: RFC 4180 with LF or CRLF, and what breaks it.

`csv.reader(strict=True)` over the whole file is the definition. It lets three things pass that nobody means, which are
faults here as well: a quote inside a cell that is not quoted, a carriage return without a line feed outside quotes, and
bytes that are not UTF-8. A fault is found at the same byte however the file is cut into chunks.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator

from msgspec import Struct

from dsync.errors import DataError, UsageError

# The csv module refuses cells over 131,072 characters unless told otherwise, for the whole process; here records have a
# limit of their own.
csv.field_size_limit(min(sys.maxsize, (1 << 31) - 1))

# A record that is longer is taken for a quote that is never closed; no store behind dsync takes documents of this size.
MAX_RECORD_BYTES = 64 << 20

BARE_QUOTE = "a quote inside a cell that does not begin with one"
TEXT_AFTER_QUOTE = "text after a closing quote"
UNCLOSED_QUOTE = "a quoted cell that is never closed"
LONE_RETURN = "a carriage return without a line feed outside quotes"
NOT_UTF8 = "not UTF-8"
QUOTE_REMEDY = 'quote the whole cell and write a quote in it twice (""), or choose another --delimiter'
ENCODING_REMEDY = "convert the file to UTF-8"
_REMEDIES = {
    BARE_QUOTE: QUOTE_REMEDY,
    TEXT_AFTER_QUOTE: QUOTE_REMEDY,
    UNCLOSED_QUOTE: QUOTE_REMEDY,
    LONE_RETURN: "end lines with LF or CRLF, and quote cells that hold a carriage return",
    NOT_UTF8: ENCODING_REMEDY,
}

_CLOSED_CELL = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')
_LONE_RETURN = re.compile(rb"\r(?!\n)")
# While the next byte is not known, a carriage return at the end is none yet.
_LONE_RETURN_WITHIN = re.compile(rb"\r(?=[^\n])")


class CsvError(DataError):
    """A record that is not sound CSV, or a cell that is not of its column's type; `line` counts from 1."""

    def __init__(self, name: str, line: int, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"{name!r} line {line}: {reason}", remedy=remedy or _REMEDIES.get(reason, ""))
        self.line = line
        self.reason = reason


class Fault(Struct, frozen=True):
    """Where a chunk breaks the rules: the byte, and the start of the record that it is in."""

    offset: int
    record: int
    reason: str


class Dialect:
    """The rules for one delimiter. Chunks begin at the start of a record."""

    def __init__(self, delimiter: str) -> None:
        """Raises UsageError for what cannot delimit cells."""
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in '"\\\r\n\0':
            raise UsageError(
                f"the delimiter {delimiter!r} is not one ASCII character other than a letter, a digit, a quote, "
                "a backslash or a line end",
                remedy="give one such as ',', ';', '|' or a tab",
            )
        self.delimiter = delimiter
        self.ends = delimiter.encode() + b"\r\n"
        end = re.escape(self.ends)
        self._quoted = re.compile(rb'"(?<![^%b]")[^"]*+(?:""[^"]*+)*+"(?![^%b])' % (end, end))

    def masked(self, chunk: bytes) -> bytes:
        """The chunk with legal quoted cells replaced by as many letters: what line ends are left end records.

        Quotes that are left are faults.
        """
        if b'"' not in chunk:
            return chunk
        return self._quoted.sub(lambda cell: b"x" * len(cell[0]), chunk)

    def outside_quotes(self, chunk: bytes) -> bytes:
        """The chunk without its legal quoted cells; quotes that are left are faults."""
        return self._quoted.sub(b"", chunk) if b'"' in chunk else chunk

    def fault(self, chunk: bytes, ended: bool) -> Fault | None:
        """The first break of the structure; when more may follow (not `ended`), one that no further bytes can heal."""
        masked = self.masked(chunk)
        quote = masked.find(b'"')
        before = masked if quote < 0 else masked[:quote]
        # Before a quote, the next byte of a carriage return at the very end is that quote.
        lone = (_LONE_RETURN if ended or quote >= 0 else _LONE_RETURN_WITHIN).search(before)
        if lone is not None:
            offset, reason = lone.start(), LONE_RETURN
        elif quote >= 0:
            offset, reason = self._classify(chunk, quote)
        else:
            return None
        if reason == UNCLOSED_QUOTE and not ended:
            return None
        return Fault(offset, masked.rfind(b"\n", 0, min(offset, quote) if quote >= 0 else offset) + 1, reason)

    def _classify(self, chunk: bytes, quote: int) -> tuple[int, str]:
        if quote and chunk[quote - 1] not in self.ends:
            return quote, BARE_QUOTE
        cell = _CLOSED_CELL.match(chunk, quote)
        if cell is None:
            return quote, UNCLOSED_QUOTE
        return cell.end() - 1, TEXT_AFTER_QUOTE

    def first_fault(self, chunk: bytes, limit: int) -> Fault | None:
        """The first record of whole records that breaks any rule; within one, structure before size before encoding."""
        faults = [self.fault(chunk, True), self._oversized(chunk, limit), self._undecodable(chunk)]
        found = [fault for fault in faults if fault is not None]
        if not found:
            return None
        first = min(found, key=lambda fault: fault.record)
        # A cell that is never closed reaches to the end; where reading in pieces gives up, so does reading at once.
        reach = len(chunk) if first.reason == UNCLOSED_QUOTE else first.offset
        return first if reach - first.record <= limit else Fault(first.record, first.record, too_long(limit))

    def _oversized(self, chunk: bytes, limit: int) -> Fault | None:
        if len(chunk) <= limit:
            return None
        start = 0
        for end in re.finditer(rb"\n|\Z", self.masked(chunk)):
            if end.end() - start > limit:
                return Fault(start, start, too_long(limit))
            start = end.end()
        return None

    def _undecodable(self, chunk: bytes) -> Fault | None:
        try:
            chunk.decode()
        except UnicodeDecodeError as error:
            return Fault(error.start, self.masked(chunk).rfind(b"\n", 0, error.start) + 1, NOT_UTF8)
        return None

    def rows(self, chunk: bytes) -> Iterator[tuple[int, list[str]]]:
        """Line (from 0) and cells of each record that is not a blank line; the chunk is sound."""
        # Lines are ended by LF alone: a carriage return inside quotes is not another line.
        reader = csv.reader(io.StringIO(chunk.decode(), newline="\n"), delimiter=self.delimiter, strict=True)
        line = 0
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num


def too_long(limit: int) -> str:
    """Why a record of more than `limit` bytes is refused."""
    return f"a record of more than {limit} bytes, or a quote that is never closed"


def whole_records(chunk: bytes) -> int:
    """The length of the chunk's longest prefix that ends after a record; 0 when it holds not one whole record."""
    end = chunk.rfind(b"\n") + 1
    if not end or b'"' not in chunk:
        return end
    # Outside of quotes means after an even number of them.
    inside = chunk.count(b'"', 0, end) & 1
    while inside:
        earlier = chunk.rfind(b"\n", 0, chunk.rfind(b'"', 0, end)) + 1
        inside ^= chunk.count(b'"', earlier, end) & 1
        end = earlier
    return end


def record_end(chunk: bytes, at: int) -> int:
    """Where the record that starts at `at` ends, after its line end; -1 when the chunk does not hold its end."""
    quotes, start = 0, at
    while (newline := chunk.find(b"\n", start)) >= 0:
        quotes += chunk.count(b'"', start, newline)
        if not quotes & 1:
            return newline + 1
        start = newline + 1
    return -1
