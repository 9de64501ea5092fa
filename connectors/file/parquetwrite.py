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
from dsync.errors import DataError

with needed():
    import pyarrow as pa
    import pyarrow.parquet as pq

# Documents in a row group: large enough to compress well, small enough to be built in memory.
GROUP_ROWS = 20_000

_strings = msgspec.json.Decoder(list[str | None]).decode
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
        for number, line in enumerate(lines.splitlines(), 1):
            _refuse_repeated(line.strip(), number)
        return lines

    def assemble(self, parts: Sequence[Staged], out: int) -> list[str]:
        """The table of all documents: once through them for the columns, once for the values."""
        known: dict[str, Column] = {}
        rows = 0
        for group in _groups(parts):
            rows += len(group)
            for name in dict.fromkeys(itertools.chain.from_iterable(group)):
                column = known.setdefault(name, Column())
                column.add([bytes(document[name]) for document in group if name in document])
        schema = _schema(known, rows)
        with (
            io.BufferedWriter(io.FileIO(os.dup(out), "wb")) as file,
            pq.ParquetWriter(file, schema, compression=self._packed) as writer,
        ):
            for group in _groups(parts):
                writer.write_table(_table(group, schema))
        return []


def _groups(parts: Sequence[Staged]) -> Iterator[list[dict[str, msgspec.Raw]]]:
    documents = _documents(parts)
    while group := list(itertools.islice(documents, GROUP_ROWS)):
        yield group


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
    cells = _cells([document.get(field.name) for document in group], field.metadata[columns.METADATA_KIND].decode())
    dates = pa.types.is_timestamp(field.type)
    array: pa.Array[Any] = pa.array(cells, pa.int64() if dates else field.type)
    return array.cast(field.type) if dates else array


def _cells(found: Sequence[msgspec.Raw | None], kind: str) -> Sequence[columns.Value]:
    if kind == columns.EJSON:
        return [None if value is None else bytes(value).decode() for value in found]
    values = [b"null" if value is None else bytes(value) for value in found]
    return (
        _strings(b"[%b]" % b",".join(values))
        if kind == columns.STRING
        else [columns.parsed(value)[1] for value in values]
    )


def _refuse_repeated(text: bytes, number: int) -> None:
    """Raises DataError for a key that stands twice: a column has one cell a row."""
    fields = _fields.decode(text)
    members = sum(len(orjson.dumps(name)) + 1 + len(value) for name, value in fields.items())
    if members + max(len(fields) + 1, 2) == len(text):  # compact, so that nothing else has room in it
        return
    if len(json.loads(text, object_pairs_hook=list)) > len(fields):
        raise DataError(f"document {number} of the batch: a key stands twice, and a Parquet column has one cell a row")
