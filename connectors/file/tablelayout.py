"""CSV as a layout: `csvwrite` on staged files, and compression around it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO, overload

from connectors.file import durable
from connectors.file.csvwrite import CsvLayout
from connectors.file.layouts import naming_documents
from connectors.file.staging import Staged
from dsync import wire
from dsync.codec import compression

# Compressed at once; larger members compress little better.
MEMBER_BYTES = 4 << 20


class TableLayout:
    """CSV: batches wait uncompressed with their columns, the file gets the union of all."""

    appends = False

    def __init__(self, layout: CsvLayout, packed: str) -> None:
        self._layout = layout
        self._packed = packed

    def stage(self, documents: Sequence[bytes], data_type: wire.Type) -> bytes:
        """The documents as rows that know their columns."""
        with naming_documents():
            return self._layout.stage(documents, data_type)

    def assemble(self, parts: Sequence[Staged], out: int) -> list[str]:
        """One header, then all rows."""
        with io.BufferedWriter(_Packing(out, self._packed), MEMBER_BYTES) as stream:
            report = self._layout.assemble(_Opened(parts), stream)
        return list(report.notes)


class _Packing(io.RawIOBase):
    """Compresses each piece that is written as a member of its own; at least one."""

    def __init__(self, out: int, packed: str) -> None:
        self._out = out
        self._packed = packed
        self._members = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # any buffer
        durable.write_all(self._out, [compression.compress(self._packed, piece)])
        self._members += 1
        return len(piece)

    def close(self) -> None:
        if not self.closed and not self._members:
            self.write(b"")
        super().close()


class _Opened(Sequence[BinaryIO]):
    """The files of batches where their rows begin; only the last one asked for is open, there may be many thousands."""

    def __init__(self, parts: Sequence[Staged]) -> None:
        self._parts = parts
        self._last: BinaryIO | None = None

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> BinaryIO: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BinaryIO]: ...
    def __getitem__(self, index: int | slice) -> BinaryIO | Sequence[BinaryIO]:
        if isinstance(index, slice):
            return _Opened(self._parts[index])
        if self._last:
            self._last.close()
            self._last = None
        part = self._parts[index]
        self._last = part.path.open("rb")
        self._last.seek(part.offset)
        return self._last
