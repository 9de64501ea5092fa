"""Chunks whose documents are joined from cells: which ones are, and that they mean the same."""

from __future__ import annotations

import csv
import io
import random

import orjson
import pytest

from connectors.file.csvcells import TYPES
from connectors.file.csvflat import FlatTable
from connectors.file.csvsyntax import Dialect

NAMES = ["id", 'a "b"', "naïve\\"]
CELLS = [
    "",
    "x",
    "1",
    "-2.50",
    "Zürich",
    "a b",
    'say ""hi""',
    '"',
    '""',
    "a,b",
    "c:\\new",
    "tab\there",
    "半,",
    ",,",
    "{}",
]


def flat(delimiter: str = ",", names: list[str] = NAMES, null: str | None = None) -> FlatTable:
    return FlatTable(names, [None] * len(names), null, Dialect(delimiter))


def written(rows: list[list[str]], delimiter: str, end: str, quoting: int) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue().encode()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "\x01"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_what_people_write_is_joined_and_says_what_its_cells_say(delimiter: str, end: str, quoting: int) -> None:
    chance = random.Random(5)
    for _ in range(100):
        # csv quotes a carriage return of its own accord where lines end with one
        cells = [*CELLS, "a\rb"] if quoting == csv.QUOTE_ALL or "\r" in end else CELLS
        rows = [[chance.choice(cells).replace(",", delimiter) for _ in NAMES] for _ in range(chance.randint(1, 6))]
        found = flat(delimiter).documents(written(rows, delimiter, end, quoting))
        assert found is not None
        assert [orjson.loads(text) for text in found] == [dict(zip(NAMES, row, strict=True)) for row in rows]
        assert len(found) == len(rows)


def test_the_last_record_needs_no_line_end() -> None:
    for last in ("1,2,3", '1,2,""', "1,2,", '"1","2","3"'):
        found = flat().documents(f"a,b,c\n{last}".encode())
        assert found is not None
        assert len(found) == 2


@pytest.mark.parametrize(
    "chunk",
    [
        b"1,2\n",
        b"1,2,3,4\n",
        b"1,2\n3\n4,5,6,7\n",
        b"\n1,2,3\n",
        b"1,2,3\n\n",
        b'1,2,"a\nb"\n',
        b'1,2,"open\n',
        b'1,2,a"b\n',
        b'1,2,a""b\n',
        b'1,2,"a"b\n',
        b'1,2, "a"\n',
        b"1,2,3\r",
        b"1,\r2,3\n",
        b"1,2,\x00\n",
        b"1,2,\x1f\n",
    ],
)
def test_what_is_no_plain_record_is_left_to_others(chunk: bytes) -> None:
    assert flat().documents(chunk) is None


def test_a_blank_line_is_no_record_of_one_empty_cell() -> None:
    one = flat(names=["a"])
    assert one.documents(b"\n") is None
    assert one.documents(b'x\n""\n') is None
    assert one.documents(b"x\ny\n") is not None


def test_bytes_that_are_no_text_are_not_passed_on() -> None:
    with pytest.raises(UnicodeDecodeError):
        flat().documents(b"1,\xff,3\n")


def test_nulls_and_types_stand_without_quotes_in_the_columns_that_have_them() -> None:
    table = FlatTable(["a", "b", "c"], [TYPES["int"], None, None], "-", Dialect(","))
    found = table.documents(b'1,-,"x,y"\n-,b,c\n')
    assert found is not None
    assert found[:] == [b'{"a":1,"b":null,"c":"x,y"}', b'{"a":null,"b":"b","c":"c"}']
    again = table.documents(b"3,b,c\n")
    assert again is not None
    assert again[:] == [b'{"a":3,"b":"b","c":"c"}']
