"""CSV files as a format: what `csvread` says of chunks, in places and partitions."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.file.content import Content
from connectors.file.csvread import CsvSettings, CsvTable, NeedMore
from connectors.file.cursors import NOT_COUNTED, Mark
from connectors.file.format import MAX_RECORD_BYTES, Chunk, Rest, refuse_foreign_text

HEAD_BYTES = 64 << 10


class CsvFormat:
    """One CSV file under its header, which is read when the format is made; raises UsageError and DataError then."""

    page_bytes = 64 << 10

    def __init__(self, settings: CsvSettings, content: Content, name: str) -> None:
        self._table = _table(settings, content, name)

    def start(self, content: Content) -> Mark:
        """The place of the first record after the header."""
        return Mark(self._table.body, self._table.first_line)

    def split(self, piece: bytes, at: Mark, rest: Rest) -> Chunk:
        """The documents of the whole records of a piece."""
        documents, taken, line, lines = self._table.documents(piece, rest is not Rest.MORE, at.number, rest is Rest.END)
        numbers = range(at.number, at.number + len(documents)) if lines is None else lines
        return Chunk(documents, numbers, Mark(at.offset + taken, line))

    def cuts(self, content: Content, start: Mark, size: int, targets: Iterable[int]) -> list[Mark]:
        """Starts of records near the targets; their lines are not counted."""
        offsets = self._table.cuts(content.read, size, targets)
        return [Mark(offset, NOT_COUNTED) for offset in offsets if start.offset < offset < size]


def _table(settings: CsvSettings, content: Content, name: str) -> CsvTable:
    size = HEAD_BYTES
    while True:
        head = content.read(0, size)
        refuse_foreign_text(head, name)
        try:
            return CsvTable(settings, head, len(head) < size, name)
        except NeedMore:
            size = min(size * 4, 2 * MAX_RECORD_BYTES)
