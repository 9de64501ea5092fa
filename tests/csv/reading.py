"""Reads CSV bytes through the connector's table as a partitioned source would, in chunks of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.file.csvread import CsvError, CsvSettings, CsvTable, NeedMore


@dataclass
class Reading:
    documents: list[bytes] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    fault: CsvError | None = None
    next_line: int = 0


def open_table(settings: CsvSettings, data: bytes, head_bytes: int = 16, limit: int = 1 << 20) -> CsvTable:
    """The table of a file, from a head that is made longer as long as it asks for it."""
    while True:
        try:
            return CsvTable(settings, data[:head_bytes], head_bytes >= len(data), "x.csv", max_record_bytes=limit)
        except NeedMore:
            head_bytes *= 2


def read_range(table: CsvTable, data: bytes, start: int, end: int, line: int, chunk_bytes: int) -> Reading:
    """The documents from `start` to `end`; stops at the first error."""
    reading, wanted = Reading(next_line=line), chunk_bytes
    while start < end:
        chunk = data[start : min(end, start + wanted)]
        final = start + len(chunk) == end
        line = reading.next_line
        try:
            documents, taken, reading.next_line, lines = table.documents(chunk, final, line, end == len(data))
        except CsvError as error:
            reading.fault = error
            return reading
        assert taken or not final, "a final chunk is taken or refused"
        reading.documents += documents
        reading.lines += range(line, line + len(documents)) if lines is None else lines
        start, wanted = start + taken, chunk_bytes if taken else wanted * 2
    return reading


def read_partitioned(table: CsvTable, data: bytes, targets: Sequence[int], chunk_bytes: int) -> Reading:
    """All documents of the file, partition by partition; the fault is the file's first when any partition meets one."""
    cuts = table.cuts(lambda offset, size: data[offset : offset + size], len(data), targets)
    assert cuts == sorted(set(cuts))
    whole = Reading(next_line=table.first_line)
    for start, end in zip([table.body, *cuts], [*cuts, len(data)], strict=True):
        line = table.first_line + data.count(b"\n", table.body, start)
        part = read_range(table, data, start, end, line, chunk_bytes)
        if part.fault is not None:
            whole.fault = table.first_fault(lambda offset, size: data[offset : offset + size], len(data), chunk_bytes)
            assert whole.fault is not None, "a partition refuses only what the file as a whole has wrong"
            return whole
        whole.documents += part.documents
        whole.lines += part.lines
    return whole
