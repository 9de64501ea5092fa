"""Documents of a chunk of CSV by a handful of operations on the whole chunk.

The chunk is escaped for JSON, all of it as one string; after that no byte below 0x20 is left in it, and these bytes stand
for what must not be taken for structure. A step that meets something that could mean anything else here than record by
record gives up with None; the caller then goes record by record.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import orjson

from connectors.file.csvcells import CellError, CellType

_BACKSLASH, _DELIMITER, _NEWLINE, _RETURN = b"\x01", b"\x02", b"\x03", b"\x04"
_OPEN, _CLOSE, _ROW = b"\x05", b"\x06", b"\x07"
# As JSON escapes them.
QUOTE, LF, CR, BACKSLASHES = b'\\"', b"\\n", b"\\r", b"\\\\"


class FastTable:
    """The fast path for one header: `keys` are names as JSON strings, `types` holds None for plain strings."""

    def __init__(
        self, keys: Sequence[bytes], types: Sequence[CellType | None], null: str | None, delimiter: str
    ) -> None:
        self._keys = keys
        self._types = types
        self._null = null
        self._escaped_null = None if null is None else _escaped(null)
        self._delimiter = _escaped(delimiter)
        self._only_strings = null is None and not any(types)

    def documents(self, chunk: bytes, line: int) -> tuple[list[bytes], list[int] | None] | None:
        """Extended JSON of the whole records of a chunk, and their lines where they are not one line each from `line` on."""
        text = self._neutral(chunk)
        if text is None:
            return None
        if not chunk.endswith(b"\n"):
            text += LF
        cells = self._cells(text)
        if cells is None:
            return None
        special = any(mark in text for mark in (_BACKSLASH, _DELIMITER, _NEWLINE, _RETURN))
        joined = self._assembled(cells, special)
        if joined is None:
            return None
        documents = (self._restored(joined) if special else joined).split(b"\n")
        documents.pop()
        return documents, _lines(text, line) if special and _NEWLINE in text else None

    def _neutral(self, chunk: bytes) -> bytes | None:
        """The chunk escaped for JSON, every delimiter and line end left in it a real one, no quotes around cells."""
        try:
            text = orjson.dumps(chunk.decode())[1:-1]
        except UnicodeDecodeError:
            return None
        if BACKSLASHES in text:
            # Runs of backslashes pair up from the left: from here on each one left begins an escape.
            text = text.replace(BACKSLASHES, _BACKSLASH)
        if QUOTE in text:
            unquoted = self._unquoted(text)
            if unquoted is None:
                return None
            text = unquoted
        if CR in text:
            text = text.replace(CR + LF, LF)
            if CR in text:
                return None
        return text

    def _unquoted(self, text: bytes) -> bytes | None:
        parts = text.split(QUOTE)
        if len(parts) % 2 == 0:
            return None
        inner = QUOTE.join(parts[1::2])
        for special, mark in ((self._delimiter, _DELIMITER), (LF, _NEWLINE), (CR, _RETURN)):
            if special in inner:
                inner = inner.replace(special, mark)
        quotes = len(parts) // 2
        pieces = [b""] * (4 * quotes + 1)
        pieces[::4] = parts[::2]
        pieces[2::4] = inner.split(QUOTE)
        pieces[1::4] = [_OPEN] * quotes
        pieces[3::4] = [_CLOSE] * quotes
        # Closed and opened again without anything between is a quote written twice.
        text = b"".join(pieces).replace(_CLOSE + _OPEN, QUOTE)
        text = text.replace(self._delimiter + _OPEN, self._delimiter).replace(LF + _OPEN, LF).removeprefix(_OPEN)
        if _OPEN in text:
            return None
        text = text.replace(_CLOSE + self._delimiter, self._delimiter).replace(_CLOSE + LF, LF)
        text = text.replace(_CLOSE + CR, CR).removesuffix(_CLOSE)
        return None if _CLOSE in text else text

    def _cells(self, text: bytes) -> list[bytes] | None:
        """All cells, row after row; None for a ragged row and for an empty line, which may be blank or a quoted empty cell."""
        if text.startswith(LF) or LF + LF in text:
            return None
        width, rows = len(self._keys), text.count(LF)
        cells = text.replace(LF, b"\n" + self._delimiter).split(self._delimiter)
        cells.pop()
        if len(cells) != width * rows:
            return None
        # Each line end closes a cell: when all of them are in the last column, each row has its width.
        last = b"".join(cells[width - 1 :: width]).split(b"\n")
        last.pop()
        if len(last) != rows:
            return None
        cells[width - 1 :: width] = last
        return cells

    def _assembled(self, cells: list[bytes], special: bool) -> bytes | None:
        width = len(self._keys)
        rows, stride = len(cells) // width, 2 * width + 1
        pieces = [b""] * (rows * stride)
        optional, closing = False, b""
        for column, key in enumerate(self._keys):
            values: Sequence[bytes | None] | None = None
            column_cells = cells[column::width]
            if not self._only_strings:
                try:
                    values = self._values(column_cells, self._types[column], special)
                except CellError:
                    return None
            if values is None:
                lead, quote = b'%b,%b:"' % (closing, key), b'"'
            elif None in values:
                optional = True
                lead, quote = closing, b""
                column_cells = [b"" if value is None else b",%b:%b" % (key, value) for value in values]
            else:
                lead, quote = b"%b,%b:" % (closing, key), b""
                column_cells = values  # type: ignore[assignment]  # none of them is None
            pieces[2 * column :: stride] = [lead if column else _ROW + lead] * rows
            pieces[2 * column + 1 :: stride] = column_cells
            closing = quote
        pieces[2 * width :: stride] = [closing + b"}\n"] * rows
        joined = b"".join(pieces).replace(_ROW + b",", b"{")
        return joined.replace(_ROW, b"{") if optional else joined

    def _values(self, cells: list[bytes], kind: CellType | None, special: bool) -> Sequence[bytes | None] | None:
        """The column as Extended JSON; None when all of it are strings as they stand."""
        if special:
            cells = self._restored(b"\n".join(cells)).split(b"\n")
        has_null = self._escaped_null is not None and self._escaped_null in cells
        if kind is None:
            if not has_null:
                return None
            return [b"null" if cell == self._escaped_null else b'"%b"' % cell for cell in cells]
        if kind.bulk is not None and not has_null:
            values = kind.bulk(cells)
            if values is not None:
                return values
        return self._each(cells, kind)

    def _each(self, cells: list[bytes], kind: CellType) -> list[bytes | None]:
        known: dict[bytes, bytes | None] = {}
        if self._escaped_null is not None:
            known[self._escaped_null] = b"null"
        for cell in set(cells):
            if cell not in known:
                known[cell] = kind.convert(orjson.loads(b'"%b"' % cell) if b"\\" in cell else cell.decode())
        return [known[cell] for cell in cells]

    def _restored(self, text: bytes) -> bytes:
        for mark, meaning in (
            (_BACKSLASH, BACKSLASHES),
            (_DELIMITER, self._delimiter),
            (_NEWLINE, LF),
            (_RETURN, CR),
        ):
            if mark in text:
                text = text.replace(mark, meaning)
        return text


def _escaped(text: str) -> bytes:
    return orjson.dumps(text)[1:-1]


def _lines(text: bytes, line: int) -> list[int]:
    """Where each record starts when some have line ends in their cells."""
    rows = text.split(LF)
    rows.pop()
    heights = (1 + row.count(_NEWLINE) for row in rows[:-1])
    return list(itertools.accumulate(heights, initial=line))
