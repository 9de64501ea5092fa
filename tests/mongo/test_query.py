"""`--initial-sync-query`: which filters are understood, and which are refused with the reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.int64 import Int64

from connectors.mongo import query
from dsync.errors import UsageError

AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
OBJECT_ID = bson.ObjectId("65a0c0ffee65a0c0ffee65a0")


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": {"$gt": 1.5, "$lt": 3}}', {"a": {"$gt": 1.5, "$lt": 3}}),
        ('{"_id": {"$oid": "65a0c0ffee65a0c0ffee65a0"}}', {"_id": OBJECT_ID}),
        ('{"n": {"$numberLong": "5"}}', {"n": Int64(5)}),
        ('{"at": {"$gte": {"$date": "2024-01-01T00:00:00Z"}}}', {"at": {"$gte": datetime(2024, 1, 1, tzinfo=UTC)}}),
        ('{"s": {"$regex": "^a", "$nin": ["ab"]}}', {"s": {"$regex": "^a", "$nin": ["ab"]}}),
        ('{"s": {"$regex": "^a", "$options": "i"}}', {"s": {"$regex": "^a", "$options": "i"}}),
        ('{"s": {"$type": "string"}}', {"s": {"$type": "string"}}),
        ('{"$or": [{"a": null}, {"b": {"$exists": false}}]}', {"$or": [{"a": None}, {"b": {"$exists": False}}]}),
        ("{}", {}),
    ],
)
def test_extended_json_becomes_the_filter_it_reads_as(text: str, means: dict[str, Any]) -> None:
    assert bson.decode(query.parse(text), AWARE) == means


@pytest.mark.parametrize("text", ["", "  "])
def test_no_text_is_no_filter(text: str) -> None:
    assert query.parse(text) == b""


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "5",
        "null",
        "a=1",
        "{'a': 1}",
        '{"a": }',
        '{"a": 123456789012345678901234567890}',
        '{"_id": {"$oid": "x"}}',
    ],
)
def test_what_is_not_extended_json_is_a_usage_error_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="status"):
        query.parse(text)


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        ("$text", '{"$text": {"$search": "x"}}'),
        ("$where", '{"$where": "true"}'),
        ("$near", '{"p": {"$near": [0, 0]}}'),
        ("$nearSphere", '{"$and": [{"p": {"$nearSphere": [0, 0]}}]}'),
        ("$rand", '{"$expr": {"$lt": [0.5, {"$rand": {}}]}}'),
        ("$function", '{"$expr": {"$function": {"body": "f", "args": [], "lang": "js"}}}'),
    ],
)
def test_operators_that_partitions_cannot_follow_are_usage_errors(operator: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        query.parse(text)
    assert operator in str(caught.value)


def test_a_key_that_stands_twice_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"\$and"):
        query.parse('{"a": {"$gt": 1}, "a": {"$lt": 5}}')
