"""The type wrappers of Extended JSON v2, and the older forms that cannot be mistaken: parsed JSON -> values for BSON."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import DecimalException
from typing import Any

from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from dsync.codec import raw
from dsync.codec.encoder import Element, c_string, encode, string
from dsync.codec.errors import InvalidBson, UnsoundRecord

DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|NaN|[+-]?Infinity")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_SUBTYPE = re.compile(r"(?:[fF]{6})?[0-9a-fA-F]{2}|[0-9a-fA-F]")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_ISO_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,3})0*)?"
    r"(?:([Zz])|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as `bson` encodes: UTC without saying so
_MILLISECOND = timedelta(milliseconds=1)


def revive(document: dict[str, Any]) -> Any:
    """The document with every type wrapper in it replaced by its value; changed in place.

    Raises:
        UnsoundRecord: a wrapper that Extended JSON defines is malformed.
    """
    if len(document) == 1:
        for name, value in document.items():
            read = _SINGLE.get(name)
            if read is not None:
                return _read_single(name, read, value)
    if not _READ.isdisjoint(document):
        return _wrapped(document)
    return _revive_values(document)


def revive_record(record: dict[str, Any], marks: int) -> Any:
    """The same for a whole record, which has at most that many dollar signs in its text.

    Most records have their few wrappers at the top: after the last dollar sign there is nothing left to find.
    """
    if not _READ.isdisjoint(record):
        return revive(record)
    for key, value in record.items():
        kind = type(value)
        if kind is dict:
            revived = record[key] = revive(value)
            if type(revived) is not dict:
                marks -= 1
                if not marks:
                    break
        elif kind is list:
            _revive_list(value)
    return record


def _revive_values(document: dict[str, Any]) -> dict[str, Any]:
    for key, value in document.items():
        kind = type(value)
        if kind is dict:
            document[key] = revive(value)
        elif kind is list:
            _revive_list(value)
    return document


def _revive_list(values: list[Any]) -> None:
    for index, value in enumerate(values):
        kind = type(value)
        if kind is dict:
            values[index] = revive(value)
        elif kind is list:
            _revive_list(value)


def _read_single(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except UnsoundRecord:
        raise
    except (TypeError, ValueError) as error:
        raise UnsoundRecord(f"a malformed {name}") from error


def _wrapped(document: dict[str, Any]) -> Any:
    """An object of several keys, some of which are a wrapper's."""
    names = _READ.intersection(document)
    if names == {"$regex"}:
        return _legacy_regex(document)
    if document.keys() == {"$code", "$scope"}:
        return _read_single("$code", _code_with_scope, document)
    if document.keys() == {"$binary", "$type"}:
        return _read_single("$binary", _legacy_binary, document)
    raise UnsoundRecord(f"a {min(names)} with other keys beside it")


def _string(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("not a string")
    return value


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not pattern.fullmatch(value):
        raise ValueError("not of that form")
    return str(value)


def _fields(value: Any, *names: str) -> list[Any]:
    if type(value) is not dict or value.keys() != set(names):
        raise TypeError("other keys")
    return [value[name] for name in names]


def _object_id(value: Any) -> ObjectId:
    data = bytes.fromhex(value)  # skips blanks
    if len(data) != 12 or len(value) != 24:
        raise ValueError("not 24 hexadecimal digits")
    return ObjectId(data)


def _integer(value: Any) -> int:
    number = int(_string(value)) if len(value) < 21 else 0
    if str(number) != value:  # int() takes blanks, underscores and every script's digits
        number = int(_matching(_INTEGER, value))
    return number


def _number_int(value: Any) -> int:
    number = _integer(value)
    if not -0x80000000 <= number <= 0x7FFFFFFF:
        raise UnsoundRecord("a $numberInt outside 32 bits")
    return number


def _number_long(value: Any) -> Int64:
    return Int64(_long(value))


def _long(value: Any) -> int:
    number = _integer(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise UnsoundRecord("a $numberLong outside 64 bits")
    return number


def _number_double(value: Any) -> Any:
    if value in _NOT_FINITE:
        return _NOT_FINITE[value]
    number = float(_matching(_NUMBER, value))
    if number in (float("inf"), float("-inf")):
        raise UnsoundRecord("a $numberDouble outside the range of doubles")
    return number


_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def _number_decimal(value: Any) -> Decimal128:
    try:
        return Decimal128(_matching(DECIMAL, value))
    except DecimalException as error:
        raise UnsoundRecord("a $numberDecimal that 128 bits cannot hold exactly") from error


def _date(value: Any) -> datetime | DatetimeMS:
    if type(value) is int:  # as old tools wrote
        return DatetimeMS(_long(str(value)))
    if type(value) is dict:
        return DatetimeMS(_long(*_fields(value, "$numberLong")))
    text = _string(value)
    if len(text) == 24 and text[4:20:3] == "--T::." and text[20:23].isdecimal() and text[23] == "Z":  # as most write it
        return datetime.fromisoformat(text[:23])
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        raise UnsoundRecord("a $date that is not an ISO date with a time zone and no finer than a millisecond")
    day, time, fraction, zulu, sign, hours, minutes = match.groups()
    moment = datetime.fromisoformat(f"{day}T{time}")
    milliseconds = (moment - _EPOCH) // _MILLISECOND + int((fraction or "0").ljust(3, "0"))
    if not zulu:
        offset = (int(hours) * 60 + int(minutes or 0)) * 60_000
        milliseconds -= -offset if sign == "-" else offset
    return DatetimeMS(milliseconds)


def _binary(value: Any) -> bytes | Binary:
    content, subtype = _fields(value, "base64", "subType")
    return _bytes(content, subtype)


def _bytes(content: Any, subtype: Any) -> bytes | Binary:
    data = base64.b64decode(_string(content), validate=True)
    number = int(_matching(_SUBTYPE, subtype)[-2:], 16)
    return Binary(data, number) if number else data


def _legacy_binary(document: dict[str, Any]) -> bytes | Binary:
    subtype = document["$type"]
    return _bytes(document["$binary"], f"{subtype:02x}" if type(subtype) is int else subtype)


def _uuid(value: Any) -> Binary:
    return Binary(uuid.UUID(_matching(_UUID, value)).bytes, 4)


def _timestamp(value: Any) -> Timestamp:
    seconds, increment = _fields(value, "t", "i")
    if type(seconds) is not int or type(increment) is not int:
        raise TypeError("not integers")
    return Timestamp(seconds, increment)


def _regular_expression(value: Any) -> Element:
    pattern, options = _fields(value, "pattern", "options")
    return _regex(pattern, options)


def _regex(pattern: Any, options: Any) -> Element:
    return Element(raw.REGEX, c_string(_string(pattern)) + c_string("".join(sorted(_string(options)))))


def _legacy_regex(document: dict[str, Any]) -> Any:
    pattern, options = document["$regex"], document.get("$options")
    if len(document) == 2 and type(pattern) is str and type(options) is str:
        return _regex(pattern, options)
    return _revive_values(document)  # a query that somebody stored


def _code(value: Any) -> Element:
    return Element(raw.CODE, string(_string(value)))


def _symbol(value: Any) -> Element:
    return Element(raw.SYMBOL, string(_string(value)))


def _code_with_scope(document: dict[str, Any]) -> Element:
    scope = document["$scope"]
    if type(scope) is not dict:
        raise TypeError("not a document")
    variables = revive(scope)
    if type(variables) is Element and variables.kind == raw.DOCUMENT:
        scope_bytes = variables.value
    elif type(variables) is dict:
        scope_bytes = encode(variables, 1)
    else:
        raise TypeError("not a document")
    content = string(_string(document["$code"])) + scope_bytes
    return Element(raw.CODE_WITH_SCOPE, (len(content) + 4).to_bytes(4, "little") + content)


def _db_pointer(value: Any) -> Element:
    name, pointed = _fields(value, "$ref", "$id")
    return Element(raw.DB_POINTER, string(_string(name)) + _object_id(*_fields(pointed, "$oid")).binary)


def _one(make: Callable[[], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not int or value != 1:
            raise TypeError("not 1")
        return make()

    return read


def _undefined(value: Any) -> Element:
    if value is not True:
        raise TypeError("not true")
    return Element(raw.UNDEFINED, b"")


def _bson(value: Any) -> Element:
    document = base64.b64decode(_string(value), validate=True)
    try:
        raw.check(document, strict=False)
    except InvalidBson as error:
        raise UnsoundRecord(f"a $bson that is not BSON: {error.message}") from error
    return Element(raw.DOCUMENT, document)


_SINGLE: dict[str, Callable[[Any], Any]] = {
    "$binary": _binary,
    "$bson": _bson,
    "$code": _code,
    "$date": _date,
    "$dbPointer": _db_pointer,
    "$maxKey": _one(MaxKey),
    "$minKey": _one(MinKey),
    "$numberDecimal": _number_decimal,
    "$numberDouble": _number_double,
    "$numberInt": _number_int,
    "$numberLong": _number_long,
    "$oid": _object_id,
    "$regularExpression": _regular_expression,
    "$symbol": _symbol,
    "$timestamp": _timestamp,
    "$undefined": _undefined,
    "$uuid": _uuid,
}
_READ = frozenset({*_SINGLE, "$regex"})

# A document with one of these keys of its own cannot be written as it stands: some reader would take it for a wrapper.
WRITTEN = _READ
