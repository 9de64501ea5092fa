"""What cells mean under each type, at once and one by one."""

from __future__ import annotations

import random

import orjson
import pytest

from connectors.file.csvcells import EJSON, INFER, TYPES, CellError, CellType
from connectors.file.csvfast import FastTable
from connectors.file.csvnames import RowWriter
from connectors.file.csvread import CsvError, CsvSettings
from connectors.file.csvsyntax import Dialect
from dsync import codec
from dsync.errors import UsageError
from tests.csv.reading import open_table, read_range

INFERRED = {
    "5": b"5",
    "-12": b"-12",
    "0": b"0",
    "2147483648": b"2147483648",
    "9223372036854775807": b"9223372036854775807",
    "-9223372036854775808": b"-9223372036854775808",
    "1.5": b"1.5",
    "1.50": b"1.50",
    "-0.0": b"-0.0",
    "-6.081689834590001": b"-6.081689834590001",
    "0.1234567890123456": b"0.1234567890123456",
    "true": b"true",
    "false": b"false",
    "2024-01-31T23:59:59Z": b'{"$date":"2024-01-31T23:59:59Z"}',
    "2024-01-31T23:59:59.5+02:00": b'{"$date":"2024-01-31T21:59:59.500Z"}',
    "1969-12-31T23:59:59.999Z": b'{"$date":{"$numberLong":"-1"}}',
}
STAYS_TEXT = [
    "", " ", " 5", "5 ", "+5", "007", "-0", "-", "--5", "00", "1_000", "1,5", "9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "1e5", "1E5", "1.5e3", "1e400", "1.", ".5", "01.5", "NaN", "nan",
    "Infinity", "-Infinity", "inf", "0x10", "0.12345678901234567890", "1" * 400 + ".5", "9" * 5000, "True", "TRUE", "t", "null",
    "\\N", "2024-01-31", "2024-01-31T23:59:59", "2024-02-30T00:00:00Z", "2024-01-31T25:00:00Z", "2024-01-31T23:59:59.1234Z",
    "[1]", "{}", '"5"', "\u0665", "\uff15", "5\n", "5\t", "\x005", "abc", "1 2", "2147483648.1234567890",
]  # fmt: skip


@pytest.mark.parametrize(("cell", "value"), INFERRED.items())
def test_infer_makes_values_of_what_cannot_mean_more(cell: str, value: bytes) -> None:
    assert INFER.convert(cell) == value


@pytest.mark.parametrize("cell", STAYS_TEXT)
def test_infer_leaves_everything_else_a_string(cell: str) -> None:
    assert INFER.convert(cell) == orjson.dumps(cell)


TYPED = [
    ("int", "007", b"7"),
    ("int", "+5", b"5"),
    ("int", "-0", b"0"),
    ("long", "5", b'{"$numberLong":"5"}'),
    ("double", "5", b"5.0"),
    ("double", "-0", b"-0.0"),
    ("double", "+.5", b"0.5"),
    ("double", "1e5", b"100000.0"),
    ("double", "18446744073709551616", b"1.8446744073709552e+19"),
    ("double", "NaN", b'{"$numberDouble":"NaN"}'),
    ("double", "-Infinity", b'{"$numberDouble":"-Infinity"}'),
    ("decimal", "1.10", b'{"$numberDecimal":"1.10"}'),
    ("decimal", "NaN", b'{"$numberDecimal":"NaN"}'),
    ("bool", "TRUE", b"true"),
    ("bool", "0", b"false"),
    ("date", "2024-01-31", b'{"$date":"2024-01-31T00:00:00Z"}'),
    ("date", "2024-01-31 12:30", b'{"$date":"2024-01-31T12:30:00Z"}'),
    ("date", "2024-01-31T12:30:01.250000-0530", b'{"$date":"2024-01-31T18:00:01.250Z"}'),
    ("date", "0001-01-01T00:00:00+01:00", b'{"$date":{"$numberLong":"-62135600400000"}}'),
    ("objectid", "507F1F77bcf86cd799439011", b'{"$oid":"507f1f77bcf86cd799439011"}'),
    (
        "uuid",
        "123e4567-e89b-12d3-a456-426614174000",
        b'{"$binary":{"base64":"Ej5FZ+ibEtOkVkJmFBdAAA==","subType":"04"}}',
    ),
    ("binary", "YWJj", b'{"$binary":{"base64":"YWJj","subType":"00"}}'),
    ("json", ' {"a":\n[1, "x"]} ', b'{"a": [1, "x"]}'),
    ("json", "5", b"5"),
    ("string", "5", b'"5"'),
    ("ejson", "\\N", b"null"),
    ("ejson", "", None),
    ("ejson", "plain", b'"plain"'),
    ("ejson", '"5"', b'"5"'),
    ("ejson", '{"$oid":"507f1f77bcf86cd799439011"}', b'{"$oid":"507f1f77bcf86cd799439011"}'),
    ("ejson", "{not json", b'"{not json"'),
    ("ejson", "1e400", b'"1e400"'),
]


@pytest.mark.parametrize(("kind", "cell", "value"), TYPED)
def test_a_named_type_reads_a_cell(kind: str, cell: str, value: bytes | None) -> None:
    assert TYPES[kind].convert(cell) == value


REFUSED = [
    ("int", ["", "x", "1.5", "1e3", " 5", "9223372036854775808", "\u0665", "1_0", "9" * 5000]),
    ("long", ["", "x", "9223372036854775808"]),
    ("double", ["", "x", "1e400", "0x1", "nan", "1_0", "5 ", "--1"]),
    ("decimal", ["", "x", "1" * 40, "1e7000", " 1"]),
    ("bool", ["", "yes", "2", "t"]),
    (
        "date",
        ["", "2024", "2024-13-01", "2024-02-30", "2024-01-01T24:01", "2024-01-01T00:00:60", "2024-01-01T00:00:00.0001"],
    ),
    ("date", ["0000-01-01", "2024-01-01T00:00+24:00", "2024-01-01T00:00+00:60", "1/2/2024"]),
    ("objectid", ["", "507f", "x" * 24]),
    ("uuid", ["", "x"]),
    ("binary", ["a", "a b=", "\u00e9"]),
    ("json", ["", "x", "{", "NaN", "1e400", "[" * 2000]),
]


@pytest.mark.parametrize(("kind", "cells"), REFUSED)
def test_a_cell_that_is_not_of_its_type_is_refused_without_being_quoted(kind: str, cells: list[str]) -> None:
    for cell in cells:
        with pytest.raises(CellError) as caught:
            TYPES[kind].convert(cell)
        assert len(cell) < 5 or cell not in str(caught.value)


def test_a_refused_cell_is_named_by_line_and_column() -> None:
    data = b'id,price\n1,2\n\n2,"3\n"\n'
    table = open_table(CsvSettings(types="price:double"), data)
    fault = read_range(table, data, table.body, len(data), table.first_line, 100).fault
    assert isinstance(fault, CsvError)
    assert fault.message == "'x.csv' line 4: column 'price' is not a number"


def test_an_empty_cell_of_a_typed_column_is_an_error_that_names_null() -> None:
    data = b"id,price\n1,\n"
    table = open_table(CsvSettings(types="price:double"), data)
    fault = read_range(table, data, table.body, len(data), table.first_line, 100).fault
    assert fault is not None
    assert "--null ''" in str(fault)
    table = open_table(CsvSettings(types="price:double", null=""), data)
    assert read_range(table, data, table.body, len(data), 2, 100).documents == [b'{"id":"1","price":null}']


def test_column_names_in_types_may_be_percent_encoded() -> None:
    data = b'"a,b:c",100%\n5,6\n'
    table = open_table(CsvSettings(types="a%2Cb%3Ac:int,100%:long"), data)
    assert read_range(table, data, table.body, len(data), 2, 9).documents == [b'{"a,b:c":5,"100%":{"$numberLong":"6"}}']


@pytest.mark.parametrize("types", ["price", "price:number", "a:int,a:long", "", "a:int,", "Infer"])
def test_types_that_say_nothing_are_usage_errors(types: str) -> None:
    with pytest.raises(UsageError):
        CsvSettings(types=types)


CELLS = [*INFERRED, *STAYS_TEXT, *(cell for _, cell, _ in TYPED), *(cell for _, cells in REFUSED for cell in cells)]
CELLS += [
    '{"a":"\\u00e9,\\n"}',
    '["x",\n\t5]',
    '"a\\"b"',
    "tru",
    "nul",
    "n",
    "{",
    "\x7f",
    "a,b",
    '"',
    "-",
    "1.25",
    "3",
    "4",
]
HOMOGENEOUS = [
    ["1", "22", "-3"],
    ["1.5", "2.25", "-0.5"],
    ["1", "2.5"],
    ["1", " 2", "3 "],
    ["1.5", "2.5 "],
    ["true", "false"],
    ["a", "b"],
    ["", "5"],
    ["\\N", "7", ""],
    ['{"$oid":"a"}', '{"$date":"b"}'],
    ['{"$oid":"a"}', ""],
    ['{"a":[1,"x,y"]}', "[]", '{"$oid":"a"}'],
    ["[1", "2]", "{},{}"],
    ["[1]", "[1, 2]", "[1e400]"],
    ["tru", "nil", "false start", "2024-01-31", "1-2"],
    ["n", "null", "true "],
]


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _one_by_one(writer: RowWriter, rows: list[list[str]]) -> list[bytes] | None:
    try:
        return [writer.document(row) for row in rows]
    except CellError:
        return None


@pytest.mark.parametrize("seed", range(8))
def test_whole_columns_mean_what_their_cells_mean_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    kinds: list[CellType | None] = [None, INFER, EJSON, *TYPES.values()]
    taken = 0
    for _ in range(400):
        width = rng.choice([1, 2, 3])
        types, null = rng.choices(kinds, k=width), rng.choice([None, "", "\\N", "5"])
        columns = [rng.choice([CELLS, *HOMOGENEOUS, *HOMOGENEOUS]) for _ in range(width)]
        rows = [[rng.choice(pool) for pool in columns] for _ in range(rng.randrange(1, 6))]
        names = ["n\u00e9", "b c", "c"][:width]
        writer = RowWriter(names, names, types, null)
        chunk = "".join(",".join(map(_quoted, row)) + "\n" for row in rows).encode()
        table = FastTable.of(names, types, null, Dialect(","))
        assert table is not None
        fast = table.documents(chunk, 7)
        expected = _one_by_one(writer, rows)
        if fast is None:
            continue
        taken += 1
        assert fast[0][:] == expected
        heights = [1 + sum(cell.count("\n") for cell in row) for row in rows]
        lines = [7 + sum(heights[:place]) for place in range(len(rows))]
        assert fast[1] == (None if max(heights) == 1 else lines)
        for document in fast[0]:
            assert b"\n" not in document
    assert taken > 50


@pytest.mark.parametrize("names", [["$oid"], ["$bson"], ["a", "$date"], ["$a.b", "$a"], ["_id", "$numberLong"]])
@pytest.mark.parametrize("types", ["strings", "infer"])
def test_names_that_extended_json_would_take_for_its_own_stay_names(names: list[str], types: str) -> None:
    data = (",".join(names) + "\n" + ",".join("5" for _ in names) + "\n").encode()
    table = open_table(CsvSettings(types=types), data)
    documents = read_range(table, data, table.body, len(data), 2, 100).documents
    import bson

    read = bson.decode(codec.text_to_bson(documents, lambda _: "made")[0])
    if "_id" not in names:
        assert read.pop("_id") == "made"
    assert read == dict.fromkeys(names, "5" if types == "strings" else 5)


def test_names_with_dots_and_quotes_stay_as_they_are() -> None:
    data = b'a.b,"c""d","e\nf"\n1,2,3\n'
    table = open_table(CsvSettings(), data)
    assert read_range(table, data, table.body, len(data), 3, 100).documents == [b'{"a.b":"1","c\\"d":"2","e\\nf":"3"}']
    assert table.first_line == 3
