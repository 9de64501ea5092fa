"""BSON -> Extended JSON by walking the bytes: slower than `writer`, and right for every document.

A document that holds what Extended JSON cannot say becomes `{"$bson": "<base64 of the document>"}`, the smallest one around it.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson
from bson.decimal128 import Decimal128

from dsync.codec import raw
from dsync.codec.errors import InvalidBson, UnsoundRecord
from dsync.codec.wrappers import DECIMAL, WRITTEN

# Documents below this level are written as `$bson`, so that no reader meets text that is nested deeper than it can follow.
MAX_TEXT_NESTING = 200

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as `bson` decodes: UTC without saying so
YEAR_10000_MS = 253_402_300_800_000
NAN = struct.pack("<Q", 0x7FF8000000000000)


class _Unsayable(Exception):
    """Extended JSON has no way to write this value so that the same bytes come back."""


def write(document: bytes) -> bytes:
    """The Extended JSON of one document.

    Raises:
        UnsoundRecord: the bytes are not one BSON document.
    """
    try:
        raw.check(document, strict=False)
    except InvalidBson as error:
        raise UnsoundRecord(error.message) from error
    return _document_or_bson(document, 0, len(document), 0)


def _document_or_bson(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    try:
        return _document(buffer, start, end, depth + 1)
    except _Unsayable:
        return bson_wrapper(buffer[start:end])


def bson_wrapper(document: bytes) -> bytes:
    """The document as `{"$bson": ...}`."""
    return b'{"$bson":"%b"}' % base64.b64encode(document)


def _document(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    if depth > MAX_TEXT_NESTING:
        raise _Unsayable
    seen = set()
    parts = []
    for kind, key, value, stop in raw.elements(buffer, start):
        name = _text(key)
        if key in seen or name in WRITTEN:
            raise _Unsayable
        seen.add(key)
        parts.append(orjson.dumps(name) + b":" + _VALUES[kind](buffer, value, stop, depth))
    return b"{%b}" % b",".join(parts)


def _array(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    if depth >= MAX_TEXT_NESTING:
        raise _Unsayable
    parts = []
    for index, (kind, key, value, stop) in enumerate(raw.elements(buffer, start)):
        if key != b"%d" % index:
            raise _Unsayable
        parts.append(_VALUES[kind](buffer, value, stop, depth + 1))
    return b"[%b]" % b",".join(parts)


def _text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise _Unsayable from None


def _quoted(text: bytes) -> bytes:
    return orjson.dumps(_text(text))


def _double(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    (number,) = struct.unpack_from("<d", buffer, start)
    if number != number:
        if buffer[start:end] != NAN:
            raise _Unsayable
        return b'{"$numberDouble":"NaN"}'
    if number in (float("inf"), float("-inf")):
        return b'{"$numberDouble":"Infinity"}' if number > 0 else b'{"$numberDouble":"-Infinity"}'
    return orjson.dumps(number)


def _string(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    return _quoted(buffer[start + 4 : end - 1])


def _symbol(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    return b'{"$symbol":%b}' % _string(buffer, start, end, depth)


def _code(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    return b'{"$code":%b}' % _string(buffer, start, end, depth)


def _code_with_scope(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    scope = start + 8 + int(raw.int32_at(buffer, start + 4)[0])
    code = _string(buffer, start + 4, scope, depth)
    return b'{"$code":%b,"$scope":%b}' % (code, _document_or_bson(buffer, scope, end, depth + 1))


def _binary(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    subtype = buffer[start + 4]
    content = raw.old_binary(buffer[start + 5 : end]) if subtype == raw.OLD_BINARY else buffer[start + 5 : end]
    if content is None:
        raise _Unsayable
    return b'{"$binary":{"base64":"%b","subType":"%02x"}}' % (base64.b64encode(content), subtype)


def _boolean(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    if buffer[start] > 1:
        raise _Unsayable
    return b"true" if buffer[start] else b"false"


def _date(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    (milliseconds,) = struct.unpack_from("<q", buffer, start)
    if 0 <= milliseconds < YEAR_10000_MS:
        moment = EPOCH + timedelta(milliseconds=milliseconds)
        return b'{"$date":"%bZ"}' % moment.isoformat(timespec="milliseconds").encode()
    return b'{"$date":{"$numberLong":"%d"}}' % milliseconds


def _regex(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    pattern, options, _ = buffer[start:end].split(b"\0")
    if options != bytes(sorted(options)):  # readers sort them
        raise _Unsayable
    return b'{"$regularExpression":{"pattern":%b,"options":%b}}' % (_quoted(pattern), _quoted(options))


def _db_pointer(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    name = _string(buffer, start, end - 12, depth)
    return b'{"$dbPointer":{"$ref":%b,"$id":%b}}' % (name, _object_id(buffer, end - 12, end, depth))


def _object_id(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    return b'{"$oid":"%b"}' % buffer[start:end].hex().encode()


def _int32(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    return b"%d" % int(raw.int32_at(buffer, start)[0])


def _int64(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    (number,) = struct.unpack_from("<q", buffer, start)
    # A small one would read back as an int32.
    return b'{"$numberLong":"%d"}' % number if -0x80000000 <= number <= 0x7FFFFFFF else b"%d" % number


def _timestamp(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    increment, seconds = struct.unpack_from("<II", buffer, start)
    return b'{"$timestamp":{"t":%d,"i":%d}}' % (seconds, increment)


def _decimal(buffer: bytes, start: int, end: int, depth: int) -> bytes:
    text = str(Decimal128.from_bid(buffer[start:end]))
    # Zeros and NaNs have many encodings, of which text names one.
    if not DECIMAL.fullmatch(text) or Decimal128(text).bid != buffer[start:end]:
        raise _Unsayable
    return b'{"$numberDecimal":"%b"}' % text.encode()


def _constant(text: bytes) -> Callable[[bytes, int, int, int], bytes]:
    return lambda buffer, start, end, depth: text


_VALUES: dict[int, Callable[[bytes, int, int, int], bytes]] = {
    raw.DOUBLE: _double,
    raw.STRING: _string,
    raw.DOCUMENT: _document_or_bson,
    raw.ARRAY: _array,
    raw.BINARY: _binary,
    raw.UNDEFINED: _constant(b'{"$undefined":true}'),
    raw.OBJECT_ID: _object_id,
    raw.BOOLEAN: _boolean,
    raw.DATE: _date,
    raw.NULL: _constant(b"null"),
    raw.REGEX: _regex,
    raw.DB_POINTER: _db_pointer,
    raw.CODE: _code,
    raw.SYMBOL: _symbol,
    raw.CODE_WITH_SCOPE: _code_with_scope,
    raw.INT32: _int32,
    raw.TIMESTAMP: _timestamp,
    raw.INT64: _int64,
    raw.DECIMAL128: _decimal,
    raw.MIN_KEY: _constant(b'{"$minKey":1}'),
    raw.MAX_KEY: _constant(b'{"$maxKey":1}'),
}
