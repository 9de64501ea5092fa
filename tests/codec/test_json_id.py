"""Which key is the identity, in text and on the wire."""

from __future__ import annotations

import base64
import json
from random import Random

import bson
import msgspec
import pytest
from hypothesis import given

from dsync import wire
from dsync.codec import (
    RecordError,
    bson_to_json_id,
    bson_to_text,
    convert,
    json_id_to_bson,
    json_id_to_text,
    text_to_bson,
    text_to_json_id,
)
from dsync.codec.json_id import _swap
from dsync.errors import UnimplementedError
from tests.codec.bson_bytes import Maker, element, framed, many, stored


def made(index: int) -> str:
    return f'shop."orders":{index + 1}'


@many
@given(stored)
def test_every_document_crosses_the_wire_as_the_same_bytes(document: bytes) -> None:
    page = bson_to_json_id([document])
    assert json_id_to_bson(page) == [document]
    assert json_id_to_text(page) == bson_to_text([document])
    assert text_to_json_id(bson_to_text([document])) == page


@many
@given(stored)
def test_on_the_wire_the_identity_is_always_named_id(document: bytes) -> None:
    (record,) = bson_to_json_id([document])
    assert "id" in json.loads(record)


TEXT = [
    # text, its BSON, the wire's JSON
    ('{"_id":1,"a":2}', {"_id": 1, "a": 2}, '{"id":1,"a":2}'),
    ('{"id":1,"a":2}', {"_id": 1, "a": 2}, '{"id":1,"a":2}'),
    ('{"a":2,"id":1}', {"a": 2, "_id": 1}, '{"a":2,"id":1}'),
    ('{"id":1,"_id":2}', {"id": 1, "_id": 2}, '{"_id":1,"id":2}'),
    ('{"_id":2,"a":{"id":3,"_id":4}}', {"_id": 2, "a": {"id": 3, "_id": 4}}, '{"id":2,"a":{"id":3,"_id":4}}'),
    ('{"a":[{"id":3}],"_id":"id"}', {"a": [{"id": 3}], "_id": "id"}, '{"a":[{"id":3}],"id":"id"}'),
    (r'{"_id":"\"id\":1,\"_id\":2"}', {"_id": '"id":1,"_id":2'}, r'{"id":"\"id\":1,\"_id\":2"}'),
    (r'{"_id":"\\","x":"\\\"{"}', {"_id": "\\", "x": '\\"{'}, r'{"id":"\\","x":"\\\"{"}'),
    (' { "_id" : 1 , "id":"\\u0069d" } ', {"_id": 1, "id": "id"}, ' { "id" : 1 , "_id":"\\u0069d" } '),
    ('{"\\u005fid":1}', {"_id": 1}, '{"id":1}'),
    ('{"a":1}', {"_id": made(0), "a": 1}, '{"id":"shop.\\"orders\\":1","a":1}'),
    (' {\n "a" : 1 }', {"_id": made(0), "a": 1}, '{"id":"shop.\\"orders\\":1","a" : 1 }'),
    ("{ }", {"_id": made(0)}, '{"id":"shop.\\"orders\\":1"}'),
    ('{"_id":null,"id":5}', {"_id": None, "id": 5}, '{"id":null,"_id":5}'),
    ('{"_id":{"$oid":"5ca4bbc7a2dd94ee5816238c"}}', {"_id": bson.ObjectId("5ca4bbc7a2dd94ee5816238c")}, None),
]


@pytest.mark.parametrize(("text", "document", "record"), TEXT)
def test_the_identity_of_text_is_found_renamed_or_made(
    text: str, document: dict[str, object], record: str | None
) -> None:
    expected = bson.encode({"": document})[6:-1]
    assert text_to_bson([text.encode()], made) == [expected]
    (converted,) = text_to_json_id([text.encode()], made)
    assert json_id_to_bson([converted]) == [expected]
    if record is not None:
        assert converted == record.encode()


def test_made_ids_know_the_index_in_the_whole_page() -> None:
    page = [b'{"_id":0}'] * 600 + [b'{"a":1}', b'{"a":"\\u003a"}']
    documents = [bson.decode(document) for document in text_to_bson(page, made)]
    assert [document["_id"] for document in documents[600:]] == [made(600), made(601)]
    assert [json.loads(record)["id"] for record in text_to_json_id(page, made)[600:]] == [made(600), made(601)]


def test_text_without_an_identity_is_refused_where_none_may_be_made() -> None:
    for conversion in (text_to_bson, text_to_json_id):
        with pytest.raises(RecordError, match="record 1 of the page: neither _id nor id"):
            conversion([b'{"_id":1}', b'{"a":1}'])


def test_the_wire_needs_an_id_unless_told_otherwise() -> None:
    for record in (b'{"a":1}', b'{"_id":1}', b"{}"):
        with pytest.raises(RecordError, match="no id"):
            json_id_to_bson([record])
    assert json_id_to_bson([b'{"a":1}', b'{"_id":1}', b"{}"], required=False) == [
        bson.encode({"a": 1}),
        bson.encode({"id": 1}),
        bson.encode({}),
    ]
    assert convert([b'{"a":1}'], wire.JSON_ID, wire.BSON, required=False) == [bson.encode({"a": 1})]


def test_the_wire_swaps_both_names_and_back() -> None:
    document = framed([element(b"id", 16, b"\1\0\0\0"), element(b"_id", 16, b"\2\0\0\0")])
    assert bson_to_json_id([document]) == [b'{"_id":1,"id":2}']
    assert json_id_to_bson([b'{"_id":1,"id":2}']) == [document]
    assert json_id_to_text([b'{ "id":\t1 }', b'{"a":1}']) == [b'{ "_id":\t1 }', b'{"a":1}']


def test_a_document_that_extended_json_cannot_say_still_shows_its_id_on_the_wire() -> None:
    document = framed([element(b"_id", 16, b"\1\0\0\0"), element(b"a", 10, b""), element(b"a", 10, b"")])
    (record,) = bson_to_json_id([document])
    assert record == b'{"id":1,"$bson":"%b"}' % base64.b64encode(document)
    assert json_id_to_bson([record]) == [document]
    assert json_id_to_text([record]) == bson_to_text([document])


def test_an_id_that_is_not_the_one_of_the_document_beside_it_is_refused() -> None:
    document = framed([element(b"_id", 16, b"\1\0\0\0"), element(b"a", 10, b""), element(b"a", 10, b"")])
    (record,) = bson_to_json_id([document])
    for conversion in (json_id_to_bson, json_id_to_text):
        with pytest.raises(RecordError, match="an id that is not the one"):
            conversion([record.replace(b'"id":1', b'"id":2')])


def test_bson_without_an_identity_in_text_gets_one() -> None:
    def packed(document: bytes) -> bytes:
        return b'{"$bson":"%b"}' % base64.b64encode(document)

    assert text_to_bson([packed(bson.encode({"a": 1}))], made) == [bson.encode({"_id": made(0), "a": 1})]
    assert text_to_bson([packed(bson.encode({"a": 1, "id": 5, "b": 2}))]) == [framed_pairs()]
    assert json.loads(text_to_json_id([packed(bson.encode({"a": 1}))], made)[0]) == {"id": made(0), "a": 1}
    with pytest.raises(RecordError, match="neither"):
        text_to_bson([packed(bson.encode({"a": 1}))])
    with pytest.raises(RecordError, match="no id"):
        json_id_to_bson([packed(bson.encode({"a": 1}))])


def framed_pairs() -> bytes:
    return framed([element(key, 16, bytes([number, 0, 0, 0])) for key, number in ((b"a", 1), (b"_id", 5), (b"b", 2))])


def test_the_two_ways_to_swap_agree() -> None:
    for seed in range(500):
        (text,) = bson_to_text([Maker(seed, odd=True).with_id()])
        if b"$bson" not in text[:9]:
            (record,) = text_to_json_id([text])
            assert record == _swap(text)
            spaced = msgspec.json.format(text, indent=3)
            assert msgspec.json.format(text_to_json_id([spaced])[0], indent=0).replace(b"\n", b"") is not None
            assert json.loads(text_to_json_id([spaced])[0]) == json.loads(record)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"5",
        b"[]",
        b'{"_id":1',
        b'{"_id":1}x',
        b'{"_id":NaN}',
        b'{"_id":1,"_id":2}',
        b'{"\xff":1,"_id":1}',
        b'{"id":"a',
        b"{",
    ],
)
def test_text_that_is_not_one_object_is_refused(record: bytes) -> None:
    for conversion in (text_to_json_id, json_id_to_text, json_id_to_bson):
        with pytest.raises(RecordError) as caught:
            conversion([b'{"_id":1,"id":2}', record])
        assert caught.value.index == 1


def test_nothing_but_a_record_error_comes_of_damaged_text() -> None:
    random = Random(24)
    for seed in range(1500):
        (record,) = bson_to_json_id([Maker(seed, odd=True).with_id()])
        damaged = bytearray(record)
        at = random.randrange(len(damaged))
        damaged[at : at + random.randrange(4)] = random.choice(
            [b"", b'"', b"\\", b"{", b"}", b",", b"\xff", b'"id":', b'"_id":1,']
        )
        for conversion in (text_to_json_id, json_id_to_text, json_id_to_bson, text_to_bson):
            try:
                conversion([bytes(damaged)])
            except RecordError:
                continue


def test_every_pair_of_types_converts() -> None:
    document = bson.encode({"_id": 1, "a": [1.5]})
    forms = {wire.BSON: document, wire.EXTENDED_JSON: b'{"_id":1,"a":[1.5]}', wire.JSON_ID: b'{"id":1,"a":[1.5]}'}
    for source, given_form in forms.items():
        for target, expected in forms.items():
            assert convert([given_form], source, target) == [expected]
    with pytest.raises(UnimplementedError):
        convert([document], wire.BSON, wire.DataType.DATA_TYPE_UNKNOWN)


def test_a_type_that_is_right_already_keeps_its_bytes_unread() -> None:
    assert convert([b"whatever"], wire.EXTENDED_JSON, wire.EXTENDED_JSON) == [b"whatever"]
