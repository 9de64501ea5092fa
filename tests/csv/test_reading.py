"""Reading CSV: what is refused and where, headers, limits, real data."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from connectors.file import csvcuts
from connectors.file.csvread import CsvError, CsvSettings, CsvTable, NeedMore
from dsync.errors import DsyncError, UsageError
from tests.csv.reading import open_table, read_partitioned, read_range

AIRPORTS = Path(__file__).parents[3] / "shared" / "data" / "airports.csv"
AIRPORT_COLUMNS = (
    "id",
    "name",
    "city",
    "country",
    "iata",
    "icao",
    "lat",
    "lon",
    "alt",
    "tz",
    "dst",
    "zone",
    "type",
    "source",
)

BAD = {
    "a bare quote": (b'a,b\n1,2\n3,x"y\n4,5\n', 3, "a quote inside a cell that does not begin with one"),
    "a bare quote in a later line of a cell": (
        b'a,b\n"1\n1",x"\n',
        3,
        "a quote inside a cell that does not begin with one",
    ),
    "a doubled quote outside": (b'a,b\n1,x""y\n', 2, "a quote inside a cell that does not begin with one"),
    "a space before a quote": (b'a,b\n1, "2"\n', 2, "a quote inside a cell that does not begin with one"),
    "text after a closing quote": (b'a,b\n1,"2"3\n', 2, "text after a closing quote"),
    "text after the closing quote of a long cell": (b'a,b\n1,"2\n\n"3\n', 4, "text after a closing quote"),
    "an unclosed quote": (b'a,b\n1,2\n3,"4\n5,6\n7,8\n', 3, "a quoted cell that is never closed"),
    "an unclosed quote at the very end": (b'a,b\n1,2\n3,"', 3, "a quoted cell that is never closed"),
    "an escaped quote at the very end": (b'a,b\n1,"2""', 2, "a quoted cell that is never closed"),
    "a lone CR": (b"a,b\n1,2\n3,4\r5,6\n", 3, "a carriage return without a line feed outside quotes"),
    "old Mac line ends": (b"a,b\r1,2\r3,4\r", 1, "a carriage return without a line feed outside quotes"),
    "CR CR LF": (b"a,b\r\n1,2\r\r\n", 2, "a carriage return without a line feed outside quotes"),
    "a CR at the very end": (b"a,b\n1,2\r", 2, "a carriage return without a line feed outside quotes"),
    "a short row": (b"a,b\n1,2\n3\n", 3, "1 cell where there are 2 columns"),
    "a long row": (b"a,b\n1,2\n\n3,4,5\n", 4, "3 cells where there are 2 columns"),
    "a quoted empty line in two columns": (b'a,b\n""\n', 2, "1 cell where there are 2 columns"),
    "a trailing delimiter": (b"a,b\n1,2,\n", 2, "3 cells where there are 2 columns"),
    "a long and a short row": (b"a,b\n1,2,3\n4\n", 2, "3 cells where there are 2 columns"),
    "not UTF-8": (b"a,b\n1,2\n3,\xff\n", 3, "not UTF-8"),
    "not UTF-8 within a cell": (b'a,b\n1,"\n\n\xe9"\n', 4, "not UTF-8"),
    "UTF-8 that is cut off": (b"a,b\n1,\xc3", 2, "not UTF-8"),
    "a surrogate": (b"a,b\n1,\xed\xa0\x80\n", 2, "not UTF-8"),
    "UTF-16": ("\ufeffa,b\n1,2\n".encode("utf-16-le"), 1, "not UTF-8"),
    "not UTF-8 after a ragged row": (b"a,b\n1\n2,\xff\n", 2, "1 cell where there are 2 columns"),
    "a bare quote after bytes that are not UTF-8": (b'a,b\n2,\xff\n1,x"\n', 2, "not UTF-8"),
    "a repeated name": (b"a,b,a\n1,2,3\n", 1, "the header names 'a' twice"),
    "a bare quote in the header": (b'a,b"\n1,2\n', 1, "a quote inside a cell that does not begin with one"),
    "an unclosed header": (b'a,"b\n1,2\n', 1, "a quoted cell that is never closed"),
    "a NUL in a name": (b"a\0,b\n1,2\n", 1, "the column name 'a\\x00' holds a NUL character"),
}


def first_error(data: bytes, head_bytes: int, chunk_bytes: int) -> CsvError | None:
    try:
        table = open_table(CsvSettings(header="yes"), data, head_bytes)
    except CsvError as error:
        return error
    return read_partitioned(table, data, range(0, len(data), 3), chunk_bytes).fault


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize(("head_bytes", "chunk_bytes"), [(1, 1), (4, 3), (7, 8), (1 << 16, 1 << 16)])
def test_bad_input_is_refused_with_file_and_line_at_every_size(what: str, head_bytes: int, chunk_bytes: int) -> None:
    data, line, reason = BAD[what]
    fault = first_error(data, head_bytes, chunk_bytes)
    assert fault is not None
    assert fault.message == f"'x.csv' line {line}: {reason}"
    assert fault.remedy


@pytest.mark.parametrize("chunk_bytes", [1, 4, 1000])
@pytest.mark.parametrize(
    ("data", "documents"),
    [
        (b"", []),
        (b"\n\r\n", []),
        (b"\xef\xbb\xbf", []),
        (b"a,b", []),
        (b"a,b\r\n", []),
        (b"a,b\n1,2", [b'{"a":"1","b":"2"}']),
        (b"a,b\n1,", [b'{"a":"1","b":""}']),
        (b"\xef\xbb\xbfa,b\n\xef\xbb\xbf1,2\n", [b'{"a":"\xef\xbb\xbf1","b":"2"}']),
        (b'\xef\xbb\xbf"a",b\n1,2\n', [b'{"a":"1","b":"2"}']),
        (b"\n\r\n\na,b\n\n1,2\n\n\n3,4\n\n", [b'{"a":"1","b":"2"}', b'{"a":"3","b":"4"}']),
        (b'a\n""\n\n"x"\n', [b'{"a":""}', b'{"a":"x"}']),
        (b'a\n""', [b'{"a":""}']),
        (b'a,b\n"","1""2"\n"""",",\n\r\r\n"\n', [b'{"a":"","b":"1\\"2"}', b'{"a":"\\"","b":",\\n\\r\\r\\n"}']),
        (b"a\n \n", [b'{"a":" "}']),
        (b"a\n\\\n\\n\n", [b'{"a":"\\\\"}', b'{"a":"\\\\n"}']),
        (b"a\n\0\x1f\x7f\t\n", [b'{"a":"\\u0000\\u001f\x7f\\t"}']),
        (
            "a\n\u2028\U0001f600\u0085\x0b\x0c\x1c\n".encode(),
            ['{"a":"\u2028\U0001f600\u0085\\u000b\\f\\u001c"}'.encode()],
        ),
    ],
)
def test_sound_input_reads_as_what_it_says(data: bytes, documents: list[bytes], chunk_bytes: int) -> None:
    table = open_table(CsvSettings(), data, chunk_bytes)
    assert read_partitioned(table, data, range(len(data)), chunk_bytes).documents == documents


def test_cells_longer_than_the_csv_module_likes_are_read() -> None:
    cell = b'x""y\n' * 60_000
    data = b'a,b\n1,"' + cell + b'"\n2,' + b"z" * 300_000 + b"\n"
    table = open_table(CsvSettings(), data)
    documents = read_range(table, data, table.body, len(data), 2, 64 << 10).documents
    assert [len(orjson.loads(document)["b"]) for document in documents] == [60_000 * 4, 300_000]
    # One control character or blank line more, and the csv module reads it.
    data += b"\n3," + b"z" * 300_000 + b"\n"
    assert len(read_range(table, data, table.body, len(data), 2, len(data)).documents) == 3


@pytest.mark.parametrize("chunk_bytes", [1, 7, 50, 10_000])
@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        (b"1,2\n" + b"x" * 200 + b",2\n", 3, "a record of more than 100 bytes"),
        (b'1,2\n3,"4\n' + b"5,6\n" * 100, 3, "a record of more than 100 bytes"),
        (b'1,2\n3,"4\n' + b"5,6\n" * 100 + b'"x,y\n', 3, "a record of more than 100 bytes"),
        (b'1,2\n3,"4\n' + b"5,6\n" * 10 + b'"x,y\n', 14, "text after a closing quote"),
        (b'1,2\n3,"4\n' + b"5,6\n" * 10, 3, "a quoted cell that is never closed"),
        (b"1,2\n3,4\r" + b"x" * 200 + b"\n", 3, "a carriage return without"),
        (b"1,2\n3," + b"x" * 200 + b"\xff\n", 3, "a record of more than 100 bytes"),
        (b"1,2\n3\n3," + b"x" * 200 + b"\n", 3, "1 cell where"),
    ],
)
def test_a_record_beyond_the_limit_is_an_error_at_every_size(
    body: bytes, line: int, reason: str, chunk_bytes: int
) -> None:
    data = b"a,b\n" + body
    table = open_table(CsvSettings(), data, limit=100)
    fault = read_partitioned(table, data, range(0, len(data), 50), chunk_bytes).fault
    assert fault is not None
    assert (fault.line, fault.reason[: len(reason)]) == (line, reason)


def test_a_partition_that_does_not_end_with_a_record_is_refused() -> None:
    data = b'a,b\n1,"2\n3"\n4,5\n'
    table = open_table(CsvSettings(), data)
    with pytest.raises(CsvError, match="line 2: a record goes on where another partition begins"):
        table.documents(data[4:9], True, 2, False)
    with pytest.raises(CsvError, match="line 4: a record goes on where another partition begins"):
        table.documents(data[4:14], True, 2, False)
    for chunk_bytes in (1, 100):
        fault = read_range(table, data, 4, 9, 2, chunk_bytes).fault
        assert fault is not None
        assert "a record goes on where another partition begins" in fault.message


AMBIGUOUS = [
    (b"1,a\n2,b\n", "cell 1 is a number"),
    (b"a,-1.5e3\n", "cell 2 is a number"),
    (b"a,\\N\n", "cell 2 is \\N"),
    (b"a,,c\n", "cell 2 is empty"),
    (b'a," ",c\n', "cell 2 is empty"),
    (b"a,b,a\n", "cell 3 repeats another"),
]


@pytest.mark.parametrize(("data", "doubt"), AMBIGUOUS)
def test_a_first_line_that_may_be_data_is_a_usage_error_with_both_readings(data: bytes, doubt: str) -> None:
    with pytest.raises(UsageError, match=r"cannot tell whether line 1 of 'x\.csv' is a header") as caught:
        open_table(CsvSettings(), data)
    assert doubt in caught.value.message
    names = ",".join(f"column{number}" for number in range(1, data.split(b"\n")[0].count(b",") + 2))
    assert "--header yes" in caught.value.remedy
    assert f"--header no --columns {names} " in caught.value.remedy


def test_a_header_is_what_the_options_say() -> None:
    data = b"1,x\n2,y\n"
    table = open_table(CsvSettings(header="yes"), data)
    assert (table.names, table.body, table.first_line) == (("1", "x"), 4, 2)
    table = open_table(CsvSettings(header="no", columns=("a", "b")), data)
    assert (table.names, table.body, table.first_line) == (("a", "b"), 0, 1)
    table = open_table(CsvSettings(header="yes", columns=("a", "b")), data)
    assert (table.names, table.body, table.first_line) == (("a", "b"), 4, 2)
    # With auto, a first line that says the same as the columns is a header; another one could be either.
    assert open_table(CsvSettings(columns=("1", "x")), data).body == 4
    with pytest.raises(UsageError, match="--columns gives other names"):
        open_table(CsvSettings(columns=("a", "b")), data)


@pytest.mark.parametrize(
    "settings",
    [
        {"header": "no"},
        {"header": "maybe"},
        {"columns": ("a", "a")},
        {"delimiter": ""},
        {"delimiter": ",,"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"delimiter": "x"},
        {"delimiter": "\\"},
        {"delimiter": "\u00e9"},
        {"types": "ejson", "null": ""},
    ],
)
def test_settings_that_cannot_work_are_usage_errors(settings: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        CsvSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        CsvSettings(header="no", columns=("a", "b")),
        CsvSettings(header="yes", columns=("a", "b", "c", "d")),
        CsvSettings(types="z:int"),
        CsvSettings(id_column="z"),
        CsvSettings(id_column="a"),
    ],
)
def test_options_that_do_not_fit_the_file_are_usage_errors(settings: CsvSettings) -> None:
    with pytest.raises(UsageError, match=r"'x\.csv'"):
        open_table(settings, b"a,b,_id\n1,2,3\n")


def test_the_id_column_becomes_the_id() -> None:
    data = b"a,code,b\n1,2,3\n"
    table = open_table(CsvSettings(id_column="code", types="code:int"), data)
    assert table.names == ("a", "_id", "b")
    assert read_range(table, data, table.body, len(data), 2, 99).documents == [b'{"a":"1","_id":2,"b":"3"}']


@pytest.mark.parametrize("null", ["", "\\N", "a,b", '"', "\n"])
def test_the_null_token_means_null_in_every_column(null: str) -> None:
    cell = '"' + null.replace('"', '""') + '"'
    data = f"a,b\n{cell},x\ny,{cell}\n".encode()
    table = open_table(CsvSettings(null=null), data)
    documents = read_range(table, data, table.body, len(data), 2, 99).documents
    assert documents == [b'{"a":null,"b":"x"}', b'{"a":"y","b":null}']


def test_a_head_without_a_whole_record_is_asked_for_again() -> None:
    for head in (b"", b"\xef\xbb", b"\n\n", b"a,b", b'a,"b\nc', b"a,b\r"):
        with pytest.raises(NeedMore):
            CsvTable(CsvSettings(), head, False, "x.csv")


def test_cuts_fall_between_records_and_never_inside_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [b'%d,"line one\n%d,x\nline ""three"""\n' % (number, number) for number in range(500)]
    data = b"a,b\n" + b"".join(rows)
    table = open_table(CsvSettings(), data)
    starts = {len(b"a,b\n" + b"".join(rows[:number])) for number in range(500)}
    for window in (1, 16, 1 << 18):
        monkeypatch.setattr(csvcuts, "_WINDOW_BYTES", window)
        targets = range(0, len(data), 97)
        cuts = table.cuts(lambda offset, size: data[offset : offset + size], len(data), targets)
        assert starts.issuperset(cuts)
        assert len(cuts) > 100


def test_cells_that_look_like_structure_from_within_get_no_false_cut() -> None:
    data = b"a,b\n" + b'1,",\n"",""\n,"\n' * 200
    table = open_table(CsvSettings(), data)
    whole = read_range(table, data, table.body, len(data), 2, 1 << 20)
    split = read_partitioned(table, data, range(0, len(data), 61), 100)
    assert split.fault is None
    assert (split.documents, split.lines) == (whole.documents, whole.lines)


def test_a_look_around_decides_where_a_quoted_file_is_cut() -> None:
    data = b"a,b\n" + b'"x ""y"" z","line\n,two"\n' * 200_000
    table = open_table(CsvSettings(), data)
    asked = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal asked
        asked += size
        return data[offset : offset + size]

    assert len(table.cuts(read, len(data), [len(data) * part // 16 for part in range(1, 16)])) == 15
    assert asked < 15 * 4 * csvcuts._WINDOW_BYTES


def test_a_file_without_quotes_is_read_once_for_all_its_cuts() -> None:
    data = b"a,b\n" + b"1,2\n" * 100_000
    table = open_table(CsvSettings(), data)
    asked = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal asked
        asked += min(size, len(data) - offset)
        return data[offset : offset + size]

    cuts = table.cuts(read, len(data), [len(data) * part // 16 for part in range(1, 16)])
    assert len(cuts) == 15
    assert asked < 30 * csvcuts._WINDOW_BYTES + len(data)


@pytest.mark.skipif(not AIRPORTS.exists(), reason="the airports data are not in the repository")
def test_airports_have_no_header_and_all_their_rows() -> None:
    data = AIRPORTS.read_bytes()
    with pytest.raises(UsageError, match="cell 1 is a number"):
        open_table(CsvSettings(), data)
    table = open_table(CsvSettings(header="no", columns=AIRPORT_COLUMNS, null="\\N", types="infer"), data)
    reading = read_partitioned(table, data, [len(data) * part // 5 for part in range(5)], 64 << 10)
    assert reading.fault is None
    assert len(reading.documents) == 7698
    assert reading.lines == list(range(1, 7699))
    first = orjson.loads(reading.documents[0])
    assert (first["id"], first["lat"], first["name"]) == (1, -6.081689834590001, "Goroka Airport")


def test_errors_never_quote_cells() -> None:
    for data, _, _ in BAD.values():
        secret = data.replace(b"1", b"SECRET").replace(b"3", b"SECRET").replace(b"2", b"SECRET")
        fault: DsyncError | None = first_error(secret, 1 << 10, 1 << 10)
        assert fault is not None
        assert "SECRET" not in str(fault)
