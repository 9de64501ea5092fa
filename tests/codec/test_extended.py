"""BSON -> Extended JSON -> BSON gives the same bytes; other readers understand the text."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import bson
import pytest
from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.decimal128 import Decimal128
from hypothesis import given

from dsync.codec import bson_to_text, exact_writer, raw, reader, text_to_bson
from dsync.codec.errors import RecordError
from tests.codec import bson_bytes
from tests.codec.bson_bytes import framed, many, string

AUTO = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def keep(_: int, record: Any) -> Any:
    return record


@many
@given(bson_bytes.stored)
def test_every_document_comes_back_as_the_same_bytes(document: bytes) -> None:
    assert text_to_bson(bson_to_text([document])) == [document]


@many
@given(bson_bytes.stored)
def test_both_writers_write_the_same_text(document: bytes) -> None:
    assert bson_to_text([document]) == [exact_writer.write(document)]


@many
@given(bson_bytes.stored)
def test_both_readers_read_the_same_document(document: bytes) -> None:
    (text,) = bson_to_text([document])
    assert reader._exact(text, 0, keep) == document


@many
@given(bson_bytes.stored)
def test_the_text_is_one_line_of_json_without_repeated_keys(document: bytes) -> None:
    (text,) = bson_to_text([document])
    assert b"\n" not in text
    json.loads(text, object_pairs_hook=unique, parse_constant=pytest.fail)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


@many
@given(bson_bytes.stored, bson_bytes.stored, bson_bytes.sayable)
def test_a_document_is_the_same_text_in_every_page(first: bytes, second: bytes, third: bytes) -> None:
    alone = [bson_to_text([document])[0] for document in (first, second, third)]
    assert bson_to_text([first, second, third]) == alone
    assert text_to_bson(alone) == [first, second, third]


@many
@given(bson_bytes.sayable)
def test_another_reader_finds_the_same_document_in_the_text(document: bytes) -> None:
    (text,) = bson_to_text([document])
    assert b"$bson" not in text
    assert encoded(json_util.loads(text, json_options=AUTO)) == document


@many
@given(bson_bytes.sayable)
def test_what_another_writer_writes_canonically_is_read(document: bytes) -> None:
    text = json_util.dumps(bson.decode(document, raw.EVERY_DATE), json_options=AUTO)
    assert text_to_bson([text.encode()]) == [document]


def encoded(document: Any) -> bytes:
    # Nested, because the encoder moves a top-level _id to the front.
    return bson.encode({"": document}, codec_options=raw.EVERY_DATE)[6:-1]


def one(kind: int, value: bytes) -> bytes:
    return raw.value_document(kind, value, b"_id")


TEXTS = [
    (raw.DOUBLE, struct.pack("<d", 5.0), "5.0"),
    (raw.DOUBLE, struct.pack("<d", -0.0), "-0.0"),
    (raw.DOUBLE, struct.pack("<d", -1.25), "-1.25"),
    (raw.DOUBLE, struct.pack("<d", float("nan")), '{"$numberDouble":"NaN"}'),
    (raw.DOUBLE, struct.pack("<d", float("inf")), '{"$numberDouble":"Infinity"}'),
    (raw.DOUBLE, struct.pack("<d", float("-inf")), '{"$numberDouble":"-Infinity"}'),
    (raw.STRING, string('é"\\\n'.encode()), r'"é\"\\\n"'),
    (raw.BINARY, b"\1\0\0\0\0a", '{"$binary":{"base64":"YQ==","subType":"00"}}'),
    (raw.BINARY, b"\5\0\0\0\2\1\0\0\0a", '{"$binary":{"base64":"YQ==","subType":"02"}}'),
    (raw.UNDEFINED, b"", '{"$undefined":true}'),
    (raw.OBJECT_ID, bytes(12), '{"$oid":"000000000000000000000000"}'),
    (raw.BOOLEAN, b"\1", "true"),
    (raw.DATE, struct.pack("<q", 0), '{"$date":"1970-01-01T00:00:00.000Z"}'),
    (raw.DATE, struct.pack("<q", 120), '{"$date":"1970-01-01T00:00:00.120Z"}'),
    (raw.DATE, struct.pack("<q", -1), '{"$date":{"$numberLong":"-1"}}'),
    (raw.DATE, struct.pack("<q", 253402300799999), '{"$date":"9999-12-31T23:59:59.999Z"}'),
    (raw.DATE, struct.pack("<q", 253402300800000), '{"$date":{"$numberLong":"253402300800000"}}'),
    (raw.NULL, b"", "null"),
    (raw.REGEX, b"^a/\0im\0", '{"$regularExpression":{"pattern":"^a/","options":"im"}}'),
    (raw.DB_POINTER, string(b"c") + bytes(12), '{"$dbPointer":{"$ref":"c","$id":{"$oid":"000000000000000000000000"}}}'),
    (raw.CODE, string(b"f()"), '{"$code":"f()"}'),
    (raw.CODE_WITH_SCOPE, b"\x11\0\0\0" + string(b"f()") + framed([]), '{"$code":"f()","$scope":{}}'),
    (raw.SYMBOL, string(b"s"), '{"$symbol":"s"}'),
    (raw.INT32, struct.pack("<i", -5), "-5"),
    (raw.TIMESTAMP, struct.pack("<II", 7, 2**32 - 1), '{"$timestamp":{"t":4294967295,"i":7}}'),
    (raw.INT64, struct.pack("<q", 5), '{"$numberLong":"5"}'),
    (raw.INT64, struct.pack("<q", 2**31), "2147483648"),
    (raw.DECIMAL128, Decimal128("-1.50").bid, '{"$numberDecimal":"-1.50"}'),
    (raw.MIN_KEY, b"", '{"$minKey":1}'),
    (raw.MAX_KEY, b"", '{"$maxKey":1}'),
]


@pytest.mark.parametrize(("kind", "value", "text"), TEXTS)
def test_each_type_has_its_form(kind: int, value: bytes, text: str) -> None:
    assert bson_to_text([one(kind, value)]) == [f'{{"_id":{text}}}'.encode()]
    assert text_to_bson([f'{{"_id":{text}}}'.encode()]) == [one(kind, value)]


UNSAYABLE = {
    "a NaN with a payload": (raw.DOUBLE, b"\1\0\0\0\0\0\xf8\x7f"),
    "a negative NaN": (raw.DOUBLE, b"\0\0\0\0\0\0\xf8\xff"),
    "text that is not UTF-8": (raw.STRING, string(b"\xff")),
    "a boolean of 2": (raw.BOOLEAN, b"\2"),
    "an array whose keys are not 0, 1, 2": (raw.ARRAY, framed([b"\x0a1\0"])),
    "a decimal zero in another encoding": (raw.DECIMAL128, bytes(15) + b"\x70"),
    "a decimal NaN with a payload": (raw.DECIMAL128, b"\1" + bytes(14) + b"\x7c"),
    "regular expression options out of order": (raw.REGEX, b"a\0xi\0"),
    "an old binary whose inner length is wrong": (raw.BINARY, b"\5\0\0\0\2\2\0\0\0a"),
}


@pytest.mark.parametrize("name", UNSAYABLE)
def test_what_extended_json_cannot_say_is_kept_as_bson(name: str) -> None:
    document = one(*UNSAYABLE[name])
    assert bson_to_text([document]) == [b'{"$bson":"%b"}' % base64.b64encode(document)]
    assert text_to_bson(bson_to_text([document])) == [document]


def test_only_the_smallest_document_around_is_kept_as_bson() -> None:
    inner = framed([b"\x0ax\0", b"\x0ax\0"])
    document = framed([b"\x0a_id\0", b"\x03a\0" + inner, b"\x10b\0\1\0\0\0"])
    assert bson_to_text([document]) == [b'{"_id":null,"a":{"$bson":"%b"},"b":1}' % base64.b64encode(inner)]


@pytest.mark.parametrize(
    "key", ["$oid", "$date", "$numberLong", "$binary", "$regex", "$code", "$bson", "$undefined", "$uuid"]
)
def test_keys_of_the_users_own_that_read_as_a_wrapper_are_kept_as_bson(key: str) -> None:
    inner = bson.encode({key: "5ca4bbc7a2dd94ee5816238c"})
    document = framed([b"\x0a_id\0", b"\x03a\0" + inner])
    assert bson_to_text([document]) == [b'{"_id":null,"a":{"$bson":"%b"}}' % base64.b64encode(inner)]


def test_other_keys_with_a_dollar_stand_as_they_are() -> None:
    document = bson.encode({"_id": 1, "q": {"$set": {"$inc": 1}}, "r": {"$ref": "c", "$id": 5, "$db": "d", "x": 1}})
    assert bson_to_text([document]) == [b'{"_id":1,"q":{"$set":{"$inc":1}},"r":{"$ref":"c","$id":5,"$db":"d","x":1}}']


def test_keys_keep_their_order_and_an_id_its_place() -> None:
    document = framed([b"\x0az\0", b"\x0a_id\0", b"\x0aa\0"])
    assert bson_to_text([document]) == [b'{"z":null,"_id":null,"a":null}']
    assert text_to_bson([b'{"z":null,"_id":null,"a":null}']) == [document]


@pytest.mark.parametrize("levels", [1, 100, 199, 200, 201, 252, 253, 254, 255, 299])
def test_deep_nesting_comes_back(levels: int) -> None:
    deep = framed([b"\x09d\0" + struct.pack("<q", -1)])
    for _ in range(levels - 1):
        deep = framed([b"\x03a\0" + deep])
    document = framed([b"\x0a_id\0", b"\x03a\0" + deep])
    assert text_to_bson(bson_to_text([document])) == [document]
    arrays = framed([])
    for _ in range(levels - 1):
        arrays = framed([b"\x040\0" + arrays])
    document = framed([b"\x0a_id\0", b"\x04a\0" + arrays])
    assert text_to_bson(bson_to_text([document])) == [document]


def test_nesting_that_nobody_stores_is_refused_with_its_place() -> None:
    deep = framed([])
    for _ in range(2000):
        deep = framed([b"\x03a\0" + deep])
    with pytest.raises(RecordError, match=r"record 1 of the page: .*nested deeper than 300") as caught:
        bson_to_text([bson.encode({"_id": 1}), deep])
    assert caught.value.index == 1


def test_a_document_of_16_megabytes_comes_back() -> None:
    document = bson.encode({"_id": 1, "list": list(range(700_000)), "text": "é" * 3_750_000})
    assert 15 << 20 < len(document) < 16 << 20
    assert text_to_bson(bson_to_text([document, document])) == [document, document]


def test_bytes_that_are_not_bson_are_refused_with_their_place() -> None:
    sound = bson.encode({"_id": 1})
    for bad in (b"", sound[:-1], sound + b"\0", sound + sound, b"\5\0\0\0\1", b"\xff\xff\xff\xff\0"):
        with pytest.raises(RecordError) as caught:
            bson_to_text([sound, sound, bad])
        assert caught.value.index == 2


def test_a_page_of_any_length_keeps_its_order() -> None:
    page = [bson.encode({"_id": number, "x": 1.5 if number % 300 else float("nan")}) for number in range(1000)]
    assert text_to_bson(bson_to_text(page)) == page
    assert bson_to_text(tuple(page)) == bson_to_text(page)
    assert bson_to_text([]) == text_to_bson([]) == []
