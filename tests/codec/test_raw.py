"""Looking into BSON without decoding it."""

from __future__ import annotations

import contextlib
import struct
from random import Random
from typing import Any

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId, Regex
from hypothesis import given
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError

from dsync.codec import InvalidBson, raw
from dsync.errors import DataError
from tests.codec.bson_bytes import Maker, element, framed, many, sayable, stored, string


def value(of: Any) -> tuple[int, bytes]:
    return raw.id_of(bson.encode({"_id": of}))


@many
@given(stored)
def test_elements_together_are_the_document(document: bytes) -> None:
    parts = [element(key, kind, document[start:end]) for kind, key, start, end in raw.elements(document)]
    assert framed(parts) == document


def test_elements_of_a_document_inside_another_are_found_by_its_place() -> None:
    document = bson.encode({"a": {"b": 1}})
    ((_, _, start, _),) = raw.elements(document)
    assert [key for _, key, _, _ in raw.elements(document, start)] == [b"b"]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 12000])
def test_an_array_is_sliced_into_its_documents(count: int) -> None:
    documents = [bson.encode({"_id": index}) for index in range(count)]
    reply = bson.encode({"ok": 1, "batch": [bson.decode(document) for document in documents]})
    start = next(start for _, key, start, _ in raw.elements(reply) if key == b"batch")
    assert raw.slice_array(reply, start) == documents
    assert raw.array(documents) == bson.encode({"": [bson.decode(document) for document in documents]})[6:-1]


def test_an_array_of_other_things_is_not_sliced() -> None:
    arrays: list[list[object]] = [[1], ["x" * 50], [{}, 5], [[]]]
    for array in arrays:
        encoded = bson.encode({"": array})
        with pytest.raises(InvalidBson):
            raw.slice_array(encoded, 6)


@many
@given(stored)
def test_the_id_is_found_wherever_it_stands(document: bytes) -> None:
    kind, data = raw.id_of(document)
    assert raw.id_document(document) == framed([element(b"_id", kind, data)])
    assert element(b"_id", kind, data) in document


def test_a_document_without_an_id_is_a_data_error() -> None:
    for document in (bson.encode({}), bson.encode({"id": 1, "a": {"_id": 2}})):
        with pytest.raises(DataError, match="no _id"):
            raw.id_of(document)


@many
@given(stored)
def test_whatever_is_stored_passes_the_loose_check(document: bytes) -> None:
    raw.check(document, strict=False)


@many
@given(sayable)
def test_sound_documents_pass_the_strict_check_by_both_ways(document: bytes) -> None:
    raw.check(document)
    raw._Check(document, strict=True).run()


NOT_BSON = {
    "nothing": b"",
    "a length alone": b"\4\0\0\0",
    "a length that is too small": b"\4\0\0\0\0",
    "a length that is too large": b"\6\0\0\0\0",
    "a negative length": b"\xff\xff\xff\xff\0",
    "no end": b"\5\0\0\0\1",
    "bytes behind the end": framed([]) + b"\0",
    "two documents": framed([]) * 2,
    "an end before the end": b"\6\0\0\0\0\0",
    "an unknown type": framed([element(b"a", 0x14, b"")]),
    "a type of zero": framed([b"\0a\0"]),
    "a key without an end": framed([b"\x0aabc"]),
    "a value that is cut off": framed([element(b"a", raw.INT64, b"\0\0\0\0")]),
    "a string longer than its document": framed([element(b"a", raw.STRING, b"\x09\0\0\0a\0")]),
    "a string of no bytes": framed([element(b"a", raw.STRING, b"\0\0\0\0")]),
    "a string of a negative length": framed([element(b"a", raw.STRING, b"\xfc\xff\xff\xff")]),
    "a string without an end": framed([element(b"a", raw.STRING, b"\1\0\0\0a")]),
    "a string that eats the end": b"\x0e\0\0\0\2a\0\3\0\0\0a\0\0",
    "a document longer than the one around it": framed([element(b"a", raw.DOCUMENT, b"\x09\0\0\0\0")]),
    "a document without an end": framed([element(b"a", raw.DOCUMENT, b"\5\0\0\0\1")]),
    "an array shorter than what it holds": framed([element(b"a", raw.ARRAY, b"\6\0\0\0\x0a\0")]),
    "a binary of a negative length": framed([element(b"a", raw.BINARY, b"\xff\xff\xff\xff\0")]),
    "a binary longer than its document": framed([element(b"a", raw.BINARY, b"\x7f\0\0\0\0")]),
    "a regular expression without options": framed([element(b"a", raw.REGEX, b"a\0b")]),
    "a pointer that is cut off": framed([element(b"a", raw.DB_POINTER, string(b"c") + bytes(11))]),
    "code with a scope of other lengths": framed(
        [element(b"a", raw.CODE_WITH_SCOPE, struct.pack("<i", 16) + string(b"f") + framed([]))]
    ),
    "code with a scope too small": framed([element(b"a", raw.CODE_WITH_SCOPE, struct.pack("<i", 8) + bytes(4))]),
    "code with a negative code": framed(
        [element(b"a", raw.CODE_WITH_SCOPE, struct.pack("<ii", 14, -8) + b"\0" + framed([]))]
    ),
}
UNCLEAN = {
    "a key that is not UTF-8": framed([element(b"\xff", raw.NULL, b"")]),
    "a string that is not UTF-8": framed([element(b"a", raw.STRING, string(b"\xed\xa0\x80"))]),
    "code that is not UTF-8": framed([element(b"a", raw.CODE, string(b"\xff"))]),
    "a pointer that is not UTF-8": framed([element(b"a", raw.DB_POINTER, string(b"\xff") + bytes(12))]),
    "a regular expression that is not UTF-8": framed([element(b"a", raw.REGEX, b"\xff\0\0")]),
    "an old binary of another length inside": framed([element(b"a", raw.BINARY, b"\5\0\0\0\2\2\0\0\0a")]),
    "a boolean of 2": framed([element(b"a", raw.BOOLEAN, b"\2")]),
}


@pytest.mark.parametrize("name", NOT_BSON)
def test_what_is_not_bson_is_refused(name: str) -> None:
    for strict in (True, False):
        with pytest.raises(InvalidBson):
            raw.check(NOT_BSON[name], strict=strict)
        with pytest.raises(InvalidBson):
            raw.check(framed([element(b"a", raw.DOCUMENT, NOT_BSON[name])]), strict=strict)


@pytest.mark.parametrize("name", UNCLEAN)
def test_what_servers_store_without_looking_is_refused_only_by_the_strict_check(name: str) -> None:
    raw.check(UNCLEAN[name], strict=False)
    with pytest.raises(InvalidBson):
        raw.check(UNCLEAN[name])


def test_nesting_is_bounded_at_the_same_level_by_both_ways() -> None:
    def deep(levels: int) -> bytes:
        document = framed([])
        for _ in range(levels - 1):
            document = framed([element(b"a", raw.DOCUMENT, document)])
        return document

    raw.check(deep(raw.MAX_NESTING))
    raw._Check(deep(raw.MAX_NESTING), strict=True).run()
    for levels in (raw.MAX_NESTING + 1, 5000):
        with pytest.raises(InvalidBson, match="nested"):
            raw.check(deep(levels))


def test_a_wide_document_is_not_a_deep_one() -> None:
    raw.check(bson.encode({"list": [{"a": [3]}] * 5000}))


def test_nothing_but_invalid_bson_comes_of_damaged_bytes() -> None:
    random = Random(22)
    accepted = 0
    for seed in range(2000):
        damaged = bytearray(Maker(seed, odd=True).with_id())
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(damaged))
            damaged[at : at + random.choice([1, 1, 1, 0, 4])] = random.choice(
                [b"\0", b"\3", b"\xff", b"\x0f", random.randbytes(4), b""]
            )
        if random.random() < 0.7 and len(damaged) > 4:
            damaged[:4] = struct.pack("<i", len(damaged))
        walk(bytes(damaged))
        try:
            raw.check(bytes(damaged))
        except InvalidBson:
            continue
        accepted += 1
        bson.decode(bytes(damaged), raw.EVERY_DATE)
    assert 10 < accepted < 1900


def walk(document: bytes) -> None:
    for look in (
        lambda: list(raw.elements(document)),
        lambda: raw.slice_array(document),
        lambda: raw.id_document(document),
    ):
        with contextlib.suppress(DataError):
            look()


def test_random_bytes_are_refused() -> None:
    random = Random(23)
    for _ in range(3000):
        noise = random.randbytes(random.randrange(40))
        walk(noise)
        walk(struct.pack("<i", len(noise) + 4) + noise)
        for strict in (True, False):
            with pytest.raises(InvalidBson):
                raw.check(noise + b"\1", strict=strict)


EQUAL: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, Int64(1)),
    (1, Decimal128("1.0")),
    (1, Decimal128("10E-1")),
    (0, -0.0),
    (0, Decimal128("-0E+5")),
    (0.5, Decimal128("0.5")),
    (Int64(2**53), float(2**53)),
    (float("inf"), Decimal128("Infinity")),
    (float("nan"), Decimal128("NaN")),
    (float("nan"), Decimal128("sNaN")),
    ({"a": 1}, {"a": 1.0}),
    ({"a": [1, {"b": Int64(2)}]}, {"a": [1.0, {"b": 2}]}),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (1, True),
    (0, False),
    (1, "1"),
    (0, None),
    (0.1, Decimal128("0.1")),
    (Int64(2**53 + 1), float(2**53)),
    (float("inf"), float("-inf")),
    (float("nan"), None),
    ("NaN", float("nan")),
    (b"a", "a"),
    (Binary(b"a", 5), b"a"),
    (Code("a"), "a"),
    (Regex("a"), Regex("a", "i")),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": 1}, {"b": 1}),
    ({}, []),
    ([1], {"0": 1}),
    ({}, None),
    (ObjectId(b"0" * 12), b"0" * 12),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal_ids_have_equal_keys(one: Any, other: Any) -> None:
    assert raw.id_key(*value(one)) == raw.id_key(*value(other))
    assert hash(raw.id_key(*value(one))) == hash(raw.id_key(*value(other)))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_ids_have_different_keys(one: Any, other: Any) -> None:
    assert raw.id_key(*value(one)) != raw.id_key(*value(other))


def test_ids_of_the_same_bytes_and_other_types_are_different() -> None:
    five = struct.pack("<q", 5)
    keys = {raw.id_key(kind, five) for kind in (raw.INT64, raw.DATE, raw.TIMESTAMP, raw.DOUBLE)}
    assert len(keys) == 4
    assert len({raw.id_key(kind, b"") for kind in (raw.NULL, raw.UNDEFINED, raw.MIN_KEY, raw.MAX_KEY)}) == 4


def test_a_symbol_is_the_same_id_as_its_string() -> None:
    assert raw.id_key(raw.SYMBOL, string(b"a")) == raw.id_key(raw.STRING, string(b"a"))


IDS: list[Any] = [of for pair in [*EQUAL, *DIFFERENT] for of in pair]
IDS += [
    Decimal128("0.1000000000000000055511151231257827"),
    Decimal128("9007199254740993"),
    float(2**63),
    Int64(2**63 - 1),
    5e-324,
]
IDS += [
    Decimal128("9223372036854775808"),
    Decimal128("1E+6144"),
    1e300,
    Decimal128("1E+300"),
    Decimal128("4.940656458412465E-324"),
]
IDS += [
    {"a": None},
    {"a": {}},
    {"a": ""},
    {"a": 1, "b": None},
    {"A": 1},
    "",
    "A",
    "a\0",
    b"",
    Binary(b"a", 2),
    Code("a", {}),
]


def test_keys_are_equal_exactly_where_a_server_finds_duplicate_ids(mongo_uri: str) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_uri)
    collection = client["codec_ids"]["ids"]
    collection.drop()
    seen: set[Any] = set()
    wrong = []
    for of in IDS:
        key = raw.id_key(*value({"x": of}))  # nested, because arrays and regular expressions are no ids
        try:
            collection.insert_one({"_id": {"x": of}})
            duplicate = False
        except DuplicateKeyError:
            duplicate = True
        if duplicate != (key in seen):
            wrong.append(of)
        seen.add(key)
    client.drop_database("codec_ids")
    client.close()
    assert wrong == []
