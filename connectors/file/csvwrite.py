"""Documents as CSV: batches are staged as they come, each with its own columns, and become one file under one header.

A staged batch is a line of JSON that describes it, then its rows as they will stand in the file.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from connectors.file.csvdocuments import parsed
from connectors.file.csvreport import notes_on
from connectors.file.csvstaging import Staging, Summary, header_text, row_text
from connectors.file.csvsyntax import Dialect
from connectors.file.csvtext import ExtendedText, PlainText
from dsync import wire
from dsync.codec import convert
from dsync.errors import DataError, UsageError


class CsvReport(Struct, frozen=True):
    """What was written: how many documents, and what their text does not say about them."""

    documents: int
    notes: tuple[str, ...]


class CsvLayout(Struct, frozen=True):
    """How CSV is written.

    `types` is plain or ejson; `columns` come first in the header, in this order, whether or not documents have them; `null` is
    the text of null in the plain form, an empty cell when None. Line ends are LF.

    Raises:
        UsageError: an unknown form, or a delimiter that cannot be one.
    """

    types: str = "plain"
    delimiter: str = ","
    columns: tuple[str, ...] = ()
    null: str | None = None

    def __post_init__(self) -> None:
        Dialect(self.delimiter)
        if self.types not in ("plain", "ejson"):
            raise UsageError(f"--types {self.types!r} is no form to write CSV in", remedy="use plain or ejson")
        if self.types == "ejson" and self.null is not None:
            raise UsageError(r"--null does not go with --types ejson", remedy=r"leave --null out: there \N means null")

    def stage(self, documents: Sequence[bytes], data_type: wire.DataType.ValueType) -> bytes:
        """The documents as a batch to be kept until `assemble`; the same documents give the same bytes.

        Raises:
            RecordError: a document is not sound.
        """
        texts = convert(documents, data_type, wire.EXTENDED_JSON)
        plain = self.types == "plain"
        staging = Staging(self.delimiter, self.columns, PlainText(self.null) if plain else ExtendedText())
        for group in parsed(texts, unpack=plain):
            staging.add(group)
        return staging.finish(self.types)

    def assemble(self, parts: Sequence[BinaryIO | Path], out: BinaryIO) -> CsvReport:
        """Writes the staged batches as one file: a header of all their columns in order of appearance, then their rows.

        Paths are opened one at a time; streams are read from where they stand. Without any column the file is empty, or has
        one column without a name when there are documents without fields.

        Raises:
            DataError: a part is not a batch of this layout.
        """
        summaries = [summary for summary, _ in self._opened(parts)]
        columns = tuple(dict.fromkeys((*self.columns, *(name for summary in summaries for name in summary.columns))))
        documents = sum(summary.documents for summary in summaries)
        if columns or documents:
            out.write(header_text(columns or ("",), self.delimiter).encode())
        for summary, rows in self._opened(parts):
            self._write_rows(summary, rows, columns, out)
        return CsvReport(documents, notes_on(self.types, columns, summaries))

    def _opened(self, parts: Iterable[BinaryIO | Path]) -> Iterator[tuple[Summary, BinaryIO]]:
        """Each part's summary, and the part where its rows begin."""
        for part in parts:
            with ExitStack() as stack:
                stream = stack.enter_context(part.open("rb")) if isinstance(part, Path) else part
                start = stream.tell()
                yield self._summary(stream), stream
                if not isinstance(part, Path):
                    stream.seek(start)

    def _summary(self, stream: BinaryIO) -> Summary:
        try:
            summary = msgspec.json.decode(stream.readline(), type=Summary)
        except msgspec.MsgspecError:
            raise DataError("a staged part is not a CSV batch", remedy="run with --restart") from None
        if (summary.version, summary.types, summary.delimiter) != (Summary.VERSION, self.types, self.delimiter):
            raise DataError("a staged part is a CSV batch of another layout", remedy="run with --restart")
        return summary

    def _write_rows(self, summary: Summary, rows: BinaryIO, columns: Sequence[str], out: BinaryIO) -> None:
        if tuple(summary.columns) == tuple(columns):
            shutil.copyfileobj(rows, out, 1 << 20)
            return
        text = rows.read()
        width = len(summary.columns)
        if width and tuple(summary.columns) == tuple(columns[:width]) and b'"' not in text:
            out.write(text.replace(b"\n", self.delimiter.encode() * (len(columns) - width) + b"\n"))
            return
        out.write(self._laid_out(text.decode(), summary.columns, columns).encode())

    def _laid_out(self, text: str, own: Sequence[str], columns: Sequence[str]) -> str:
        """The rows with a cell for each of the file's columns."""
        place = {name: at for at, name in enumerate(own)}
        places = [place.get(name, len(own)) for name in columns]
        reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=self.delimiter, strict=True)
        extended = ([*row[: len(own)], ""] for row in reader)
        return "".join(row_text([row[at] for at in places], self.delimiter) for row in extended)
