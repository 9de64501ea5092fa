"""BSON -> Extended JSON: relaxed where the very same BSON comes back, canonical elsewhere.

The fast path decodes in C and writes in Rust, then proves that nothing was lost on the way: the decoded page encodes to the same
bytes, no key reads as a type wrapper, no number became null. A document without the proof goes to `exact_writer`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import bson
import orjson
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from dsync.codec import exact_writer, raw
from dsync.codec.errors import InvalidBson, RecordError, UnsoundRecord
from dsync.codec.wrappers import DECIMAL, WRITTEN

# Decoded objects of more documents at a time outgrow the processor's cache.
CHUNK_DOCUMENTS = 256
# A larger chunk goes document by document: the proof needs one BSON array of them all.
CHUNK_BYTES = 64 << 20

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS
_REGEX_FLAGS = tuple((letter, getattr(re, letter.upper())) for letter in "ilmsux")
_UTC = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
# A key that reads as a type wrapper, or bytes that look so. Searching for "$" first is what makes it fast.
_wrapper_in = re.compile(
    rb"\$(?<=[\x01-\x13\x7f\xff]\$)(?:" + b"|".join(sorted(name[1:].encode() for name in WRITTEN)) + rb")\0"
).search
# A double that is NaN or infinite, or bytes that look so: orjson writes those as null.
_not_finite_in = re.compile(rb"\x01[^\0]*\0[\s\S]{6}[\xf0-\xff][\x7f\xff]").search
_MILLISECOND = timedelta(milliseconds=1)

# What decoding, encoding and writing raise on documents that they cannot carry.
_DOUBTS = (bson.errors.BSONError, ValueError, TypeError, OverflowError, RecursionError)


def bson_to_text(page: Sequence[bytes]) -> list[bytes]:
    """Each document as Extended JSON that converts back to the same bytes.

    Raises:
        RecordError: a document is not BSON.
    """
    texts: list[bytes] = []
    for at in range(0, len(page), CHUNK_DOCUMENTS):
        chunk = list(page[at : at + CHUNK_DOCUMENTS])
        fast = _write(chunk)
        texts += fast if fast is not None else _one_by_one(chunk, at)
    return texts


def _one_by_one(chunk: list[bytes], index: int) -> list[bytes]:
    texts = []
    for at, document in enumerate(chunk, index):
        fast = _write([document])
        if fast is not None:
            texts += fast
            continue
        try:
            texts.append(exact_writer.write(document))
        except UnsoundRecord as error:
            raise RecordError(at, str(error)) from error
    return texts


def _write(chunk: list[bytes]) -> list[bytes] | None:
    """The texts, or None without the proof that nothing was lost."""
    whole = b"".join(chunk)
    if _wrapper_in(whole) or len(whole) > CHUNK_BYTES:
        return None
    try:
        documents = bson.decode_all(whole, raw.EVERY_DATE)
        again = bson.encode({"": documents}, codec_options=raw.EVERY_DATE)
        if again[6:-1] != raw.array(chunk):
            return None
        texts = [orjson.dumps(document, _default, _OPTIONS) for document in documents]
    except (*_DOUBTS, InvalidBson):
        return None
    if b"null" in b"".join(texts):
        _mend_not_finite(texts, chunk)
    return texts


def _mend_not_finite(texts: list[bytes], chunk: list[bytes]) -> None:
    """Writes documents anew in which a number became null."""
    for at, document in enumerate(chunk):
        # The exponent of what is not finite begins with one of these bytes, and hardly any document has them.
        if b"null" in texts[at] and (b"\x7f" in document or b"\xff" in document) and _not_finite_in(document):
            texts[at] = exact_writer.write(document)


def _default(value: Any) -> Any:
    kind = type(value)
    if kind is Int64:
        number = int(value)
        return {"$numberLong": str(number)} if -0x80000000 <= number <= 0x7FFFFFFF else number
    if kind is ObjectId:
        return {"$oid": str(value)}
    if kind is datetime:
        return _date(value)
    return _rare(kind, value)


def _date(value: datetime) -> Any:
    if value < exact_writer.EPOCH:
        return {"$date": {"$numberLong": str((value - exact_writer.EPOCH) // _MILLISECOND)}}
    # Three times as fast as isoformat(): '"2020-01-31T12:00:00Z"', or with six more digits and a point.
    text = orjson.dumps(value, None, _UTC).decode()
    return {"$date": f"{text[1:24]}Z" if len(text) > 22 else f"{text[1:20]}.000Z"}


def _rare(kind: type, value: Any) -> Any:
    if kind is Decimal128:
        return _decimal(value)
    if kind is bytes:
        return {"$binary": {"base64": base64.b64encode(value).decode(), "subType": "00"}}
    if kind is Binary:
        return {"$binary": {"base64": base64.b64encode(value).decode(), "subType": f"{value.subtype:02x}"}}
    if kind is DatetimeMS:
        return {"$date": {"$numberLong": str(int(value))}}
    if kind is Timestamp:
        return {"$timestamp": {"t": value.time, "i": value.inc}}
    if kind is DBRef:
        return dict(value.as_doc())
    if kind is Regex:
        options = "".join(letter for letter, flag in _REGEX_FLAGS if value.flags & flag)
        return {"$regularExpression": {"pattern": value.pattern, "options": options}}
    if kind is Code:
        return {"$code": str(value)} if value.scope is None else {"$code": str(value), "$scope": value.scope}
    if kind is MinKey:
        return {"$minKey": 1}
    if kind is MaxKey:
        return {"$maxKey": 1}
    raise TypeError(f"{kind.__name__} is for the exact writer")


def _decimal(value: Decimal128) -> Any:
    text = str(value)
    if not DECIMAL.fullmatch(text) or Decimal128(text).bid != value.bid:
        raise ValueError("an encoding that text does not name")
    return {"$numberDecimal": text}
