"""CSV as documents: settings, header, and the documents of any chunk of records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from connectors.file import csvheader
from connectors.file.csvcells import CellError
from connectors.file.csvcuts import sound_cuts
from connectors.file.csvfast import FastTable
from connectors.file.csvnames import RowWriter
from connectors.file.csvsettings import CsvSettings
from connectors.file.csvsyntax import MAX_RECORD_BYTES, CsvError, Dialect, record_end, too_long, whole_records

BOM = b"\xef\xbb\xbf"
_BLANK_LINES = re.compile(rb"(?:\r?\n)*")

__all__ = ["CsvError", "CsvSettings", "CsvTable", "NeedMore"]

Read = Callable[[int, int], bytes]


class NeedMore(Exception):
    """The head of the file does not hold its first record; come again with a longer one."""


class CsvTable:
    """The records of one file under its header.

    `names` are the names of the documents' fields, `body` is where the first record after the header starts, `first_line` the line
    that it is on. A file without any record has no names, and nothing comes of it.
    """

    def __init__(
        self, settings: CsvSettings, head: bytes, final: bool, name: str, *, max_record_bytes: int = MAX_RECORD_BYTES
    ) -> None:
        """`head` are the first bytes of the file, all of them when `final`.

        Raises:
            NeedMore: the first record is longer than the head.
            UsageError: it cannot be told whether the first line names the columns; options name columns that are not there.
            CsvError: the first record is not sound.
        """
        self._name = name
        self._limit = max_record_bytes
        self._dialect = Dialect(settings.delimiter)
        start = self._skip_blank(head, final)
        line = 1 + head.count(b"\n", 0, start)
        end = self._record_end(head, start, final, line)
        first = self._first_row(head[start:end], line)
        header = csvheader.resolve(settings, first, name, line)
        self.names = header.fields
        self.body = end if header.in_file else start
        self.first_line = line + head.count(b"\n", start, self.body)
        types = settings.types_of(header.columns)
        self._writer = RowWriter(header.columns, header.fields, types, settings.null)
        # Names that Extended JSON would take for its own are written document by document.
        plain = header.fields and not self._writer.reserved
        self._fast = FastTable.of(header.fields, types, settings.null, self._dialect) if plain else None

    def _skip_blank(self, head: bytes, final: bool) -> int:
        if not final and len(head) < len(BOM):
            raise NeedMore
        start = len(BOM) if head.startswith(BOM) else 0
        skipped = _BLANK_LINES.match(head, start)
        assert skipped is not None  # it matches nothing at all, too
        return skipped.end()

    def _record_end(self, head: bytes, start: int, final: bool, line: int) -> int:
        end = record_end(head, start)
        if end >= 0:
            return end
        if final:
            return len(head)
        self._refuse_unfinished(head[start:], line)
        raise NeedMore

    def _first_row(self, record: bytes, line: int) -> list[str]:
        fault = self._dialect.first_fault(record, self._limit)
        if fault is not None:
            raise CsvError(self._name, line + record.count(b"\n", 0, fault.offset), fault.reason)
        return next((row for _, row in self._dialect.rows(record)), [])

    def documents(
        self, chunk: bytes, final: bool, line: int, end_of_file: bool = True
    ) -> tuple[Sequence[bytes], int, int, list[int] | None]:
        """Documents of a chunk that starts with a record on `line`, the bytes they took, the next line, and their lines.

        Lines are None when record i starts on `line` + i. No bytes are taken when the chunk does not hold one whole record: come
        again with a longer one. `final` says that nothing of the partition follows the chunk, `end_of_file` that the partition
        ends where the file does; elsewhere it has to end with a whole record.

        Raises:
            CsvError: a record is not sound. Where the partition does not start at the body, its line counts from a start
                that is only proven when the partition before it was read without error; `first_fault` finds the file's own.
        """
        size = len(chunk) if final and end_of_file else whole_records(chunk)
        if not size:
            if final and chunk:
                raise self._crossing(line)
            self._refuse_unfinished(chunk, line)
            return [], 0, line, None
        records = chunk if size == len(chunk) else chunk[:size]
        documents, lines = self._converted(records, line)
        if final and size < len(chunk):
            raise self._crossing(line + records.count(b"\n"))
        if lines is None and len(documents):
            return documents, size, line + len(documents), None
        return documents, size, line + records.count(b"\n"), lines

    def _converted(self, records: bytes, line: int) -> tuple[Sequence[bytes], list[int] | None]:
        if self._fast is not None and len(records) <= self._limit:
            fast = self._fast.documents(records, line)
            if fast is not None:
                return fast
        return self._one_by_one(records, line)

    def _one_by_one(self, records: bytes, line: int) -> tuple[list[bytes], list[int]]:
        fault = self._dialect.first_fault(records, self._limit)
        sound = records if fault is None else records[: fault.record]
        documents: list[bytes] = []
        lines: list[int] = []
        for offset, row in self._dialect.rows(sound):
            if len(row) != len(self.names):
                raise self._ragged(line + offset, len(row))
            try:
                documents.append(self._writer.document(row))
            except CellError as error:
                raise self._mistyped(line + offset, error) from None
            lines.append(line + offset)
        if fault is not None:
            raise CsvError(self._name, line + records.count(b"\n", 0, fault.offset), fault.reason)
        return documents, lines

    def _refuse_unfinished(self, chunk: bytes, line: int) -> None:
        """Raises CsvError where the record that a chunk begins with cannot become sound, whatever follows."""
        fault = self._dialect.fault(chunk, ended=False)
        if fault is not None and fault.offset <= self._limit:
            raise CsvError(self._name, line + chunk.count(b"\n", 0, fault.offset), fault.reason)
        if len(chunk) > self._limit:
            raise CsvError(self._name, line, too_long(self._limit))

    def _ragged(self, line: int, cells: int) -> CsvError:
        wanted = f"{len(self.names)} column{'s' if len(self.names) != 1 else ''}"
        return CsvError(
            self._name,
            line,
            f"{cells} cell{'s' if cells != 1 else ''} where there are {wanted}",
            remedy="add or remove cells, or check --delimiter",
        )

    def _mistyped(self, line: int, error: CellError) -> CsvError:
        remedy = "mend the cell, or change --types"
        if error.empty:
            remedy = "give --null '' to read empty cells as null, or change --types"
        return CsvError(self._name, line, str(error), remedy=remedy)

    def _crossing(self, line: int) -> CsvError:
        return CsvError(
            self._name,
            line,
            "a record goes on where another partition begins",
            remedy="a quote before it is out of place, or the file has changed since it was planned",
        )

    def cuts(self, read: Read, size: int, targets: Iterable[int]) -> list[int]:
        """Starts of records at or soon after the targets (offsets, ascending), between the body and the file's end.

        `read(offset, size)` gives bytes of the file, `size` is the file's. A target for which there is no sound answer gets none.
        """
        return sound_cuts(self._dialect, read, self.body, size, targets, self._limit)

    def first_fault(self, read: Read, size: int, piece_bytes: int = 1 << 20) -> CsvError | None:
        """The first error of the whole file, whose line counts from its start; None when there is none.

        Which error a partition meets depends on the cuts where the file is not sound; this one does not.
        """
        offset, line, wanted = self.body, self.first_line, piece_bytes
        while offset < size:
            piece = read(offset, min(wanted, size - offset))
            try:
                _, taken, line, _ = self.documents(piece, offset + len(piece) >= size, line)
            except CsvError as error:
                return error
            if not taken and len(piece) < min(wanted, size - offset):
                return None
            offset, wanted = offset + taken, piece_bytes if taken else wanted * 2
        return None
