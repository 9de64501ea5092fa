"""Documents of a chunk of CSV by a handful of operations on the whole chunk.

The chunk is escaped for JSON, all of it as one string; after that no byte below 0x20 is left in it, and these bytes stand
for what must not be taken for structure. A step that meets something that could mean anything else here than record by
record gives up with None; the caller then goes record by record.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import orjson

from connectors.file.csvcells import AS_TEXT, CellError, CellType

_BACKSLASH, _DELIMITER, _NEWLINE, _RETURN = b"\x01", b"\x02", b"\x03", b"\x04"
_PAIR, _ROW = b"\x05", b"\x06"
# As JSON escapes them.
QUOTE, LF, CR, BACKSLASHES = b'\\"', b"\\n", b"\\r", b"\\\\"


class FastTable:
    """The fast path for one header: `keys` are names as JSON strings, `types` holds None for plain strings."""

    def __init__(
        self, keys: Sequence[bytes], types: Sequence[CellType | None], null: str | None, delimiter: str
    ) -> None:
        self._keys = keys
        self._types = types
        self._escaped_null = None if null is None else _escaped(null)
        self._delimiter = _escaped(delimiter)
        self._unstructured = bytes(set(range(256)).difference(b'"\r\n' + delimiter.encode()))
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
            unquoted = self._unquoted(text, chunk)
            if unquoted is None:
                return None
            text = unquoted
        if CR in text:
            text = text.replace(CR + LF, LF)
            if CR in text:
                return None
        return text

    def _unquoted(self, text: bytes, chunk: bytes) -> bytes | None:
        """The text without quotes around cells, with marks for delimiters and line ends within them."""
        # An even number of quotes before each delimiter and line end means that all of them are structure.
        if b'"' not in chunk.translate(None, self._unstructured).replace(b'""', b""):
            stripped = self._stripped(text)
            if stripped is not None:
                return stripped
        parts = text.replace(QUOTE + QUOTE, _PAIR).split(QUOTE)
        if len(parts) % 2 == 0 or len(parts) == 1:
            return None
        inner = QUOTE.join(parts[1::2])
        for special, mark in ((self._delimiter, _DELIMITER), (LF, _NEWLINE), (CR, _RETURN)):
            if special in inner:
                inner = inner.replace(special, mark)
        parts[1::2] = inner.split(QUOTE)
        if not self._settle_pairs(parts):
            return None
        stripped = self._stripped(QUOTE.join(parts))
        return None if stripped is None else stripped.replace(_PAIR, QUOTE)

    def _stripped(self, text: bytes) -> bytes | None:
        """The text without a quote at both ends of cells; None where there are others. All delimiters and line ends are real."""
        # Each cell has an even number of quotes: where one end has none, taking the other leaves at least one.
        text = text.replace(self._delimiter + QUOTE, self._delimiter).replace(LF + QUOTE, LF).removeprefix(QUOTE)
        text = text.replace(QUOTE + self._delimiter, self._delimiter).replace(QUOTE + LF, LF)
        text = text.replace(QUOTE + CR, CR).removesuffix(QUOTE)
        return None if QUOTE in text else text

    def _settle_pairs(self, parts: list[bytes]) -> bool:
        """Pairs of quotes outside of quotes are empty cells, or begin a cell whose own quote comes after them; no others may be."""
        outer = QUOTE.join(parts[::2])
        if _PAIR not in outer:
            return True
        for place in range(0, len(parts) - 1, 2):
            if parts[place].endswith(_PAIR):
                kept = parts[place].rstrip(_PAIR)
                parts[place + 1] = parts[place][len(kept) :] + parts[place + 1]
                parts[place] = kept
        ends = (self._delimiter, LF, CR)
        outer = QUOTE.join(parts[::2])
        if outer.startswith(tuple(_PAIR + end for end in ends)):
            outer = outer.removeprefix(_PAIR)
        for before in (self._delimiter, LF):
            for after in ends:
                # Neighbours share a delimiter: the second turn takes those that the first one skipped.
                outer = outer.replace(before + _PAIR + after, before + after).replace(
                    before + _PAIR + after, before + after
                )
        parts[::2] = outer.split(QUOTE)
        return _PAIR not in outer

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
        null = self._escaped_null
        if null is None or null not in cells:
            return None if kind is None else self._typed(cells, kind)
        rest = [cell for cell in cells if cell != null]
        values = self._typed(rest, kind) if kind is not None and rest else None
        if values is None:
            return [b"null" if cell == null else b'"%b"' % cell for cell in cells]
        following = iter(values)
        return [b"null" if cell == null else next(following) for cell in cells]

    def _typed(self, cells: list[bytes], kind: CellType) -> Sequence[bytes | None] | None:
        values = kind.bulk(cells) if kind.bulk is not None else None
        if values is None:
            return self._each(cells, kind)
        return None if values is AS_TEXT else values

    def _each(self, cells: list[bytes], kind: CellType) -> list[bytes | None]:
        known = {
            cell: kind.convert(orjson.loads(b'"%b"' % cell) if b"\\" in cell else cell.decode()) for cell in set(cells)
        }
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
