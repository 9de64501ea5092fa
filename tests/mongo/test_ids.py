"""Which ids are one, and how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.timestamp import Timestamp

from connectors.mongo import ids
from dsync.codec import raw


def parts(value: Any) -> tuple[int, bytes]:
    return raw.id_of(bson.encode({"_id": value}))


@pytest.mark.parametrize(
    "same",
    [
        [1, 1.0, Int64(1), Decimal128("1"), Decimal128("1.0")],
        [0, 0.0, -0.0, Decimal128("-0")],
        [float("nan"), Decimal128("NaN")],
        [float("inf"), Decimal128("Infinity")],
        [{"a": 1}, {"a": 1.0}],
        [{"a": {"b": [1]}}, {"a": {"b": [Int64(1)]}}],
        [2**53, float(2**53)],
    ],
)
def test_ids_that_the_server_takes_for_one_have_one_key(same: list[Any]) -> None:
    assert len({ids.key(*parts(value)) for value in same}) == 1


def test_ids_that_differ_in_type_or_value_have_keys_of_their_own() -> None:
    values = [
        *(5, "5", b"5", "", None, True, False, MinKey(), MaxKey(), {}, {"a": 5}, {"a": 5, "b": 1}, {"b": 1, "a": 5}),
        *(datetime.fromtimestamp(0.005, UTC), Timestamp(5, 0), Timestamp(0, 5), 2**53 + 1, float(2**53), float("nan")),
        *(bson.ObjectId("0" * 24), "0" * 24, bson.Binary(b"5", 4), 0.1, Decimal128("0.1"), float("inf"), float("-inf")),
    ]
    assert len({ids.key(*parts(value)) for value in values}) == len(values)


def test_int64_five_and_a_date_of_five_milliseconds_share_bytes_and_are_two_ids() -> None:
    number, date = parts(Int64(5)), parts(datetime.fromtimestamp(0.005, UTC))
    assert number[1] == date[1]
    assert ids.key(*number) != ids.key(*date)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "int32 5"),
        ("ab", "string 'ab'"),
        (bson.ObjectId("65a0c0ffee65a0c0ffee65a0"), "ObjectId 65a0c0ffee65a0c0ffee65a0"),
        (None, "null"),
        ({"secret": "x"}, "document"),
        ("x" * 100, "string '" + "x" * 59 + "…"),
        (datetime(2024, 1, 1, tzinfo=UTC), "date 2024-01-01T00:00:00+00:00"),
        (bson.datetime_ms.DatetimeMS(2**62), f"date {2**62} ms"),
        (True, "boolean true"),
        (b"\x01\x02", "binary 0102"),
    ],
)
def test_an_id_is_shown_by_type_and_short_value(value: Any, shown: str) -> None:
    assert ids.show(*parts(value)) == shown
