"""What counts as one id and as one document."""

from __future__ import annotations

import math
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from dsync.codec import raw
from dsync.flow.digest import Form, id_bytes, id_first, sorted_fields

NUMBERS = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000).map(Decimal128),
    st.sampled_from(["NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "-0", "0E+3"]).map(Decimal128),
    st.sampled_from([0.0, -0.0, 1.0, Int64(1), 1, Decimal128("1.0"), Decimal128("1E+6144"), 2.0**60, Int64(2**60)]),
)
VALUES = st.recursive(
    st.one_of(NUMBERS, st.text(max_size=3), st.binary(max_size=3), st.booleans(), st.none(), st.just(MinKey())),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2) | st.lists(inner, max_size=2),
    max_leaves=5,
)


def of(value: Any) -> tuple[int, bytes]:
    return raw.id_of(bson.encode({"_id": value}))


@given(VALUES, VALUES)
def test_ids_have_the_same_bytes_exactly_when_mongodb_holds_them_for_equal(one: Any, other: Any) -> None:
    same = raw.id_key(*of(one)) == raw.id_key(*of(other))
    assert (id_bytes(*of(one)) == id_bytes(*of(other))) == same


@pytest.mark.parametrize("one", [5, 5.0, Int64(5), Decimal128("5.00")])
@pytest.mark.parametrize("other", [5, 5.0, Int64(5), Decimal128("5.00")])
def test_a_number_is_one_id_whatever_its_type(one: Any, other: Any) -> None:
    assert id_bytes(*of(one)) == id_bytes(*of(other))
    assert id_bytes(*of({"a": [one]})) == id_bytes(*of({"a": [other]}))


def test_ids_of_other_types_with_the_same_bytes_are_several() -> None:
    alike = [Int64(5), bson.DatetimeMS(5), Timestamp(5, 0), True, None, MinKey(), MaxKey(), "", b"", {}, [], {"": []}]
    alike += [ObjectId(b"123456789012"), b"123456789012", "5", 0.1, Decimal128("0.1"), math.nan, math.inf, -math.inf]
    assert len({id_bytes(*of(value)) for value in alike}) == len(alike)


def test_the_place_of_the_id_never_counts() -> None:
    assert Form().of(bson.encode({"a": 1, "_id": 2, "b": 3})) == Form().of(bson.encode({"_id": 2, "a": 1, "b": 3}))
    assert id_first(bson.encode({"a": 1, "_id": 2})) == bson.encode({"_id": 2, "a": 1})


def test_the_order_of_other_fields_counts_unless_it_is_to_be_ignored() -> None:
    one = bson.encode({"_id": 1, "a": {"x": 1, "y": [{"p": 1, "q": 2}, 2]}, "b": 2})
    other = bson.encode({"b": 2, "_id": 1, "a": {"y": [{"q": 2, "p": 1}, 2], "x": 1}})
    assert Form().of(one) != Form().of(other)
    assert Form(ignore_field_order=True).of(one) == Form(ignore_field_order=True).of(other)


def test_the_order_of_elements_and_the_type_of_numbers_count_even_then() -> None:
    form = Form(ignore_field_order=True)
    assert form.of(bson.encode({"a": [1, 2]})) != form.of(bson.encode({"a": [2, 1]}))
    assert form.of(bson.encode({"a": 5})) != form.of(bson.encode({"a": Int64(5)}))
    many = {"_id": 1, "a": list(range(12))}
    assert sorted_fields(bson.encode(many)) == bson.encode(many)  # elements 10 and 11 stay behind 9


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"a": Int64(1)}, False),
        ({"a": None}, {}, False),
        ({"c": {"d": 1, "e": 2}}, {"c": {"e": 3, "d": 1}}, True),
        ({"c": {"d": 1}}, {"c": {"d": 2}}, False),
        ({"c": [{"d": 1}, {"d": 2}]}, {"c": [{"d": 2}, {"d": 1}]}, False),
        ({"c": [{"d": 1}, {}]}, {"c": [{}, {"d": 1}]}, False),
        ({"c": 5}, {}, True),
        ({"c": {}}, {}, False),
    ],
)
def test_a_projection_compares_only_its_fields(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    form = Form(projection=((b"a",), (b"c", b"d")))
    assert (form.of(bson.encode(one)) == form.of(bson.encode(other))) == same
