"""Extended JSON -> BSON: relaxed, canonical and plain JSON.

The fast path parses in C and proves that nothing was lost: written again, the parsed page is as it was, or has as many colons as
before, so that no key stood twice. A record without the proof goes through `json`, which shows every key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import bson
import msgspec
import orjson

from dsync.codec import raw
from dsync.codec.encoder import Element, encode
from dsync.codec.errors import InvalidBson, RecordError, UnsoundRecord
from dsync.codec.identity import Identify, MakeId, of_text
from dsync.codec.wrappers import revive, revive_record

# Parsed objects of more records at a time outgrow the processor's cache.
CHUNK_RECORDS = 256
# A larger chunk goes record by record: BSON can be ten times as large as text, and one array holds a chunk.
CHUNK_BYTES = 16 << 20

_decode = msgspec.json.Decoder().decode

# What parsing, reviving and encoding raise on records that only the exact reader can judge.
_DOUBTS = (
    msgspec.MsgspecError,
    bson.errors.BSONError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
    InvalidBson,
)


def text_to_bson(page: Sequence[bytes], make_id: MakeId | None = None) -> list[bytes]:
    """Each record as BSON; `_id` is its identity, else `id` (renamed in place), else what `make_id(index in the page)` makes.

    Plain JSON is taken for what it says: an integer is an int32 where it fits, else an int64, other numbers are doubles.

    Raises:
        RecordError: a record is not sound, or has no identity and `make_id` is None.
    """
    return read(page, of_text(make_id))


def read(page: Sequence[bytes], identify: Identify) -> list[bytes]:
    """Each record as BSON, after `identify(index, record)` has given it its identity.

    Raises:
        RecordError: a record is not sound.
    """
    documents: list[bytes] = []
    for at in range(0, len(page), CHUNK_RECORDS):
        chunk = list(page[at : at + CHUNK_RECORDS])
        fast = _read(chunk, at, identify)
        documents += fast if fast is not None else _one_by_one(chunk, at, identify)
    return documents


def _one_by_one(chunk: list[bytes], index: int, identify: Identify) -> list[bytes]:
    documents = []
    for at, record in enumerate(chunk, index):
        fast = _read([record], at, identify)
        if fast is not None:
            documents += fast
            continue
        try:
            documents.append(_exact(record, at, identify))
        except UnsoundRecord as error:
            raise RecordError(at, str(error)) from error
    return documents


def _read(chunk: list[bytes], index: int, identify: Identify) -> list[bytes] | None:
    """The documents, or None without the proof that nothing was lost."""
    whole = b",".join(chunk)
    if len(whole) > CHUNK_BYTES and len(chunk) > 1:
        return None
    try:
        records = [_decode(record) for record in chunk]
        if not _is_complete(whole, records):
            return None
        if b"\\u0024" in whole:
            records = [revive(record) for record in records]
        elif b"$" in whole:
            records = [revive_record(record, text.count(b"$")) for record, text in zip(records, chunk, strict=True)]
        records = [identify(at, record) for at, record in enumerate(records, index)]
        return raw.slice_array(bson.encode({"": records}), 6)
    except _DOUBTS:
        return None


def _is_complete(whole: bytes, records: list[Any]) -> bool:
    """Whether no key was dropped because it stood twice."""
    again = orjson.dumps(records)
    if len(again) == len(whole) + 2 and again[1:-1] == whole:
        return True
    # A dropped key takes its colon along; only the escape of a colon could make up for it.
    return again.count(b":") == whole.count(b":") and b"\\u003a" not in whole and b"\\u003A" not in whole


def _exact(record: bytes, index: int, identify: Identify) -> bytes:
    parsed = _parse(record)
    if type(parsed) is not dict:
        raise UnsoundRecord("not a JSON object")
    try:
        document = identify(index, revive(parsed))
        encoded = document.value if type(document) is Element else encode(document)
        if b"$" in record or b"\\" in record:
            raw.check(encoded, strict=False)  # what a $bson or a $scope holds counts as nesting too
    except RecursionError as error:
        raise UnsoundRecord("nested too deeply") from error
    except InvalidBson as error:
        raise UnsoundRecord(error.message) from error
    return bytes(encoded)


def _parse(record: bytes) -> Any:
    try:
        return json.loads(
            record.decode(),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_refuse,
        )
    except UnicodeDecodeError as error:
        raise UnsoundRecord(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise UnsoundRecord(f"not JSON: {error.msg.lower()} at character {error.pos}") from error
    except RecursionError as error:
        raise UnsoundRecord("nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise UnsoundRecord("a key stands twice in one object")
    return document


def _integer(text: str) -> int:
    number = int(text) if len(text) <= 20 else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise UnsoundRecord("an integer outside 64 bits")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise UnsoundRecord("a number outside the range of doubles")
    return number


def _refuse(text: str) -> Any:
    raise UnsoundRecord(f"{text}, which is not JSON")
