"""Documents and names that a store may meet: plain ones in numbers, every BSON type, hostile names, bytes that are none of it."""

from __future__ import annotations

import datetime as dt
import pickle
import random
from collections.abc import Iterator, Mapping
from typing import Any

import bson
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from dsync.codec import raw
from dsync.testing.store import key_of

LARGEST_DOCUMENT_BYTES = 16 << 20
# Stands in documents and credentials; no message may hold it.
CANARY = "c4n4ry-5e1f"


def documents(count: int, first: int = 0, size: int = 200) -> list[bytes]:
    """Plain documents with ids that count from `first`: the same ones on every call."""
    made = (
        {"_id": number, "name": f"näme {number}", "at": [number % 7, {"deep": number / 4}], "padding": "p" * size}
        for number in range(first, first + count)
    )
    return [bson.encode(document) for document in made]


def every_type() -> list[bytes]:
    """A document for every BSON type and for the values at the edges, all in one field each, and as ids where they may be."""
    values = list(_values())
    plain = [bson.encode({"_id": f"value {index}", "value": value}) for index, value in enumerate(values)]
    together = bson.encode({"_id": "together", **{f"field {index}": value for index, value in enumerate(values)}})
    ids = [value for value in values if not isinstance(value, list | Regex)]
    return [*plain, together, *_ids(ids)]


def _ids(values: list[Any]) -> Iterator[bytes]:
    """One document for each distinct id: numbers of one value are one id to some stores, so they come once."""
    seen = set()
    for index, value in enumerate(values):
        document = bson.encode({"_id": value, "index": index})
        key = key_of(*raw.id_of(document))
        if key not in seen:
            seen.add(key)
            yield document


def _values() -> Iterator[Any]:
    yield from (0.5, -0.0, 5e-324, 1.7976931348623157e308, float("nan"), float("inf"), -float("inf"), 3.0)
    yield from (
        "",
        "text",
        "nul \0 inside",
        'quotes " , tab \t line \n return \r',
        "é e\u0301 日本 🎁",
        "\\N",
        "null",
        "1",
        "{}",
    )
    yield from ({}, {"a": 1}, {"b": {"c": [{"d": None}]}}, {"z": 1, "a": 2})
    yield from ([], [1, "two", None, [3.0]], [[], {}])
    yield from (Binary(b""), Binary(bytes(range(256))), Binary(b"\1" * 16, 4), Binary(b"u", 128))
    yield ObjectId("65a1b2c3d4e5f60718293a4b")
    yield from (True, False, None)
    yield from (
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2024, 2, 29, 12, 30, 15, 123000, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=dt.UTC),
    )
    yield from (Regex("^a.*", "imx"), Code("f()"), Code("f(x)", {"x": 1}))
    yield from (0, 1, -1, 2**31 - 1, -(2**31), Int64(7), Int64(2**63 - 1), Int64(-(2**63)), Int64(2**53 + 1))
    yield from (Timestamp(1, 1), Timestamp(2**32 - 1, 2**32 - 1))
    yield from (Decimal128("0.10"), Decimal128("-1E-6176"), Decimal128("NaN"), Decimal128("1E+6111"))
    yield from (MinKey(), MaxKey())


def largest(identity: str = "largest", size: int = LARGEST_DOCUMENT_BYTES) -> bytes:
    """A document of exactly 16 MiB, the most that BSON stores take, or of another size."""
    empty = len(bson.encode({"_id": identity, "text": ""}))
    return bson.encode({"_id": identity, "text": "x" * (size - empty)})


def malformed(document: bytes) -> Mapping[str, list[bytes]]:
    """Bytes that are no document, by the data type that they pretend to be of; they hold the canary."""
    text = CANARY.encode()
    return {
        "bson": [
            b"",
            text,
            document[:-1],
            document + b"\0",
            b"\xff\xff\xff\x7f" + document[4:],
        ],
        "text": [
            b"",
            text,
            b'{"_id": 1, "a": "' + text,
            b'{"_id": 1, "a": "' + text + b'"} {}',
            b'{"_id": 1, "a": "\xff' + text + b'"}',
            b'["' + text + b'"]',
        ],
    }


HOSTILE_NAMES = {
    "parent": "..",
    "above": "../../above",
    "absolute": "/absolute",
    "slash": "a/b",
    "dot": "a.b",
    "empty parts": "a..b",
    "hidden": ".hidden",
    "upper": "A.B",
    "nul": "nul\0byte",
    "line": "line\nbreak",
    "leading space": " space",
    "trailing space": "space ",
    "no space": "space",
    "emoji": "emoji.🎁",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "long": "n" * 300,
    "longer": "n" * 301,
    "percent": "a%2Fb",
    "extension": "table.csv",
    "backslash": "back\\slash",
    "glob": "*?[a]{b}$'\"",
    "marker": ".metadata.json",
}


def garbage(cursors: Mapping[str, bytes]) -> list[bytes]:
    """What may come where a cursor is wanted: noise, other formats, and the other cursors that are given, cut and extended."""
    noise = random.Random(7)  # noqa: S311 - the same on every run
    foreign = [
        b"\0",
        b"garbage",
        b"{}",
        b"[]",
        b"null",
        b"0",
        b'{"v":1}',
        b'[1,"x"]',
        b'""',
        b"\xff\xfe",
        b"[" * 100_000,
    ]
    foreign += [noise.randbytes(size) for size in (1, 8, 16, 40, 4096)]
    foreign += [bson.encode({}), bson.encode({"v": 1, "_id": 1}), pickle.dumps({"v": 1}), b"1" * 5000]
    for cursor in filter(None, cursors.values()):  # there is no page cursor where one page holds all
        cuts = {len(cursor) * part // 8 for part in range(1, 8)} | {len(cursor) - 1}
        foreign += [cursor[:cut] for cut in sorted(cuts) if 0 < cut < len(cursor)]
        foreign += [cursor + b"x", b"x" + cursor, cursor + cursor]
    return foreign


def flipped(cursor: bytes) -> Iterator[bytes]:
    """The cursor with one byte changed, at up to 24 places."""
    step = max(1, len(cursor) // 24)
    for at in range(0, len(cursor), step):
        yield cursor[:at] + bytes([cursor[at] ^ 0x15]) + cursor[at + 1 :]
