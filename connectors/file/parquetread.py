"""Parquet files as documents: a row is one, a column a field of it."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import orjson

from connectors.file import parquetcolumns as columns
from connectors.file.arrow import needed
from connectors.file.csvcells import extended_date
from connectors.file.cursors import Mark, Part
from connectors.file.format import Chunk
from dsync.errors import CursorError, DataError

with needed():
    import pyarrow as pa
    import pyarrow.parquet as pq

PAGE_BYTES = 64 << 10
MOST_PAGE_ROWS = 10_000

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - timestamps without a zone are taken as UTC
_MILLISECOND = dt.timedelta(milliseconds=1)

_Array: TypeAlias = "pa.Array[Any]"
Texts = Sequence[bytes | None]


class ParquetReader:
    """An open Parquet file. Marks count rows; pages do not cross row groups."""

    def __init__(self, descriptor: int, name: str) -> None:
        """Raises DataError for what is no Parquet file."""
        self._name = name
        self._file = os.fdopen(os.dup(descriptor), "rb")
        try:
            self._table = pq.ParquetFile(self._file)
        except (pa.ArrowException, OSError) as error:
            self._file.close()
            raise DataError(f"{name!r} is not a Parquet file, or damaged") from error
        metadata = self._table.metadata
        self._groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        self._bytes = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        self._fields = [_Field(field) for field in self._table.schema_arrow]
        self._refuse_repeated()
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._next = -1

    def _refuse_repeated(self) -> None:
        names = [field.name for field in self._fields]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            self.close()
            raise DataError(f"{self._name!r} has the column {min(twice)!r} twice")

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def is_far(self, at: Mark) -> bool:
        """Whether rows have to be passed over first."""
        return at.offset != self._next

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(self._groups)

    def marks(self, partition_bytes: int, most: int) -> list[Mark]:
        """Where partitions begin, at row groups, and the end."""
        wanted = max(1, min(most, self._bytes // partition_bytes))
        marks, row = [Mark(0)], 0
        for rows in self._groups:
            if row - marks[-1].offset >= self.rows / wanted:
                marks.append(Mark(row, row + 1))
            row += rows
        return [*marks, Mark(row, 0)]

    def warnings(self) -> list[str]:
        """What of the columns does not come over."""
        fine = [field.name for field in self._fields if field.is_finer_than_dates]
        names = ", ".join(repr(name) for name in fine)
        return [f"timestamps keep their milliseconds, not what is finer: {names} of {self._name!r}"] if fine else []

    def chunk(self, at: Mark, part: Part) -> tuple[Chunk, bool]:
        """The documents of some rows, and whether the partition ends with them."""
        end = part.end.offset if part.end else self.rows
        if at.offset >= end:
            return Chunk([], range(0), at), True
        try:
            batch = self._batch(at.offset, self._page_rows(part.page_bytes))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._name!r} row {at.offset + 1}: the file is damaged") from error
        batch = batch.slice(0, end - at.offset)
        row = at.offset + batch.num_rows
        numbers = range(at.offset + 1, row + 1)
        return Chunk(self._documents(batch, at), numbers, Mark(row, row + 1)), row == end

    def _page_rows(self, page_bytes: int) -> int:
        return max(1, min(MOST_PAGE_ROWS, page_bytes * self.rows // max(1, self._bytes)))

    def _batch(self, row: int, page_rows: int) -> pa.RecordBatch:
        """The rows from this one to the end of its page; pages are counted from the start of the row group."""
        skip = 0
        if row != self._next:
            group, start = self._group_of(row)
            self._batches = self._table.iter_batches(page_rows, row_groups=[group])
            skip = row - start
        batch = next(self._batches, None)
        while batch is not None and skip >= batch.num_rows:
            skip -= batch.num_rows
            batch = next(self._batches, None)
        if batch is None:
            if row == self._next:  # the row group is at its end
                self._next = -1
                return self._batch(row, page_rows)
            raise CursorError("the page's cursor belongs to another partition")
        batch = batch.slice(skip)
        self._next = row + batch.num_rows
        return batch

    def _group_of(self, row: int) -> tuple[int, int]:
        start = 0
        for index, rows in enumerate(self._groups):
            if row < start + rows:
                return index, start
            start += rows
        raise CursorError("the page's cursor belongs to another partition")

    def _documents(self, batch: pa.RecordBatch, at: Mark) -> list[bytes]:
        try:
            cells = [field.texts(batch.column(index)) for index, field in enumerate(self._fields)]
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            place = f"{self._name!r} rows {at.offset + 1} to {at.offset + batch.num_rows}"
            raise DataError(f"{place}: a value has no form in Extended JSON") from error
        if not cells:
            return [b"{}"] * batch.num_rows
        return [b"{%b}" % b",".join(cell for cell in row if cell is not None) for row in zip(*cells, strict=True)]


class _Field:
    """A column: its name, and how its cells become members of an object."""

    def __init__(self, field: pa.Field[Any]) -> None:
        metadata = field.metadata or {}
        kind = metadata.get(columns.METADATA_KIND, b"").decode(errors="replace")
        self.name = field.name
        own = kind in columns.KINDS
        self.is_finer_than_dates = pa.types.is_timestamp(field.type) and field.type.unit in ("us", "ns")
        self._key = orjson.dumps(field.name) + b":"
        self._empty = None if own and metadata.get(columns.METADATA_NULLS) != b"null" else self._key + b"null"
        self._write = _WRITERS[kind] if own else _foreign(field.type)

    def texts(self, array: _Array) -> Texts:
        """The members of the rows; None where a row has none."""
        key, empty = self._key, self._empty
        return [empty if value is None else key + value for value in self._write(array)]


def _foreign(kind: pa.DataType) -> Callable[[_Array], Texts]:
    if pa.types.is_timestamp(kind):
        return _dates
    if pa.types.is_integer(kind):
        return _integers
    if pa.types.is_floating(kind):
        return _doubles
    return _values


def _strings(array: _Array) -> Texts:
    return [None if value is None else orjson.dumps(value) for value in array.to_pylist()]


def _booleans(array: _Array) -> Texts:
    return [None if value is None else (b"true" if value else b"false") for value in array.to_pylist()]


def _integers(array: _Array) -> Texts:
    return [None if value is None else b"%d" % value for value in array.to_pylist()]


def _longs(array: _Array) -> Texts:
    return [None if value is None else _long(value) for value in array.to_pylist()]


def _long(value: int) -> bytes:
    return b'{"$numberLong":"%d"}' % value if -(1 << 31) <= value < 1 << 31 else b"%d" % value


def _doubles(array: _Array) -> Texts:
    return [None if value is None else _double(value) for value in array.to_pylist()]


def _double(value: float) -> bytes:
    if value - value == 0:
        return orjson.dumps(value)
    name = b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity"
    return b'{"$numberDouble":"%b"}' % name


def _dates(array: _Array) -> Texts:
    milliseconds = array.cast(pa.timestamp("ms", array.type.tz), safe=False).cast(pa.int64())
    return [None if value is None else extended_date(value) for value in milliseconds.to_pylist()]


def _object_ids(array: _Array) -> Texts:
    return [None if value is None else b'{"$oid":%b}' % orjson.dumps(value) for value in array.to_pylist()]


def _ejson(array: _Array) -> Texts:
    return [None if value is None else value.encode() for value in array.to_pylist()]


def _values(array: _Array) -> Texts:
    return [None if value is None else _value(value) for value in array.to_pylist()]


def _value(value: object) -> bytes:
    """The Extended JSON of what pyarrow makes of a cell of somebody else's file."""
    match value:
        case None | bool() | str():
            return orjson.dumps(value)
        case int():
            return b"%d" % value
        case float():
            return _double(value)
        case bytes():
            return b'{"$binary":{"base64":"%b","subType":"00"}}' % base64.b64encode(value)
        case decimal.Decimal():
            return b'{"$numberDecimal":"%b"}' % str(value).encode()
        case dt.datetime():
            return extended_date(
                (value.astimezone(dt.UTC).replace(tzinfo=None) - _EPOCH if value.tzinfo else value - _EPOCH)
                // _MILLISECOND
            )
        case dt.date():
            return extended_date((value - _EPOCH.date()) // _MILLISECOND)
        case dict():
            return b"{%b}" % b",".join(orjson.dumps(str(key)) + b":" + _value(item) for key, item in value.items())
        case list() | tuple():
            return b"[%b]" % b",".join(map(_value, value))
    return orjson.dumps(str(value))


_WRITERS: dict[str, Callable[[_Array], Texts]] = {
    columns.STRING: _strings,
    columns.BOOL: _booleans,
    columns.INT: _integers,
    columns.LONG: _longs,
    columns.DOUBLE: _doubles,
    columns.DATE: _dates,
    columns.OBJECT_ID: _object_ids,
    columns.BINARY: _values,
    columns.EJSON: _ejson,
}
