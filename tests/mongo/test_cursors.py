"""Cursors are data from anywhere: what `encode` made comes back, everything else is refused."""

from __future__ import annotations

import bson
import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from connectors.mongo.cursors import PartitionCursor, decode_page, encode_page
from dsync.errors import CursorError

LOWER = bson.encode({"_id": 5})
UPPER = bson.encode({"_id": {"a": "ü"}})
FULL = PartitionCursor("db.c", LOWER, UPPER, 10, 1000, 99, b"u" * 16, Timestamp(7, 8), b"q" * 8)
PAGE = encode_page(FULL.encode(), bson.encode({"x": 1, "_id": "a"}))


@pytest.mark.parametrize(
    "cursor", [FULL, PartitionCursor("db.c", b"", b"", 1, 1), PartitionCursor("d.ü", LOWER, b"", 1, 1)]
)
def test_a_partitions_cursor_comes_back(cursor: PartitionCursor) -> None:
    assert PartitionCursor.decode(cursor.encode()) == cursor


def test_a_pages_cursor_is_the_last_id() -> None:
    assert decode_page(FULL.encode(), PAGE) == bson.encode({"_id": "a"})


def test_no_cursor_is_the_first_page() -> None:
    assert decode_page(FULL.encode(), b"") == b""


def test_a_page_of_another_partition_is_refused() -> None:
    other = PartitionCursor("db.c", LOWER, b"", 10, 1000).encode()
    with pytest.raises(CursorError, match="another partition"):
        decode_page(other, PAGE)


@pytest.mark.parametrize("cut", range(1, len(PAGE)))
def test_a_pages_cursor_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(CursorError):
        decode_page(FULL.encode(), PAGE[:cut])


@pytest.mark.parametrize("cut", range(len(FULL.encode())))
def test_a_partitions_cursor_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(CursorError):
        PartitionCursor.decode(FULL.encode()[:cut])


@given(st.binary(max_size=200))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(CursorError):
        PartitionCursor.decode(garbage)
    with pytest.raises(CursorError):
        decode_page(FULL.encode(), garbage or b"x")


@given(st.integers(0, len(FULL.encode()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_gives_a_sound_cursor(place: int, difference: int) -> None:
    changed = bytearray(FULL.encode())
    changed[place] ^= difference
    try:
        cursor = PartitionCursor.decode(bytes(changed))
    except CursorError:
        return
    assert 0 < cursor.page_documents <= 100_000
    assert 0 < cursor.page_bytes <= 16 << 20


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2, "kind": "mongo-partition"},
        {"v": 1, "kind": "other"},
        {"v": 1, "kind": "mongo-partition"},
        {"v": 1, "kind": "mongo-partition", "ns": 5},
        {**bson.decode(FULL.encode()), "documents": 0},
        {**bson.decode(FULL.encode()), "bytes": 1 << 40},
        {**bson.decode(FULL.encode()), "lower": {"a": 1}},
        {**bson.decode(FULL.encode()), "lower": {"_id": 1, "b": 1}},
        {**bson.decode(FULL.encode()), "upper": 5},
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(CursorError):
        PartitionCursor.decode(bson.encode(fields))
