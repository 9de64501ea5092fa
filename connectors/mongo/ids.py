"""How an `_id` is shown in messages."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from bson.decimal128 import Decimal128

from dsync.codec import raw

STRINGS = frozenset({raw.STRING, raw.SYMBOL})
NAMES = {
    raw.DOUBLE: "double",
    raw.STRING: "string",
    raw.DOCUMENT: "document",
    raw.ARRAY: "array",
    raw.BINARY: "binary",
    raw.UNDEFINED: "undefined",
    raw.OBJECT_ID: "ObjectId",
    raw.BOOLEAN: "boolean",
    raw.DATE: "date",
    raw.NULL: "null",
    raw.REGEX: "regular expression",
    raw.DB_POINTER: "DBPointer",
    raw.CODE: "code",
    raw.SYMBOL: "symbol",
    raw.CODE_WITH_SCOPE: "code with scope",
    raw.INT32: "int32",
    raw.TIMESTAMP: "timestamp",
    raw.INT64: "int64",
    raw.DECIMAL128: "Decimal128",
    raw.MIN_KEY: "MinKey",
    raw.MAX_KEY: "MaxKey",
}
SHOWN_CHARACTERS = 60


def show(kind: int, value: bytes) -> str:
    """An id for a message: its type, and its value where that is short and one thing."""
    name = NAMES.get(kind, f"type {kind}")
    text = _value_text(kind, value)
    return f"{name} {text[:SHOWN_CHARACTERS]}{'…' if len(text) > SHOWN_CHARACTERS else ''}" if text else name


def _value_text(kind: int, value: bytes) -> str:
    if kind == raw.DOUBLE:
        return str(struct.unpack("<d", value)[0])
    if kind == raw.DECIMAL128:
        return str(Decimal128.from_bid(value))
    if kind in {raw.INT32, raw.INT64}:
        return str(int.from_bytes(value, "little", signed=True))
    if kind in STRINGS:
        return repr(value[4:-1].decode(errors="replace"))
    if kind == raw.OBJECT_ID:
        return value.hex()
    if kind == raw.BOOLEAN:
        return str(value != b"\0").lower()
    if kind == raw.BINARY:
        return value[5:].hex()
    if kind == raw.DATE:
        return _date_text(int.from_bytes(value, "little", signed=True))
    return ""


def _date_text(milliseconds: int) -> str:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)).isoformat()
    except OverflowError:
        return f"{milliseconds} ms"
