"""Documents of a chunk of CSV by a handful of operations on the whole chunk, nearly all of them in C.

What `csvflat` does not take is split by the csv module; each record becomes a msgspec struct, whose encoder writes names and
values. What could mean anything else here than record by record gives None; the caller then goes record by record, which also
says what is wrong.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import orjson

from connectors.file.csvcells import AS_TEXT, CellError, CellType
from connectors.file.csvflat import FlatTable
from connectors.file.csvsyntax import Dialect
from dsync.codec.lines import Lines

_encode_lines = msgspec.json.Encoder().encode_lines


class FastTable:
    """The fast path for one header: `fields` are the documents' names, `types` holds None for plain strings."""

    def __init__(
        self,
        flat: FlatTable,
        make_row: Callable[..., Any],
        types: Sequence[CellType | None],
        null: str | None,
        dialect: Dialect,
    ) -> None:
        self._make_row = make_row
        self._types = types
        self._null = null
        self._dialect = dialect
        self._flat = flat
        self._only_strings = null is None and not any(types)

    @classmethod
    def of(
        cls, fields: Sequence[str], types: Sequence[CellType | None], null: str | None, dialect: Dialect
    ) -> FastTable | None:
        """The fast path, or None for names that msgspec does not take: with a quote, a backslash or a control character."""
        own = [f"f{place}" for place in range(len(fields))]
        try:
            row = msgspec.defstruct("Row", own, rename=dict(zip(own, fields, strict=True)), gc=False)
        except ValueError:
            return None
        return cls(FlatTable(fields, types, null, dialect), row, types, null, dialect)

    def documents(self, chunk: bytes, line: int) -> tuple[Lines, list[int] | None] | None:
        """Extended JSON of the whole records of a chunk, and their lines where they are not one line each from `line` on."""
        try:
            flat = self._flat.documents(chunk)
            if flat is not None:
                return flat, None
            outside = self._dialect.outside_quotes(chunk)
            if b'"' in outside or (b"\r" in outside and outside.count(b"\r") != outside.count(b"\r\n")):
                return None
            rows, starts = self._rows(chunk.decode(), line)
            return self._encoded(rows), starts
        # Not UTF-8; a structure that csv refuses; a row of another width, or a blank line; a cell of another type.
        except (UnicodeDecodeError, csv.Error, TypeError, ValueError, CellError):
            return None

    def _rows(self, text: str, line: int) -> tuple[list[list[str]], list[int] | None]:
        """The cells of records, and the lines where they start if some span lines."""
        # Lines are ended by LF alone: a carriage return inside quotes is not another line.
        reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=self._dialect.delimiter, strict=True)
        rows, lines = [], []
        for row in reader:
            rows.append(row)
            lines.append(line)
            line = lines[0] + reader.line_num
        return rows, lines if reader.line_num > len(rows) else None

    def _encoded(self, rows: Iterable[list[str]]) -> Lines:
        if self._only_strings:
            structs = list(itertools.starmap(self._make_row, rows))
            return Lines(_encode_lines(structs), len(structs))
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        if len(columns) != len(self._types):
            raise ValueError("rows of another width")
        for place, kind in enumerate(self._types):
            columns[place] = self._values(columns[place], kind)
        structs = list(map(self._make_row, *columns))
        return Lines(_encode_lines(structs), len(structs))

    def _values(self, cells: Sequence[str], kind: CellType | None) -> Sequence[Any]:
        """A column as msgspec writes it: strings, raw JSON, None for null, UNSET for what is missing."""
        if self._null is None or self._null not in cells:
            return cells if kind is None else _typed(cells, kind)
        present = [cell for cell in cells if cell != self._null]
        values = iter(_typed(present, kind) if kind is not None and present else present)
        return [None if cell == self._null else next(values) for cell in cells]


def _typed(cells: Sequence[str], kind: CellType) -> Sequence[Any]:
    values: Sequence[bytes | None] | None = kind.bulk(_escaped(cells)) if kind.bulk is not None else None
    if values is AS_TEXT:
        return cells
    if values is None:
        known = {cell: kind.convert(cell) for cell in set(cells)}
        values = [known[cell] for cell in cells]
    return [msgspec.UNSET if value is None else msgspec.Raw(value) for value in values]


def _escaped(cells: Sequence[str]) -> list[bytes]:
    """Each cell as JSON, without its quotes."""
    text = orjson.dumps(cells)
    if b"\\" in text:
        return [orjson.dumps(cell)[1:-1] for cell in cells]
    return text[2:-2].split(b'","')
