"""How batches become a file, format by format: what is staged, and how that is put together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from connectors.file import durable, kinds
from connectors.file.bsonformat import first_flaw
from connectors.file.settings import Settings
from connectors.file.staging import Staged
from dsync import codec, wire
from dsync.codec import compression, jsontext
from dsync.errors import DataError


class Layout(Protocol):
    """One format as it is written."""

    # Whether a file may be continued by what `stage` makes.
    appends: bool

    def stage(self, documents: Sequence[bytes], data_type: wire.Type) -> bytes:
        """A batch in the form in which it waits."""

    def assemble(self, parts: Sequence[Staged], out: int) -> list[str]:
        """Writes the file of these batches, in order, to a descriptor; answers what of the documents it could not hold."""


def layout_of(kind: kinds.Kind, settings: Settings) -> Layout:
    """The layout of a destination of this kind. Raises UsageError where a package is missing."""
    if kind.format == kinds.PARQUET:
        from connectors.file.parquetwrite import ParquetLayout  # brings pyarrow, which is an extra

        return ParquetLayout("gzip" if kind.compression == "gzip" else "zstd" if kind.compression == "zstd" else "none")
    if kind.format == kinds.CSV:
        from connectors.file.tablelayout import TableLayout  # it uses what is below

        return TableLayout(settings.csv_layout(kind.delimiter), kind.compression)
    if kind.format == kinds.JSON:
        return ArrayLayout(kind.compression)
    return BsonLayout(kind.compression) if kind.format == kinds.BSON else LinesLayout(kind.compression)


@runtime_checkable
class TakesLines(Protocol):
    """A layout of text."""

    def stage_lines(self, text: bytes) -> bytes:
        """The same as `stage` of documents that are lines of sound JSON already."""


class LinesLayout:
    """JSON lines: batches one after another, each compressed on its own."""

    appends = True

    def __init__(self, packed: str) -> None:
        self._packed = packed

    def stage(self, documents: Sequence[bytes], data_type: wire.Type) -> bytes:
        """The documents as lines."""
        return self.stage_lines(lines_of(documents, data_type))

    def stage_lines(self, text: bytes) -> bytes:
        """As they are."""
        return compression.compress(self._packed, text)

    def assemble(self, parts: Sequence[Staged], out: int) -> list[str]:
        """The batches one after another."""
        return _joined(parts, out, self._packed)


class BsonLayout:
    """BSON documents one after another, each batch compressed on its own."""

    appends = True

    def __init__(self, packed: str) -> None:
        self._packed = packed

    def stage(self, documents: Sequence[bytes], data_type: wire.Type) -> bytes:
        """The documents one after another."""
        with naming_documents():
            if data_type == wire.BSON and (flaw := first_flaw(documents)):
                raise codec.RecordError(flaw[0], f"it {flaw[1]}")
            return compression.compress(self._packed, b"".join(codec.convert(documents, data_type, wire.BSON)))

    def assemble(self, parts: Sequence[Staged], out: int) -> list[str]:
        """The batches one after another."""
        return _joined(parts, out, self._packed)


class ArrayLayout:
    """A JSON array, an element a line; brackets and the commas between batches come when the file is made."""

    appends = False

    def __init__(self, packed: str) -> None:
        self._packed = packed

    def stage(self, documents: Sequence[bytes], data_type: wire.Type) -> bytes:
        """The elements, commas between them."""
        return self.stage_lines(lines_of(documents, data_type))

    def stage_lines(self, text: bytes) -> bytes:
        """As elements."""
        return compression.compress(self._packed, text[:-1].replace(b"\n", b",\n"))

    def assemble(self, parts: Sequence[Staged], out: int) -> list[str]:
        """The array."""
        filled = [part for part in parts if part.documents]
        for index, part in enumerate(filled):
            self._text(b",\n" if index else b"[\n", out)
            with opened(part) as source:
                durable.copy_range(source, part.offset, part.size, out)
        self._text(b"\n]\n" if filled else b"[]\n", out)
        return []

    def _text(self, text: bytes, out: int) -> None:
        durable.write_all(out, [compression.compress(self._packed, text)])


def lines_of(documents: Sequence[bytes], data_type: wire.Type) -> bytes:
    """The documents as Extended JSON, each on a line. Raises DataError that names a document that is none."""
    with naming_documents():
        texts = codec.convert(documents, data_type, wire.EXTENDED_JSON)
        if data_type != wire.BSON:  # text was taken as it stands
            jsontext.check(texts)
    return jsontext.to_lines(texts)


@contextmanager
def naming_documents() -> Iterator[None]:
    """Makes a refused record of a batch a DataError that names the document."""
    try:
        yield
    except codec.RecordError as error:
        remedy = "documents need an _id to be written as BSON" if "_id" in error.reason else ""
        raise DataError(f"document {error.index + 1} of the batch: {error.reason}", remedy=remedy) from error


@contextmanager
def opened(part: Staged) -> Iterator[int]:
    """A descriptor of the file of a batch."""
    descriptor = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _joined(parts: Sequence[Staged], out: int, packed: str) -> list[str]:
    with durable.synced_early(out) as grown:
        for part in parts:
            with opened(part) as source:
                durable.copy_range(source, part.offset, part.size, out)
            grown(part.size)
    if not parts:
        durable.write_all(out, [compression.compress(packed, b"")])
    return []
