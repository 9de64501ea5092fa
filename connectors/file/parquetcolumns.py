"""What a Parquet column holds, and how its values look in Extended JSON.

A column has a native type where all its values agree: strings, true and false, int32, int64, doubles, dates (timestamps in
milliseconds, UTC), ObjectIds (their hexadecimal digits), binary of subtype 0. Anything else, and a column in which values of
several of these meet, is Extended JSON as text. An empty cell is a missing field; in a column where no field is missing it is
null; where both occur, the column is Extended JSON, and null is the text `null`. The field's metadata name the kind, so that what
is read is what was written, but for the order of a document's keys, which is that of the columns.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct, field

# Keys of a field's metadata: the kind of its values, and whether an empty cell is null.
METADATA_KIND = b"dsync.kind"
METADATA_NULLS = b"dsync.nulls"

STRING, BOOL, INT, LONG, DOUBLE = "string", "bool", "int", "long", "double"
DATE, OBJECT_ID, BINARY, EJSON = "date", "objectId", "binary", "ejson"
KINDS = frozenset({STRING, BOOL, INT, LONG, DOUBLE, DATE, OBJECT_ID, BINARY, EJSON})
# Kinds of values only, not of columns: a number that is 64 bits without saying so, and null.
BIG, NULL = "big", "null"

Value = str | bool | int | float | bytes | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_INTEGER = re.compile(rb"-?[0-9]{1,19}")
_INT32, _INT64 = range(-(1 << 31), 1 << 31), range(-(1 << 63), 1 << 63)
_text = msgspec.json.Decoder(str).decode


class Column(Struct):
    """What the values of a column have been so far."""

    kinds: set[str] = field(default_factory=set)
    present: int = 0

    def add(self, values: Sequence[bytes]) -> None:
        """Takes note of the Extended JSON of values."""
        self.present += len(values)
        if {value[:1] for value in values} <= {b'"'}:
            self.kinds.update([STRING] if values else [])
        else:
            self.kinds.update(parsed(value)[0] for value in values)

    def kind(self, rows: int) -> str:
        """The kind of the column when the table has this many rows."""
        kinds = self.kinds - {NULL}
        if NULL in self.kinds and self.present < rows:
            return EJSON
        if not kinds:
            return STRING
        if kinds <= {INT, BIG}:
            return INT
        if kinds <= {LONG, BIG}:
            return LONG
        return kinds.pop() if len(kinds) == 1 else EJSON


def parsed(value: bytes) -> tuple[str, Value]:
    """The kind of a value's Extended JSON, and the value as it stands in a column of that kind."""
    first = value[:1]
    if first == b'"':
        return STRING, _text(value)
    if first == b"{":
        return _wrapped(value)
    if first in (b"t", b"f"):
        return BOOL, first == b"t"
    if first == b"n":
        return NULL, None
    return (EJSON, None) if first == b"[" else _number(value)


def _number(value: bytes) -> tuple[str, Value]:
    if _INTEGER.fullmatch(value):
        number = int(value)
        return (INT if number in _INT32 else BIG if number in _INT64 else EJSON), number
    double = float(value) if any(sign in value for sign in b".eE") else math.inf
    return (DOUBLE, double) if math.isfinite(double) else (EJSON, None)


def _wrapped(value: bytes) -> tuple[str, Value]:
    for pattern, read in _WRAPPERS:
        if match := pattern.fullmatch(value):
            kind, plain = read(match[1])
            return kind, plain
    return EJSON, None


def _object_id(digits: bytes) -> tuple[str, Value]:
    return OBJECT_ID, digits.decode()


def _long(digits: bytes) -> tuple[str, Value]:
    number = int(digits)
    return (LONG if number in _INT32 else BIG, number) if number in _INT64 else (EJSON, None)


def _int(digits: bytes) -> tuple[str, Value]:
    number = int(digits)
    return (INT, number) if number in _INT32 else (EJSON, None)


def _double(text: bytes) -> tuple[str, Value]:
    return DOUBLE, float(text)


def _date(text: bytes) -> tuple[str, Value]:
    try:
        instant = datetime.fromisoformat(text.decode())
    except ValueError:
        return EJSON, None
    return DATE, (instant - _EPOCH) // _MILLISECOND


def _milliseconds(digits: bytes) -> tuple[str, Value]:
    number = int(digits)
    return (DATE, number) if number in _INT64 else (EJSON, None)


def _binary(text: bytes) -> tuple[str, Value]:
    try:
        return BINARY, base64.b64decode(text, validate=True)
    except ValueError:
        return EJSON, None


def _wrapper(name: str, content: str) -> re.Pattern[bytes]:
    pattern = rf'\{{ "\${name}" : {content} \}}'.replace(" ", r"[ \t\r\n]*")
    return re.compile(pattern.encode())


_WRAPPERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], tuple[str, Value]]], ...] = (
    (_wrapper("oid", '"([0-9a-f]{24})"'), _object_id),
    (_wrapper("date", r'"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z)"'), _date),
    (_wrapper("date", r'\{ "\$numberLong" : "(-?[0-9]{1,19})" \}'), _milliseconds),
    (_wrapper("numberLong", '"(-?[0-9]{1,19})"'), _long),
    (_wrapper("numberInt", '"(-?[0-9]{1,10})"'), _int),
    (_wrapper("numberDouble", r'"(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?Infinity|NaN)"'), _double),
    (_wrapper("binary", r'\{ "base64" : "([A-Za-z0-9+/]*={0,2})" , "subType" : "00" \}'), _binary),
)
