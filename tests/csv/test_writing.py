"""Writing CSV: both forms, the header over all batches, the way back."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bson
import orjson
import pytest

from connectors.file.csvread import CsvSettings
from connectors.file.csvwrite import CsvLayout, CsvReport
from dsync import codec, wire
from dsync.codec import raw
from dsync.errors import DataError, UsageError
from tests.csv.reading import open_table, read_partitioned


def written(
    layout: CsvLayout, batches: Sequence[Sequence[bytes]], data_type: Any = wire.EXTENDED_JSON
) -> tuple[str, CsvReport]:
    out = io.BytesIO()
    report = layout.assemble([io.BytesIO(layout.stage(batch, data_type)) for batch in batches], out)
    assert report.documents == sum(map(len, batches))
    return out.getvalue().decode(), report


def text(*documents: dict[str, Any]) -> list[bytes]:
    return [orjson.dumps(document) for document in documents]


PLAIN: list[tuple[bytes, str]] = [
    (b'"text"', "text"),
    (b'" 5 "', " 5 "),
    (b'""', ""),
    (b"null", ""),
    (b"5", "5"),
    (b"-0.0", "-0.0"),
    (b"1e16", "1e16"),
    (b"1.50", "1.50"),
    (b"12345678901234567890123", "12345678901234567890123"),
    (b"true", "true"),
    (b"[1,2]", '"[1,2]"'),
    (b'{"a":"b"}', '"{""a"":""b""}"'),
    (b"{}", "{}"),
    (b"[]", "[]"),
    (b'{"$oid":"507f1f77bcf86cd799439011"}', "507f1f77bcf86cd799439011"),
    (b'{"$date":"2024-01-31T00:00:00Z"}', "2024-01-31T00:00:00Z"),
    (b'{"$date":{"$numberLong":"-1"}}', "1969-12-31T23:59:59.999Z"),
    (b'{"$date":{"$numberLong":"-99999999999999999"}}', '"{""$date"":{""$numberLong"":""-99999999999999999""}}"'),
    (b'{"$numberInt":"5"}', "5"),
    (b'{"$numberLong":"12345678901234567"}', "12345678901234567"),
    (b'{"$numberDouble":"NaN"}', "NaN"),
    (b'{"$numberDecimal":"1.10"}', "1.10"),
    (b'{"$binary":{"base64":"YQ==","subType":"00"}}', '"{""$binary"":{""base64"":""YQ=="",""subType"":""00""}}"'),
    (b'"a,b"', '"a,b"'),
    (b'"say \\"hi\\""', '"say ""hi"""'),
    (b'"two\\nlines"', '"two\nlines"'),
    (b'"a\\rb"', '"a\rb"'),
    (b'"\\u00e9\\u2028\\ud83d\\ude00\\u0000"', "\u00e9\u2028\U0001f600\0"),
]


@pytest.mark.parametrize(("value", "cell"), PLAIN)
def test_plain_text_is_what_people_and_programs_expect(value: bytes, cell: str) -> None:
    document = b'{"x":1,"y":' + value + b"}"
    content, _ = written(CsvLayout(), [[document]])
    assert content == f"x,y\n1,{cell}\n"
    # The same among others, and with the spaces that other programs write.
    others = text({"x": "a", "y": "b"}, {"y": 1.5, "x": None})
    content, _ = written(CsvLayout(), [[*others, document.replace(b'":', b'": ')]])
    assert content.replace('": ', '":') == f"x,y\na,b\n,1.5\n1,{cell}\n"


EJSON = [
    (b'"text"', "text"),
    (b'""', '""""""'),
    (b"null", "\\N"),
    (b'"\\\\N"', '"""\\\\N"""'),
    (b'"\\\\n"', "\\n"),
    (b'"5"', '"""5"""'),
    (b'" true\\n"', '""" true\\n"""'),
    (b'"true story"', "true story"),
    (b'"2024-01-31"', "2024-01-31"),
    (b'"1-2"', "1-2"),
    (b'"[1"', "[1"),
    (b'"[1]"', '"""[1]"""'),
    (b'"NaN"', "NaN"),
    (b'"1e400"', "1e400"),
    (b"5", "5"),
    (b"5.0", "5.0"),
    (b"false", "false"),
    (b'{"$numberLong":"5"}', '"{""$numberLong"":""5""}"'),
    (b'{"a":null}', '"{""a"":null}"'),
]


@pytest.mark.parametrize(("value", "cell"), EJSON)
def test_the_ejson_form_says_of_each_value_what_it_is(value: bytes, cell: str) -> None:
    document = b'{"x":1,"y":' + value + b"}"
    content, _ = written(CsvLayout(types="ejson"), [[document]])
    assert content == f"x,y\n1,{cell}\n"
    table = open_table(CsvSettings(types="ejson"), content.encode())
    assert read_partitioned(table, content.encode(), [], 100).documents == [document]


def test_the_header_is_the_union_of_all_documents_in_order_of_appearance() -> None:
    batches = [text({"b": "1"}, {"a": "2", "b": "3"}), text({"c": "x,y", "a": "4"}), [], text({"b": "5"}), text({})]
    content, report = written(CsvLayout(), batches)
    assert content == 'b,a,c\n1,,\n3,2,\n,4,"x,y"\n5,,\n,,\n'
    assert any("another order" in note for note in report.notes)


def test_rows_get_cells_for_columns_that_come_later_whatever_is_in_them() -> None:
    batches = [
        text({"a": "x"}, {"a": ""}),
        text({"a": "two\nlines\n"}, {"a": 'say "hi"\r'}),
        text({"a": "y", "b": "z"}),
    ]
    content, _ = written(CsvLayout(), batches)
    assert content == 'a,b\nx,\n,\n"two\nlines\n",\n"say ""hi""\r",\ny,z\n'


def test_named_columns_come_first_and_none_is_dropped() -> None:
    content, _ = written(CsvLayout(columns=("z", "a")), [text({"b": "1", "a": "2"}), text({"z": "3"})])
    assert content == "z,a,b\n,2,1\n3,,\n"
    assert written(CsvLayout(columns=("z", "a")), [])[0] == "z,a\n"


def test_batches_of_the_same_columns_are_put_together_as_they_are() -> None:
    rows = [[{"a": f'{batch}"x"', "b": f"{row}\n\r"} for row in range(5)] for batch in range(3)]
    content, _ = written(CsvLayout(), [text(*batch) for batch in rows])
    read = list(csv.reader(io.StringIO(content, newline=""), strict=True))
    assert read == [["a", "b"], *([row["a"], row["b"]] for batch in rows for row in batch)]


def test_no_document_vanishes_as_a_blank_line() -> None:
    for layout in (CsvLayout(), CsvLayout(types="ejson")):
        assert written(layout, [[b"{}", b"{}"]])[0] == '""\n""\n""\n'
        assert written(layout, [[b"{}"], text({"a": "x"})])[0] == 'a\n""\nx\n'
        assert written(layout, [text({"a": "x"}, {})])[0] == 'a\nx\n""\n'
        assert written(layout, [text({"": "x"}, {})])[0] == '""\nx\n""\n'
        assert written(layout, [])[0] == ""
    content, _ = written(CsvLayout(types="ejson"), [[b"{}", b"{}"]])
    table = open_table(CsvSettings(types="ejson"), content.encode())
    assert read_partitioned(table, content.encode(), [], 100).documents == [b"{}", b"{}"]


def test_a_first_name_that_begins_with_a_byte_order_mark_keeps_it() -> None:
    for document in ({"\ufeffa": "1"}, {"\ufeffa": "1", "b": "2"}, {"\ufeffa,": "1"}, {"\ufeff": "1"}):
        content, _ = written(CsvLayout(), [text(document)])
        table = open_table(CsvSettings(), content.encode())
        assert read_partitioned(table, content.encode(), [], 100).documents == text(document)


def test_what_plain_text_cannot_say_is_in_the_report() -> None:
    documents = text(
        {"_id": 1, "a": None, "b": None, "c": "", "d": [1], "e": "x"},
        {"_id": 2, "b": "", "c": "x", "d": {}, "e": 5},
        {"_id": 3, "a": "x", "c": "y", "d": [], "e": "y"},
    )
    _, report = written(CsvLayout(), [documents])
    assert report.notes == (
        "1 column held nulls, missing values and empty strings, all written as empty cells",
        "1 column held nulls and missing values, both written as empty cells",
        "1 column held documents, arrays or rare types, written as JSON",
        "2 columns held numbers, dates, ids or booleans, which read back as text unless --types says more",
        "1 column held values of several types, which plain text does not tell apart",
    )
    assert written(CsvLayout(types="ejson"), [documents])[1].notes == ()
    assert written(CsvLayout(), [text({"a": "x"}, {"a": ""})])[1].notes == ()
    # A column that only another batch has is missing in all of this one.
    assert written(CsvLayout(), [text({"a": "x"}), text({"a": "y", "b": "z"})])[1].notes == (
        "1 column held missing values, written as empty cells",
    )


def test_the_null_token_stands_for_null_and_is_reported_where_strings_are_the_same() -> None:
    content, report = written(CsvLayout(null="NULL"), [text({"a": None, "b": "x"}, {"a": "y", "b": "z"})])
    assert (content, report.notes) == ("a,b\nNULL,x\ny,z\n", ())
    _, report = written(CsvLayout(null="NULL"), [text({"a": None, "b": "NULL"})])
    assert report.notes == ("1 column held strings that are the null token, which read back as null",)


def test_documents_that_only_bson_can_say_are_taken_apart_in_plain_text() -> None:
    element = struct.pack("<i", 1)
    body = b"\x10a\0" + element + b"\x10$oid\0" + element + b"\x02a\0\x02\0\0\0x\0\x06u\0"
    document = struct.pack("<i", len(body) + 5) + body + b"\0"
    packed = codec.bson_to_text([document])
    assert packed[0].startswith(b'{"$bson"')
    for batch, data_type in (([document], wire.BSON), (packed, wire.EXTENDED_JSON)):
        content, _ = written(CsvLayout(), [batch], data_type)
        rows = list(csv.reader(io.StringIO(content, newline="")))
        assert rows[0] == ["a", "$oid", "u"]
        assert rows[1][:2] == ['[1,"x"]', "1"]
    with pytest.raises(codec.RecordError, match=r"\$bson"):
        CsvLayout().stage([b'{"$bson":"AAAA"}'], wire.EXTENDED_JSON)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b'"x"',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":1},{"a":2}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"a":01}',
    ],
)
def test_a_text_that_is_no_sound_object_is_refused_by_its_place(bad: bytes) -> None:
    for types in ("plain", "ejson"):
        with pytest.raises(codec.RecordError) as caught:
            CsvLayout(types=types).stage([*text({"a": 1}) * 700, bad], wire.EXTENDED_JSON)
        assert caught.value.index == 700


def test_numbers_beyond_every_type_are_refused_where_they_must_come_back() -> None:
    with pytest.raises(codec.RecordError, match="record 1"):
        CsvLayout(types="ejson").stage([b'{"a":1}', b'{"a":1e400}'], wire.EXTENDED_JSON)
    assert written(CsvLayout(), [[b'{"a":1e400}']])[0] == "a\n1e400\n"


def test_equal_batches_are_staged_as_equal_bytes() -> None:
    documents = text(*({"a": number, f"k{number % 7}": None} for number in range(1200)))
    assert CsvLayout().stage(documents, wire.EXTENDED_JSON) == CsvLayout().stage(documents, wire.EXTENDED_JSON)


def test_json_with_id_is_written_as_documents_with_underscore_id() -> None:
    assert written(CsvLayout(), [[b'{"id":"k","a":"x"}']], wire.JSON_ID)[0] == "_id,a\nk,x\n"


def test_parts_may_be_paths_and_are_checked(tmp_path: Path) -> None:
    layout = CsvLayout()
    paths = []
    for number in range(3):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(layout.stage(text({"a": str(number)}), wire.EXTENDED_JSON))
    out = io.BytesIO()
    assert layout.assemble(paths, out).documents == 3
    assert out.getvalue() == b"a\n0\n1\n2\n"
    with pytest.raises(DataError, match="another layout"):
        CsvLayout(types="ejson").assemble(paths, out)
    paths[1].write_bytes(b"a,b\n")
    with pytest.raises(DataError, match="not a CSV batch"):
        layout.assemble(paths, out)


def test_layouts_that_cannot_work_are_usage_errors() -> None:
    for settings in ({"types": "infer"}, {"delimiter": "ab"}, {"delimiter": '"'}, {"types": "ejson", "null": ""}):
        with pytest.raises(UsageError):
            CsvLayout(**settings)  # type: ignore[arg-type]


Make = Callable[[random.Random], Any]
VALUES: list[Make] = [
    lambda rng: None,
    lambda rng: "",
    lambda rng: rng.choice(
        ["\\N", "5", "true", " null ", "{}", "[", '"x"', "a,b", 'say "hi"', "x\r\ny", "\r", "\n", "NaN", "-"]
    ),
    lambda rng: "".join(rng.choices('ab,"\n\r\\;{}[]0\u00e9\u2028\U0001f600\x01\x7f\ufeff', k=rng.randrange(6))),
    lambda rng: rng.choice(["2024-01-31", "1e5", "007", "+1", "1e400", "9" * 30]),
    lambda rng: rng.choice([True, False]),
    lambda rng: rng.randrange(-(1 << 31), 1 << 31),
    lambda rng: bson.Int64(rng.choice([0, 5, -1, (1 << 63) - 1, -(1 << 63)])),
    lambda rng: rng.choice([0.0, -0.0, 1.5, 1e16, 1e-7, math.nan, math.inf, -math.inf, 5e-324, 0.1 + 0.2]),
    lambda rng: bson.Decimal128(rng.choice(["1.10", "-0", "NaN", "9.999E+6144"])),
    lambda rng: dt.datetime(rng.choice([1, 1969, 1970, 2024, 9999]), 1, 2, 3, 4, 5, 6000, tzinfo=dt.UTC),
    lambda rng: bson.ObjectId(rng.randbytes(12)),
    lambda rng: bson.Binary(rng.randbytes(5), rng.choice([0, 2, 4, 128])),
    lambda rng: bson.Regex("a,b\n", "i"),
    lambda rng: bson.Timestamp(1, 2),
    lambda rng: rng.choice([bson.MinKey(), bson.MaxKey(), bson.Code("x"), bson.Code("x", {"y": 1})]),
    lambda rng: {"k,\n": [None, "", {"$odd": 1, "x": bson.Int64(5)}], "": {}},
    lambda rng: [[], [[-0.0]], "\\N", {"$oid": "x"}],
]
NAMES = ["_id", "a", "b.c", 'q"x', "n\nl", "c,d", "", "\\N", "5", "id", "\ufeffm", "\u00e9", "$x", "late"]


def random_document(rng: random.Random, names: Sequence[str], steady: bool) -> bytes:
    chosen = [name for name in names if steady or rng.random() < 0.7]
    if not steady and rng.random() < 0.2:
        rng.shuffle(chosen)
    kinds = random.Random(str(names))
    return bson.encode({name: (kinds if steady else rng).choice(VALUES)(rng) for name in chosen})


def fields_of(document: bytes) -> dict[bytes, tuple[int, bytes]]:
    return {key: (kind, document[start:end]) for kind, key, start, end in raw.elements(document)}


@pytest.mark.parametrize("seed", range(12))
def test_the_ejson_form_gives_back_every_field_bit_for_bit(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(12):
        names, steady = rng.sample(NAMES, rng.randrange(1, len(NAMES))), rng.random() < 0.5
        delimiter = rng.choice([",", ",", "\t", ";", "}"])
        documents = [random_document(rng, names, steady) for _ in range(rng.randrange(1, 30))]
        batches = [documents[at : at + 7] for at in range(0, len(documents), 7)]
        content, report = written(CsvLayout(types="ejson", delimiter=delimiter), batches, wire.BSON)
        data = content.encode()
        table = open_table(CsvSettings(types="ejson", delimiter=delimiter), data)
        reading = read_partitioned(table, data, [rng.randrange(len(data))], rng.choice([10, 100, 10_000]))
        assert reading.fault is None
        # The codec gives a document without an identity one, and an `id` its place; here it is none of its business.
        wrapped = codec.text_to_bson([b'{"_id":0,"d":%b}' % document for document in reading.documents])
        read = [document[fields_start(document) : -1] for document in wrapped]
        assert [fields_of(document) for document in read] == [fields_of(document) for document in documents]
        if not report.notes:
            assert read == documents


def fields_start(document: bytes) -> int:
    return next(start for _, key, start, _ in raw.elements(document) if key == b"d")
