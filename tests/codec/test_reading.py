"""What Extended JSON and plain JSON are read as, and what is refused."""

from __future__ import annotations

import json
import struct
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Timestamp
from bson.datetime_ms import DatetimeMS

from dsync.codec import RecordError, raw, text_to_bson
from tests.codec.bson_bytes import framed, string

OID = "5ca4bbc7a2dd94ee5816238c"
UUID = "c8edabc3-f738-4ca3-b68d-ab92a91478a3"


def read(value: str) -> tuple[int, bytes]:
    (document,) = text_to_bson([f'{{"_id":{value}}}'.encode()])
    raw.check(document)
    return raw.id_of(document)


def value(of: Any) -> tuple[int, bytes]:
    return raw.id_of(bson.encode({"_id": of}, codec_options=raw.EVERY_DATE))


READ: list[tuple[str, Any]] = [
    # plain JSON
    ("5", 5),
    ("-0", 0),
    ("2147483647", 2**31 - 1),
    ("2147483648", Int64(2**31)),
    ("-2147483648", -(2**31)),
    ("-2147483649", Int64(-(2**31) - 1)),
    ("9007199254740993", Int64(2**53 + 1)),
    ("9223372036854775807", Int64(2**63 - 1)),
    ("-9223372036854775808", Int64(-(2**63))),
    ("5.0", 5.0),
    ("-0.0", -0.0),
    ("1E2", 100.0),
    ("1e-400", 0.0),
    ("0.1", 0.1),
    ("123456789012345678901234567890.5", 123456789012345678901234567890.5),
    ('"a\\u0000\\u003a\\ud83d\\ude00\\/"', "a\0:😀/"),
    ("[]", []),
    ('[1,[2.5,{"a":null}],true]', [1, [2.5, {"a": None}], True]),
    ('{"":{"":1}}', {"": {"": 1}}),
    # canonical
    ('{"$numberInt":"-5"}', -5),
    ('{"$numberInt":"+05"}', 5),
    ('{"$numberLong":"5"}', Int64(5)),
    ('{"$numberLong":"-9223372036854775808"}', Int64(-(2**63))),
    ('{"$numberDouble":"5"}', 5.0),
    ('{"$numberDouble":"-0.0"}', -0.0),
    ('{"$numberDouble":"1.5E+3"}', 1500.0),
    ('{"$numberDouble":"Infinity"}', float("inf")),
    ('{"$numberDouble":"-Infinity"}', float("-inf")),
    ('{"$numberDouble":"NaN"}', float("nan")),
    ('{"$numberDecimal":"1.50"}', Decimal128("1.50")),
    ('{"$numberDecimal":"-Infinity"}', Decimal128("-Infinity")),
    ('{"$numberDecimal":"1E+6144"}', Decimal128("1E+6144")),
    (f'{{"$oid":"{OID}"}}', ObjectId(OID)),
    (f'{{"$oid":"{OID.upper()}"}}', ObjectId(OID)),
    ('{"$date":{"$numberLong":"-1"}}', DatetimeMS(-1)),
    ('{"$date":{"$numberLong":"9223372036854775807"}}', DatetimeMS(2**63 - 1)),
    ('{"$timestamp":{"t":1,"i":4294967295}}', Timestamp(1, 2**32 - 1)),
    ('{"$timestamp":{"i":2,"t":1}}', Timestamp(1, 2)),
    ('{"$binary":{"base64":"YQ==","subType":"00"}}', b"a"),
    ('{"$binary":{"subType":"5","base64":"YQ=="}}', Binary(b"a", 5)),
    ('{"$binary":{"base64":"YQ==","subType":"02"}}', Binary(b"a", 2)),
    ('{"$binary":{"base64":"","subType":"FF"}}', Binary(b"", 255)),
    (f'{{"$uuid":"{UUID}"}}', Binary(bytes.fromhex(UUID.replace("-", "")), 4)),
    ('{"$minKey":1}', MinKey()),
    ('{"$maxKey":1}', MaxKey()),
    # escaped keys are the same keys
    (f'{{"\\u0024oid":"{OID}"}}', ObjectId(OID)),
    # relaxed dates
    ('{"$date":"1970-01-01T00:00:00Z"}', DatetimeMS(0)),
    ('{"$date":"1970-01-01T00:00:00.5Z"}', DatetimeMS(500)),
    ('{"$date":"1970-01-01T00:00:00.050000Z"}', DatetimeMS(50)),
    ('{"$date":"1969-12-31T23:59:59.999Z"}', DatetimeMS(-1)),
    ('{"$date":"1970-01-01T01:00:00.001+01:00"}', DatetimeMS(1)),
    ('{"$date":"1969-12-31T22:30:00-0130"}', DatetimeMS(0)),
    ('{"$date":"1970-01-01T01:00+01"}', DatetimeMS(0)),
    ('{"$date":"0001-01-01T00:00:00.000Z"}', DatetimeMS(-62135596800000)),
    ('{"$date":"9999-12-31T23:59:59.999-23:00"}', DatetimeMS(253402300799999 + 23 * 3_600_000)),
    # older forms
    ('{"$date":1577836800120}', DatetimeMS(1577836800120)),
    ('{"$binary":"YQ==","$type":"00"}', b"a"),
    ('{"$type":"80","$binary":"YQ=="}', Binary(b"a", 128)),
    ('{"$binary":"YQ==","$type":"ffffff80"}', Binary(b"a", 128)),
    ('{"$binary":"YQ==","$type":5}', Binary(b"a", 5)),
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_values_are_read_as_what_they_say(text: str, expected: Any) -> None:
    assert read(text) == value(expected)


BYTES = [
    ('{"$regularExpression":{"pattern":"a/b","options":"xi"}}', raw.REGEX, b"a/b\0ix\0"),
    ('{"$regex":"a","$options":"si"}', raw.REGEX, b"a\0is\0"),
    ('{"$symbol":"s"}', raw.SYMBOL, string(b"s")),
    ('{"$undefined":true}', raw.UNDEFINED, b""),
    ('{"$code":"f"}', raw.CODE, string(b"f")),
    (
        '{"$scope":{"x":{"$numberLong":"1"}},"$code":"f"}',
        raw.CODE_WITH_SCOPE,
        struct.pack("<i", 26) + string(b"f") + framed([b"\x12x\0" + struct.pack("<q", 1)]),
    ),
    (f'{{"$dbPointer":{{"$ref":"c","$id":{{"$oid":"{OID}"}}}}}}', raw.DB_POINTER, string(b"c") + bytes.fromhex(OID)),
    ('{"$bson":"BQAAAAA="}', raw.DOCUMENT, framed([])),
]


@pytest.mark.parametrize(("text", "kind", "expected"), BYTES)
def test_types_that_the_driver_does_not_keep_are_read(text: str, kind: int, expected: bytes) -> None:
    assert read(text) == (kind, expected)


PLAIN = [
    {"$set": {"a": 1}},
    {"$ref": "c", "$id": 1},
    {"$ref": "c", "$id": 1, "$db": "d", "x": 2},
    {"$regex": "a"},
    {"$regex": "a", "$options": 5},
    {"$regex": "a", "$options": "i", "x": 1},
    {"$type": "string"},
    {"$options": "i"},
    {"$scope": {}},
    {"$gt": 5, "$lt": {"$in": [1]}},
    {"oid": 5, "$": 1},
]


@pytest.mark.parametrize("document", PLAIN)
def test_keys_that_extended_json_does_not_define_stay_plain(document: dict[str, Any]) -> None:
    assert read(json.dumps(document)) == value(document)


def test_a_stored_query_keeps_its_regular_expression_inside() -> None:
    kind, document = read('{"$regex":{"$regularExpression":{"pattern":"a","options":""}},"$options":"i"}')
    assert kind == raw.DOCUMENT
    assert [(kind, key) for kind, key, _, _ in raw.elements(document)] == [
        (raw.REGEX, b"$regex"),
        (raw.STRING, b"$options"),
    ]


MALFORMED = [
    '{"$oid":5}',
    '{"$oid":"5ca4"}',
    '{"$oid":"5ca4bbc7a2dd94ee5816238g"}',
    '{"$oid":"5ca4bbc7a2dd94ee58162  c"}',
    f'{{"$oid":"{OID}","x":1}}',
    f'{{"x":1,"$oid":"{OID}"}}',
    '{"$symbol":1}',
    '{"$numberInt":5}',
    '{"$numberInt":"2147483648"}',
    '{"$numberInt":"1_0"}',
    '{"$numberInt":" 1"}',
    '{"$numberInt":"\\u0665"}',
    '{"$numberInt":""}',
    '{"$numberInt":"1.0"}',
    '{"$numberLong":5}',
    '{"$numberLong":"9223372036854775808"}',
    '{"$numberLong":"' + "9" * 5000 + '"}',
    '{"$numberDouble":1.5}',
    '{"$numberDouble":"1e400"}',
    '{"$numberDouble":"nan"}',
    '{"$numberDouble":"0x10"}',
    '{"$numberDouble":"1_0"}',
    '{"$numberDouble":[]}',
    '{"$numberDecimal":1}',
    '{"$numberDecimal":"1E+7000"}',
    '{"$numberDecimal":"' + "1" * 35 + '"}',
    '{"$numberDecimal":"1_0"}',
    '{"$numberDecimal":"sNaN"}',
    '{"$date":"yesterday"}',
    '{"$date":"2020-01-01"}',
    '{"$date":"2020-01-01T00:00:00"}',
    '{"$date":"2020-01-01T00:00:00.0001Z"}',
    '{"$date":"2020-02-30T00:00:00Z"}',
    '{"$date":"2020-W01-1T00:00:00.000Z"}',
    '{"$date":"2020-01-01T00:00:00.+01Z"}',
    '{"$date":"2020-01-01T00:00:00+24:00"}',
    '{"$date":"2020-01-01T00:00:00.00\\u0661Z"}',
    '{"$date":"0000-01-01T00:00:00Z"}',
    '{"$date":true}',
    '{"$date":1.5}',
    '{"$date":9223372036854775808}',
    '{"$date":{"$numberLong":5}}',
    '{"$date":{"$numberLong":"5","x":1}}',
    '{"$binary":"YQ=="}',
    '{"$binary":{"base64":"YQ==","subType":"100"}}',
    '{"$binary":{"base64":"YQ==","subType":0}}',
    '{"$binary":{"base64":"Y","subType":"00"}}',
    '{"$binary":{"base64":"Y*==","subType":"00"}}',
    '{"$binary":{"base64":"YQ==","subType":"00","x":1}}',
    '{"$binary":"YQ==","$type":256}',
    '{"$binary":"YQ==","$type":-1}',
    '{"$binary":"YQ==","$type":null}',
    '{"$uuid":"c8edabc3"}',
    '{"$uuid":5}',
    '{"$code":1}',
    '{"$code":"f","$scope":1}',
    f'{{"$code":"f","$scope":{{"$oid":"{OID}"}}}}',
    '{"$code":"f","x":1}',
    '{"$timestamp":{"t":1}}',
    '{"$timestamp":{"t":1,"i":4294967296}}',
    '{"$timestamp":{"t":-1,"i":1}}',
    '{"$timestamp":{"t":"1","i":1}}',
    '{"$timestamp":{"t":true,"i":1}}',
    '{"$timestamp":5}',
    '{"$regularExpression":{"pattern":"a"}}',
    '{"$regularExpression":{"pattern":"a\\u0000","options":""}}',
    '{"$regularExpression":{"pattern":1,"options":""}}',
    '{"$regex":"a\\u0000","$options":""}',
    '{"$dbPointer":{"$ref":"c"}}',
    '{"$dbPointer":{"$ref":"c","$id":5}}',
    '{"$dbPointer":{"$ref":"c","$id":{"$oid":5}}}',
    '{"$minKey":true}',
    '{"$minKey":2}',
    '{"$minKey":1.0}',
    '{"$maxKey":"1"}',
    '{"$undefined":false}',
    '{"$undefined":1}',
    '{"$bson":"BQAAAAE="}',
    '{"$bson":"BQAAAA=="}',
    '{"$bson":"*"}',
    '{"$bson":5}',
    '{"$bson":"BQAAAAA=","x":1}',
]
UNSOUND = [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"a":"\\u003a","b":1,"b":2}',
    '{"a":":","a":"x"}',
    '[{"x":{"a":1,"b":":","a":1}}]',
    '{"$oid":"5ca4bbc7a2dd94ee5816238c","$oid":"5ca4bbc7a2dd94ee5816238c"}',
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1" * 5000,
    "01",
    "1.",
    ".5",
    "+1",
    "0x10",
    "'a'",
    "tru",
    "",
    '"a',
    '"\t"',
    '"\\x"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '{"\\ud800":1}',
    '{"a\\u0000b":1}',
    '{"a":1,}',
    "[1,]",
    "[1 2]",
    "{1:2}",
    "1 /* x */",
    "[" * 5000 + "]" * 5000,
    '{"a":' * 400 + "1" + "}" * 400,
    "[" * 301 + "]" * 301,
]


@pytest.mark.parametrize("text", MALFORMED + UNSOUND)
def test_what_is_not_sound_is_refused_in_every_page_for_the_same_reason(text: str) -> None:
    record = f'{{"_id":{text}}}'.encode()
    good = b'{"_id":1,"x":"\\u003a"}'
    reasons = set()
    for index in (0, 1, 300):
        page = [good] * index + [record] + [good] * 3
        with pytest.raises(RecordError) as caught:
            text_to_bson(page)
        assert caught.value.index == index
        assert "5ca4" not in str(caught.value) and "yesterday" not in str(caught.value)
        reasons.add(caught.value.reason)
    assert len(reasons) == 1


RECORDS = [
    b"",
    b" ",
    b"1",
    b"null",
    b"[]",
    b'[{"_id":1}]',
    b'"x"',
    b'{"_id":1}{"_id":2}',
    b'{"_id":1},{"_id":2}',
    b'{"_id":1}x',
]
RECORDS += [
    b'\xef\xbb\xbf{"_id":1}',
    b'{"_id":"\xff"}',
    b'{"\xff":1,"_id":1}',
    b'{"_id":"\xed\xa0\x80"}',
    b'{"_id":1}\0',
    b'{"_id":1',
]
RECORDS += [b'{"$oid":"5ca4bbc7a2dd94ee5816238c"}', b'{"$numberInt":"5"}', '{"_id":1}'.encode("utf-16")]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_that_is_not_one_object_is_refused(record: bytes) -> None:
    with pytest.raises(RecordError):
        text_to_bson([record])


def test_records_that_are_whole_only_together_are_refused() -> None:
    with pytest.raises(RecordError, match="record 0 "):
        text_to_bson([b'{"_id":1', b'"b":2},{"_id":3}'])


def test_blanks_around_and_within_a_record_are_no_matter() -> None:
    spaced = b' \t\r\n{ "_id" : { "$oid" : "5ca4bbc7a2dd94ee5816238c" } , "a : b" : [ 1 , "x:" ] }\r\n '
    compact = b'{"_id":{"$oid":"5ca4bbc7a2dd94ee5816238c"},"a : b":[1,"x:"]}'
    assert text_to_bson([spaced]) == text_to_bson([compact])


def test_messages_name_the_place_and_never_the_contents() -> None:
    with pytest.raises(RecordError) as caught:
        text_to_bson([b'{"_id":1}', b'{"_id":2,"secret":"hunter2","secret":"hunter3"}'])
    assert str(caught.value) == "record 1 of the page: a key stands twice in one object"
