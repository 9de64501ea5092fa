"""Parquet as a layout: batches wait as JSON lines, the file gets a column for every name that stands at the top of a document."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import orjson

from connectors.file import parquetcolumns as columns
from connectors.file.arrow import needed
from connectors.file.layouts import lines_of, opened
from connectors.file.parquetcolumns import Column
from connectors.file.staging import Staged
from dsync import wire
from dsync.codec import jsontext
from dsync.errors import DataError

with needed():
    import pyarrow as pa
    import pyarrow.parquet as pq

# Documents in a row group: large enough to compress well, small enough to be built in memory.
GROUP_ROWS = 20_000

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

_ARROW: dict[str, pa.DataType] = {
    columns.STRING: pa.string(),
    columns.BOOL: pa.bool_(),
    columns.INT: pa.int32(),
    columns.LONG: pa.int64(),
    columns.DOUBLE: pa.float64(),
    columns.DATE: pa.timestamp("ms", tz="UTC"),
    columns.OBJECT_ID: pa.string(),
    columns.BINARY: pa.binary(),
    columns.EJSON: pa.string(),
}


class ParquetLayout:
    """One table; compression is inside the file."""

    appends = False

    def __init__(self, packed: Literal["none", "gzip", "zstd"]) -> None:
        self._packed = packed

    def stage(self, documents: Sequence[bytes], data_type: wire.Type) -> bytes:
        """The documents as lines, each checked to be one that columns can hold."""
        lines = lines_of(documents, data_type)
        for number, line in enumerate(lines, 1):
            _refuse_repeated(line, number)
        return b"".join(map(b"%b\n".__mod__, lines))

    def assemble(self, parts: Sequence[Staged], out: int) -> list[str]:
        """The table of all documents: once through them for the columns, once for the values."""
        known: dict[str, Column] = {}
        rows = 0
        for document in _documents(parts):
            rows += 1
            for name, value in document.items():
                known.setdefault(name, Column()).add(bytes(value))
        schema = _schema(known, rows)
        documents = _documents(parts)
        with (
            io.BufferedWriter(io.FileIO(os.dup(out), "wb")) as file,
            pq.ParquetWriter(file, schema, compression=self._packed) as writer,
        ):
            while group := list(itertools.islice(documents, GROUP_ROWS)):
                writer.write_table(_table(group, schema))
        return []


def _documents(parts: Sequence[Staged]) -> Iterator[dict[str, msgspec.Raw]]:
    for part in parts:
        with opened(part) as descriptor:
            text = os.pread(descriptor, part.size, part.offset)
        for line in text.splitlines():
            yield _fields.decode(line)


def _schema(known: dict[str, Column], rows: int) -> pa.Schema:
    fields = [_field(name, column, rows) for name, column in known.items()]
    if rows and not fields:  # documents without fields: a table needs a column to have rows
        fields = [_field("_id", Column(), rows)]
    return pa.schema(fields)


def _field(name: str, column: Column, rows: int) -> pa.Field[Any]:
    kind = column.kind(rows)
    nulls = kind != columns.EJSON and columns.NULL in column.kinds
    metadata = {columns.METADATA_KIND: kind.encode(), columns.METADATA_NULLS: b"null" if nulls else b"missing"}
    wide = kind == columns.INT and columns.BIG in column.kinds
    return pa.field(name, pa.int64() if wide else _ARROW[kind], metadata=metadata)


def _table(group: Sequence[dict[str, msgspec.Raw]], schema: pa.Schema) -> pa.Table:
    return pa.table([_array(group, field) for field in schema], schema=schema)


def _array(group: Sequence[dict[str, msgspec.Raw]], field: pa.Field[Any]) -> pa.Array[Any]:
    assert field.metadata is not None
    is_text = field.metadata[columns.METADATA_KIND] == columns.EJSON.encode()
    read = _as_text if is_text else _as_value
    cells = [
        None if found is None else read(bytes(found)) for found in (document.get(field.name) for document in group)
    ]
    dates = pa.types.is_timestamp(field.type)
    array: pa.Array[Any] = pa.array(cells, pa.int64() if dates else field.type)
    return array.cast(field.type) if dates else array


def _as_text(found: bytes) -> str:
    return jsontext.one_line(found).decode()


def _as_value(found: bytes) -> columns.Value:
    return columns.parsed(found)[1]


def _refuse_repeated(text: bytes, number: int) -> None:
    """Raises DataError for a key that stands twice: a column has one cell a row."""
    fields = _fields.decode(text)
    members = sum(len(orjson.dumps(name)) + 1 + len(value) for name, value in fields.items())
    if members + max(len(fields) + 1, 2) == len(text):  # compact, so that nothing else has room in it
        return
    if len(json.loads(text, object_pairs_hook=list)) > len(fields):
        raise DataError(f"document {number} of the batch: a key stands twice, and a Parquet column has one cell a row")
