"""Documents to copy about, as raw BSON, and ways to look at them that dsync has no part in."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util

UTC = dt.UTC
ANY_DATE = bson.DatetimeConversion.DATETIME_AUTO
CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, datetime_conversion=ANY_DATE)


def canonical(document: bytes | dict[str, Any]) -> str:
    """A document as canonical Extended JSON, by the driver's own writer: equal text, equal types and values."""
    options: bson.CodecOptions[dict[str, Any]] = bson.CodecOptions(
        tz_aware=True, tzinfo=UTC, datetime_conversion=ANY_DATE
    )
    decoded = bson.decode(document, options) if isinstance(document, bytes) else document
    return json_util.dumps(decoded, json_options=CANONICAL)


def parse(text: str) -> dict[str, Any]:
    """A document from Extended JSON, by the driver's own reader, with every number's type kept."""
    document: dict[str, Any] = json_util.loads(text, json_options=CANONICAL)
    return document


def ids_of_ten_types(count: int) -> Iterator[dict[str, Any]]:
    """Documents whose `_id`s take turns among ten types, MinKey, MaxKey, null, NaN and booleans among them."""
    singles: list[Any] = [None, MinKey(), MaxKey(), True, False, float("nan"), float("inf"), -float("inf"), "", {}]
    yield from ({"_id": value, "n": -n} for n, value in enumerate(singles, 1))
    makers: list[Callable[[int], Any]] = [
        lambda n: n + 1,
        lambda n: Int64(2**40 + n),
        lambda n: n + 0.5,
        lambda n: Decimal128(f"{n}.25"),
        lambda n: f"text {n:07}",
        lambda n: ObjectId(f"{n:024x}"),
        lambda n: dt.datetime.fromtimestamp(n - 1000, UTC),
        lambda n: Binary(n.to_bytes(8, "big"), 128),
        lambda n: {"a": n, "b": {"c": str(n)}},
        lambda n: Timestamp(n + 1, 1),
    ]
    for n in range(count - len(singles)):
        yield {"_id": makers[n % len(makers)](n), "n": n}


def all_types() -> Iterator[dict[str, Any]]:
    """A document for every BSON type, with the values at its edges."""
    values: list[Any] = [
        0.0,
        -0.0,
        5e-324,
        float("nan"),
        float("-inf"),
        "",
        "\x00é日🦉",
        {},
        {"z": 1, "a": 2},
        [],
        [[[]]],
    ]
    values += [Binary(b""), Binary(b"\x00\xff", 4), Binary(b"x", 128), ObjectId("0" * 24), True, False, None]
    values += [dt.datetime(1, 1, 1, tzinfo=UTC), bson.DatetimeMS(2**62), bson.DatetimeMS(-(2**62))]
    values += [Regex("^a", "im"), DBRef("c", 1), Code("f()"), Code("f(x)", {"x": 1}), 2**31 - 1, -(2**31), Int64(5)]
    values += [2**63 - 1, -(2**63), Timestamp(1, 0), Decimal128("1.000"), Decimal128("-NaN"), MinKey(), MaxKey()]
    values += [
        {"$oid": "no"},
        {"$gt": 5},
        {"a.b": 1},
        {"": 1},
        {"$date": "2020"},
        "\\N",
        '"quoted"',
        " spaced ",
        "1",
        "null",
    ]
    for n, value in enumerate(values):
        yield {"_id": n, "value": value, "list": [value, n]}


def late_columns(count: int) -> Iterator[dict[str, Any]]:
    """Documents whose fields come and go: missing, null and empty take turns; one column is only in the last."""
    gaps: Iterable[dict[str, Any]] = itertools.cycle([{}, {"gap": None}, {"gap": ""}, {"gap": "x"}])
    for n, gap in zip(range(count), gaps, strict=False):
        yield {"_id": n, **gap, **({"late": n} if n == count - 1 else {})}
