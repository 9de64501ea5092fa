"""What a cell's text means: the types of `--types`, each a rule from text to a value of Extended JSON.

`infer` looks at one cell at a time, so that its answer depends on no other row. It turns a cell into a value only where
nothing about the text can have meant more than the value says:

int         -?digits without a leading zero, within 64 bits, but not -0 (int32 where it fits, else int64, as JSON numbers are read)
double      -?digits.digits without a leading zero, where the nearest double is that very number to its last digit
bool        true, false
date        2024-01-31T23:59:59Z, with at most three decimals, with Z or an offset such as +02:00
null        the token of `--null`, when there is one

Everything else is a string: 007, +5, 1e5, 1e400, .5, NaN, True, a date without time or zone, the empty cell.
"""

from __future__ import annotations

import base64
import binascii
import decimal
import re
import urllib.parse
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import orjson
from bson.decimal128 import Decimal128
from msgspec import Struct

from dsync.errors import UsageError

_LONGEST_NUMBER = 400  # no 64-bit integer, double or Decimal128 needs more characters
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_SIGNED_INT = re.compile(r"[+-]?[0-9]+")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_UNTYPED_NUMBERS = {"NaN": "NaN", "Infinity": "Infinity", "+Infinity": "Infinity", "-Infinity": "-Infinity"}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - all arithmetic here is in UTC
_LAST_RELAXED = 253402300800000  # the first millisecond of year 10000
_WHITESPACE = " \t\r\n"
_JSON_WHITESPACE = str.maketrans("\n\r\t", "   ")

_NUMBER_STARTS = frozenset("-0123456789")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?([eE][+-]?[0-9]+)?[ \t\r\n]*")
_SURELY_FINITE = 300  # a number of fewer characters, without exponent, is not too large for a double

# The characters that JSON texts begin with, and the whitespace that may stand before.
JSON_STARTS = frozenset('{["-0123456789tfn \t\n\r')


# What the answer of a bulk conversion is when no cell is anything but a string.
AS_TEXT: Sequence[bytes] = ()

_INFERRED_STARTS = frozenset(b"%c" % byte for byte in b"-0123456789tf")
_INFERRED = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?|true|false|[0-9]{4}-[0-9]{2}-[0-9]{2}T.*", re.DOTALL)
# What in a column that does not begin like JSON may not be a string as it stands: the empty cell, \\N, JSON.
_EJSON_SUSPECT = re.compile(
    rb'(?:true|false|null|-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?: |\\[tnr])*|[{\["\\ ].*|', re.DOTALL
)
# A column of dates, ids or typed numbers, with the quotes in them escaped.
_WRAPPER = rb'\{\\"\$[a-zA-Z0-9]+\\":\\"[^"\\]*+\\"\}'
_WRAPPERS = re.compile(_WRAPPER + rb"(?:\n" + _WRAPPER + rb")*+")


class CellError(ValueError):
    """A cell that is not of its column's type; the text says what was expected, never the cell."""

    def __init__(self, reason: str, *, empty: bool = False) -> None:
        super().__init__(reason)
        self.empty = empty


class CellType(Struct, frozen=True):
    """A type of `--types`. `convert` makes Extended JSON of a cell's text, or None for a field that is missing.

    `bulk` does the same for a column of JSON-escaped cells at once (not of none), where a cheap look at all of them proves
    that it is the same: it answers their values, or AS_TEXT when all are strings as they stand; else None.
    """

    name: str
    convert: Callable[[str], bytes | None]
    bulk: Callable[[Sequence[bytes]], Sequence[bytes] | None] | None = None


def reads_as_json(text: str) -> bool:
    """Whether a text is one JSON value, whitespace around it included. Reading and writing the ejson form agree by asking this."""
    first = text[:1]
    if first not in JSON_STARTS:
        return False
    # Most strings that begin like a word or a number of JSON are none; to ask a parser costs ten times as much.
    if first in "tfn":
        return text.rstrip(_WHITESPACE) in ("true", "false", "null")
    if first in _NUMBER_STARTS:
        number = _JSON_NUMBER.fullmatch(text)
        if number is None or (number[1] is None and len(text) < _SURELY_FINITE):
            return number is not None
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def instant(milliseconds: int) -> str | None:
    """A time since 1970 in ISO 8601 and UTC; None outside of the years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
    return moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds") + "Z"


def parse_types(text: str) -> dict[str, CellType]:
    """The column types of `name:type,name:type`; commas and colons in names are percent-encoded.

    Raises:
        UsageError: an unknown type, a column without one or with two.
    """
    types: dict[str, CellType] = {}
    for part in text.split(","):
        encoded, colon, kind = part.rpartition(":")
        name = urllib.parse.unquote(encoded)
        if not colon:
            raise UsageError(f"--types {part!r} is neither strings, infer, ejson nor name:type", remedy=_known())
        if kind not in TYPES:
            raise UsageError(f"--types gives column {name!r} the unknown type {kind!r}", remedy=_known())
        if name in types:
            raise UsageError(f"--types names column {name!r} twice", remedy="give each column one type")
        types[name] = TYPES[kind]
    return types


def _known() -> str:
    return f"write 'name:type,…' with types of {', '.join(TYPES)}"


def _string(text: str) -> bytes:
    return orjson.dumps(text)


def _int(text: str) -> bytes:
    if not _SIGNED_INT.fullmatch(text):
        raise CellError("not an integer")
    if len(text) > _LONGEST_NUMBER or not -(1 << 63) <= (number := int(text)) < 1 << 63:
        raise CellError("an integer beyond 64 bits")
    return b"%d" % number


def _long(text: str) -> bytes:
    return b'{"$numberLong":"%b"}' % _int(text)


def _double(text: str) -> bytes:
    if text in _UNTYPED_NUMBERS:
        return b'{"$numberDouble":"%b"}' % _UNTYPED_NUMBERS[text].encode()
    if not _NUMBER.fullmatch(text):
        raise CellError("not a number")
    written = orjson.dumps(float(text))
    if written == b"null":
        raise CellError("a number beyond the range of a double")
    return written


def _decimal(text: str) -> bytes:
    if text not in _UNTYPED_NUMBERS and not _NUMBER.fullmatch(text):
        raise CellError("not a decimal number")
    try:
        return b'{"$numberDecimal":"%b"}' % str(Decimal128(text)).encode()
    except decimal.DecimalException:
        raise CellError("a number that a 128-bit decimal cannot hold exactly") from None


def _bool(text: str) -> bytes:
    lower = text.lower()
    if lower in ("true", "1"):
        return b"true"
    if lower in ("false", "0"):
        return b"false"
    raise CellError("not true, false, 1 or 0")


def _date(text: str) -> bytes:
    match = _DATE.fullmatch(text)
    if match is None:
        raise CellError("not a date such as 2024-01-31 or 2024-01-31T23:59:59.999Z")
    day, minute, second, fraction, sign, hours, minutes = match.groups()
    fraction = (fraction or "").ljust(3, "0")
    if fraction[3:].strip("0"):
        raise CellError("a time finer than milliseconds")
    try:
        moment = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}")
    except ValueError:
        raise CellError("a day or a time of day that does not exist") from None
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1) + int(fraction[:3])
    if sign:
        if int(hours) > 23 or int(minutes) > 59:
            raise CellError("an offset from UTC that does not exist")
        offset = (int(hours) * 60 + int(minutes)) * 60_000
        milliseconds += offset if sign == "-" else -offset
    return extended_date(milliseconds)


def extended_date(milliseconds: int) -> bytes:
    """A date in Extended JSON, relaxed from 1970 to 9999."""
    if 0 <= milliseconds < _LAST_RELAXED:
        return b'{"$date":"%b"}' % str(instant(milliseconds)).encode()
    return b'{"$date":{"$numberLong":"%d"}}' % milliseconds


def _object_id(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{24}", text):
        raise CellError("not an object id of 24 hexadecimal digits")
    return b'{"$oid":"%b"}' % text.lower().encode()


def _uuid(text: str) -> bytes:
    try:
        return _extended_binary(uuid.UUID(text).bytes, b"04")
    except ValueError:
        raise CellError("not a UUID") from None


def _binary(text: str) -> bytes:
    try:
        return _extended_binary(base64.b64decode(text, validate=True), b"00")
    except (binascii.Error, ValueError):
        raise CellError("not base64") from None


def _extended_binary(value: bytes, subtype: bytes) -> bytes:
    return b'{"$binary":{"base64":"%b","subType":"%b"}}' % (base64.b64encode(value), subtype)


def _json(text: str) -> bytes:
    if not reads_as_json(text):
        raise CellError("not JSON, or a number in it is out of range")
    return _one_line(text)


def _one_line(text: str) -> bytes:
    # In JSON these stand between values only: inside of strings they are escaped.
    return text.translate(_JSON_WHITESPACE).strip(" ").encode()


def _ejson(text: str) -> bytes | None:
    if not text:
        return None
    if text == "\\N":
        return b"null"
    return _one_line(text) if reads_as_json(text) else orjson.dumps(text)


def _infer(text: str) -> bytes:
    first = text[:1]
    if first in ("t", "f"):
        return text.encode() if text in ("true", "false") else orjson.dumps(text)
    if first and first in "-0123456789" and len(text) < _LONGEST_NUMBER:
        if _INT.fullmatch(text):
            known = text != "-0" and -(1 << 63) <= int(text) < 1 << 63
        elif _FRACTION.fullmatch(text):
            known = len(text) < 17 or decimal.Decimal(repr(float(text))) == decimal.Decimal(text)
        elif _INSTANT.fullmatch(text):
            return _inferred_date(text)
        else:
            known = False
        if known:
            return text.encode()
    return orjson.dumps(text)


def _inferred_date(text: str) -> bytes:
    try:
        return _date(text)
    except CellError:
        return orjson.dumps(text)


def _parsed(cells: Sequence[bytes]) -> tuple[bytes, list[float]] | None:
    """The cells joined by commas and the numbers that they are; None where some are not plainly numbers of JSON."""
    joined = b",".join(cells)
    if b" " in joined:
        return None
    try:
        values = orjson.loads(b"[%b]" % joined)
    except orjson.JSONDecodeError:
        return None
    # As many numbers as cells, and no brackets: each cell is one number.
    if len(values) != len(cells) or not {int, float}.issuperset(map(type, values)):
        return None
    return joined, values


def _bulk_int(cells: Sequence[bytes]) -> list[bytes] | None:
    parsed = _parsed(cells)
    if parsed is None or set(map(type, parsed[1])) != {int}:
        return None
    joined, values = parsed
    # Written again as they were: no sign of zero, nothing that JSON takes and this rule does not.
    if max(values) >= 1 << 63 or orjson.dumps(values) != b"[%b]" % joined:
        return None
    return list(cells)


def _bulk_long(cells: Sequence[bytes]) -> list[bytes] | None:
    checked = _bulk_int(cells)
    return None if checked is None else [b'{"$numberLong":"%b"}' % cell for cell in checked]


def _bulk_double(cells: Sequence[bytes]) -> list[bytes] | None:
    parsed = _parsed(cells)
    if parsed is None:
        return None
    joined, values = parsed
    # "-0" is an integer to the parser, which loses the sign.
    if b"-0" in joined and b"-0" in cells:
        return None
    return orjson.dumps(list(map(float, values)))[1:-1].split(b",")


def _bulk_infer(cells: Sequence[bytes]) -> Sequence[bytes] | None:
    parsed = _parsed(cells) if cells[0][:1] in _INFERRED_STARTS else None
    if parsed is None:
        # Nothing begins like a value, or nothing that does is one.
        suspects = [cell for cell in cells if cell[:1] in _INFERRED_STARTS and _INFERRED.fullmatch(cell)]
        return None if suspects else AS_TEXT
    joined, values = parsed
    if b"e" in joined or b"E" in joined or (b"-0" in joined and b"-0" in cells):
        return None
    # Up to 15 digits a double is the very number; longer ones are when they are written the same again.
    if max(map(len, cells)) > 16 and (orjson.dumps(values) != b"[%b]" % joined or max(values) >= 1 << 63):
        return None
    return list(cells)


def _bulk_ejson(cells: Sequence[bytes]) -> Sequence[bytes] | None:
    first = cells[0][:1]
    if first in _INFERRED_STARTS and _parsed(cells) is not None:
        return list(cells)
    if first in (b"{", b"["):
        return _bulk_nested(cells)
    return None if any(map(_EJSON_SUSPECT.fullmatch, cells)) else AS_TEXT


def _bulk_nested(cells: Sequence[bytes]) -> Sequence[bytes] | None:
    joined = b"\n".join(cells)
    if _WRAPPERS.fullmatch(joined):
        return joined.replace(b'\\"', b'"').split(b"\n")
    texts = orjson.loads(b'["%b"]' % b'","'.join(cells))
    try:
        values = orjson.loads(f"[{','.join(texts)}]")
    except orjson.JSONDecodeError:
        return None
    # Written again they are the same, one by one: so each cell is one value.
    written = [orjson.dumps(value) for value in values]
    return written if written == [text.encode() for text in texts] else None


STRING = CellType("string", _string)
INFER = CellType("infer", _infer, _bulk_infer)
EJSON = CellType("ejson", _ejson, _bulk_ejson)

TYPES = {
    each.name: each
    for each in (
        STRING,
        CellType("int", _int, _bulk_int),
        CellType("long", _long, _bulk_long),
        CellType("double", _double, _bulk_double),
        CellType("decimal", _decimal),
        CellType("bool", _bool),
        CellType("date", _date),
        CellType("objectid", _object_id),
        CellType("uuid", _uuid),
        CellType("binary", _binary),
        CellType("json", _json),
        EJSON,
    )
}
