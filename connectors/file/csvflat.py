"""Documents of a chunk of CSV without a Python object for a record: cells are cut from the text and joined with JSON between them.

Every cell of the chunk stands in one list, whose order says what belongs to it: one slice is a column. What could mean anything
else here than record by record gives None; so do records that span lines and fields that are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import orjson

from connectors.file.csvcells import AS_TEXT, CellType
from connectors.file.csvsyntax import Dialect
from dsync.codec.lines import Lines

# Stands for a delimiter inside a quoted cell; chunks that hold one themselves do not come so far.
_HELD = b"\0"
# Bytes that JSON escapes in ways of its own become one that is looked for; the others are dealt with.
_CONTROL = frozenset(range(32)) - frozenset(b"\t\r\n")

_first, _last = itemgetter(slice(0, 1)), itemgetter(slice(-1, None))


class FlatTable:
    """The records under one header: `fields` are the documents' names, `types` holds None for plain strings."""

    def __init__(
        self, fields: Sequence[str], types: Sequence[CellType | None], null: str | None, dialect: Dialect
    ) -> None:
        self._names = [orjson.dumps(field) for field in fields]
        self._types = types
        self._null = None if null is None else _escaped(null)
        self._delimiter = dialect.delimiter.encode()
        self._written = _escaped(dialect.delimiter)
        control = _CONTROL - frozenset(self._delimiter)
        self._control_as_held = bytes(0 if byte in control else byte for byte in range(256))
        self._before_quote = {b"", b"\n", self._delimiter}
        self._after_quote = {*self._before_quote, b"\r"}
        self._between: dict[tuple[bool, ...], list[bytes]] = {}

    def documents(self, chunk: bytes) -> Lines | None:
        """Extended JSON of whole records that are one line each. Raises UnicodeDecodeError; and CellError as types do."""
        if _HELD in chunk.translate(self._control_as_held) or chunk.endswith(b"\r"):
            return None
        if not chunk.isascii():
            chunk.decode()
        text = (chunk if chunk.endswith(b"\n") else chunk + b"\n").replace(b"\\", b"\\\\")
        if self._delimiter != b"\t":
            text = text.replace(b"\t", b"\\t")
        plain = self._without_quotes(text) if b'"' in text else _with_line_feeds(text)
        if plain is None:
            return None
        cells = self._cells(plain)
        return self._joined(cells, _HELD in plain) if cells else None

    def _without_quotes(self, text: bytes) -> bytes | None:
        """Quoted cells as plain ones, with what they hold escaped; None for quotes out of place and cells that span lines."""
        parts = text.split(b'"')
        if len(parts) % 2 == 0:
            return None
        outside, within = _with_line_feeds(b'"'.join(parts[::2])), b'"'.join(parts[1::2])
        if outside is None or b"\n" in within:
            return None
        between = outside.split(b'"')
        if not (
            self._before_quote.issuperset(map(_last, between[:-1]))
            and self._after_quote.issuperset(map(_first, between[1:]))
        ):
            return None
        # A cell that is closed and opened at once holds a quote there.
        between[1:-1] = [part or b'\\"' for part in between[1:-1]]
        parts[::2] = between
        parts[1::2] = within.replace(self._delimiter, _HELD).replace(b"\r", b"\\r").split(b'"')
        return b"".join(parts)

    def _cells(self, text: bytes) -> list[bytes] | None:
        """All cells, row by row; None where a row is blank or of another width."""
        width = len(self._names)
        if width == 1 and (text.startswith(b"\n") or b"\n\n" in text):
            return None
        marked = text.replace(b"\n", self._delimiter + b"\n" + self._delimiter)
        rows = (len(marked) - len(text)) // 2
        cells = marked.split(self._delimiter)
        del cells[-1]
        if len(cells) != rows * (width + 1) or cells[width :: width + 1].count(b"\n") != rows:
            return None
        del cells[width :: width + 1]
        return cells

    def _joined(self, cells: list[bytes], held: bool) -> Lines | None:
        width = len(self._names)
        bare = [False] * width
        for place, kind in enumerate(self._types):
            if kind is None and self._null is None:
                continue
            column = cells[place::width]
            if held:
                column = [cell.replace(_HELD, self._written) for cell in column]
            values = self._values(column, kind)
            if values is None:
                return None
            if values is not AS_TEXT:
                cells[place::width] = values
                bare[place] = True
        between = self._between_cells(tuple(bare))
        rows = len(cells) // width
        pieces = [b""] * (2 * len(cells))
        pieces[::2], pieces[1::2] = cells, between * rows
        # The first line has no other one before it, nor the last one after it.
        closed, begun, opening = between[-1].partition(b"}\n")
        pieces[0] = opening + pieces[0]
        pieces[-1] = closed + begun
        text = b"".join(pieces)
        return Lines(text.replace(_HELD, self._written) if held else text, rows)

    def _between_cells(self, bare: tuple[bool, ...]) -> list[bytes]:
        """What stands after each cell of a row; `bare` says which columns have no quotes of their own around them."""
        known = self._between.get(bare)
        if known is None:
            quotes = [b"" if is_bare else b'"' for is_bare in bare]
            starts = [b"%b:%b" % pair for pair in zip(self._names, quotes, strict=True)]
            known = [b"%b,%b" % pair for pair in zip(quotes, starts[1:], strict=False)]
            known.append(b"%b}\n{%b" % (quotes[-1], starts[0]))
            self._between[bare] = known
        return known

    def _values(self, column: list[bytes], kind: CellType | None) -> Sequence[bytes] | None:
        """A column as JSON, or AS_TEXT when all are strings as they stand; None where a field is missing."""
        null = self._null
        if null is None or null not in column:
            return AS_TEXT if kind is None else _typed(column, kind)
        present = [cell for cell in column if cell != null]
        values = _typed(present, kind) if kind is not None and present else AS_TEXT
        if values is None:
            return None
        texts = iter([b'"%b"' % cell for cell in present] if values is AS_TEXT else values)
        return [b"null" if cell == null else next(texts) for cell in column]


def _typed(cells: Sequence[bytes], kind: CellType) -> Sequence[bytes] | None:
    values = kind.bulk(cells) if kind.bulk is not None else None
    if values is not None:
        return values
    known = {cell: kind.convert(orjson.loads(b'"%b"' % cell)) for cell in set(cells)}
    found = [value for cell in cells if (value := known[cell]) is not None]
    return found if len(found) == len(cells) else None


def _with_line_feeds(text: bytes) -> bytes | None:
    """The text with LF for each CRLF; None with a carriage return that stands alone."""
    if b"\r" not in text:
        return text
    ended = text.replace(b"\r\n", b"\n")
    return None if b"\r" in ended else ended


def _escaped(text: str) -> bytes:
    """A string as JSON, without its quotes."""
    return orjson.dumps(text)[1:-1]
