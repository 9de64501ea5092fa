"""How ids are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from connectors.mongo import ids
from dsync.codec import raw


def parts(value: Any) -> tuple[int, bytes]:
    return raw.id_of(bson.encode({"_id": value}))


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
