"""One batch of documents as rows under the columns that it has."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from connectors.file.csvtext import MISSES, MISSING, Cells


class Text(Protocol):
    """How values stand in cells."""

    def column(self, values: Sequence[Any], held: set[str]) -> Cells:
        """The cells of a column; adds to `held` what it held."""


class Summary(msgspec.Struct, frozen=True):
    """What a staged batch says of itself. `held` is what each column held; `reordered` says that some documents have
    their fields in another order than `columns`."""

    VERSION: ClassVar[int] = 1

    version: int
    types: str
    delimiter: str
    columns: list[str]
    documents: int
    held: list[list[str]]
    reordered: bool


class Staging:
    """Collects groups of documents, column by column."""

    def __init__(self, delimiter: str, columns: Sequence[str], text: Text) -> None:
        self._delimiter = delimiter
        self._text = text
        self._places = {name: place for place, name in enumerate(columns)}
        self._held: dict[str, set[str]] = {name: set() for name in columns}
        self._groups: list[tuple[dict[str, Cells], int]] = []
        self._reordered = False

    def add(self, documents: list[dict[str, Any]]) -> None:
        """Adds documents; names that are new become columns in order of appearance."""
        shapes = list(dict.fromkeys(map(tuple, documents)))
        for shape in shapes:
            places = [self._places.setdefault(name, len(self._places)) for name in shape]
            self._reordered |= any(after < before for before, after in itertools.pairwise(places))
        if len(shapes) == 1:
            values: Iterable[tuple[str, Sequence[Any]]] = zip(
                shapes[0], zip(*map(dict.values, documents), strict=True), strict=True
            )
        else:
            names = dict.fromkeys(itertools.chain.from_iterable(shapes))
            values = ((name, [document.get(name, MISSING) for document in documents]) for name in names)
        cells = {name: self._text.column(column, self._held.setdefault(name, set())) for name, column in values}
        self._groups.append((cells, len(documents)))

    def finish(self, types: str) -> bytes:
        """The batch: its summary on one line, then its rows."""
        rows = "".join(self._rows())
        for name in self._places:
            if any(name not in cells for cells, _ in self._groups):
                self._held[name].add(MISSES)
        summary = Summary(
            version=Summary.VERSION,
            types=types,
            delimiter=self._delimiter,
            columns=list(self._places),
            documents=sum(documents for _, documents in self._groups),
            held=[sorted(self._held[name]) for name in self._places],
            reordered=self._reordered,
        )
        return msgspec.json.encode(summary) + b"\n" + rows.encode()

    def _rows(self) -> Iterator[str]:
        for cells, documents in self._groups:
            empty = [""] * documents
            columns = [cells.get(name, empty) for name in self._places] or [empty]
            yield rows_text(list(zip(*columns, strict=True)), self._delimiter)


def rows_text(rows: Sequence[Sequence[Any]], delimiter: str) -> str:
    """Rows as CSV; a single empty cell is quoted, so that no row is a blank line."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    text = buffer.getvalue()
    # The csv module quotes what holds its own line end; a carriage return that is not one needs quotes as well.
    return text if "\r" not in text else "".join(row_text(row, delimiter) for row in rows)


def row_text(row: Sequence[Any], delimiter: str) -> str:
    """One row as CSV; a single empty cell is quoted."""
    line = delimiter.join(_quoted(str(cell), delimiter) for cell in row)
    return (line or '""') + "\n"


def header_text(columns: Sequence[str], delimiter: str) -> str:
    """The header line; readers skip a byte-order mark that begins a file, but not one in quotes."""
    line = row_text(columns, delimiter)
    if not line.startswith("\ufeff"):
        return line
    # Not quoted, so there is neither a quote nor a line end in it.
    first = columns[0]
    return f'"{first}"{line[len(first) :]}'


def _quoted(cell: str, delimiter: str) -> str:
    if delimiter in cell or '"' in cell or "\n" in cell or "\r" in cell:
        return '"' + cell.replace('"', '""') + '"'
    return cell
