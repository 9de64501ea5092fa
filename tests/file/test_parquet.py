from __future__ import annotations

import builtins
import datetime as dt
import decimal
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.file.connector import FileConnector
from dsync.errors import DataError, UsageError
from tests.file.reading import pages, plan, read, verdict, write


async def written(folder: Path, *documents: bytes) -> pa.Table:
    await write(f"{folder}/", "people", [documents[:2], documents[2:]], format="parquet")
    return pq.read_table(folder / "people.parquet")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([b'"a"', b'""', b'"{}"'], pa.string()),
        ([b"true", b"false"], pa.bool_()),
        ([b"1", b"-2147483648", b'{"$numberInt":"5"}'], pa.int32()),
        ([b"1", b"2147483648"], pa.int64()),
        ([b'{"$numberLong":"5"}', b"2147483648"], pa.int64()),
        ([b"1.5", b"-0.0", b'{"$numberDouble":"NaN"}', b"1e5"], pa.float64()),
        ([b'{"$date":"2020-01-01T00:00:00.123Z"}', b'{"$date":{"$numberLong":"-5"}}'], pa.timestamp("ms", "UTC")),
        ([b'{"$oid":"0123456789abcdef01234567"}'], pa.string()),
        ([b'{"$binary":{"base64":"AAE=","subType":"00"}}'], pa.binary()),
        ([b"1", b'{"$numberLong":"5"}'], pa.string()),
        ([b"1", b"1.5"], pa.string()),
        ([b"1", b'"1"'], pa.string()),
        ([b"[1]", b'{"a":1}'], pa.string()),
        ([b'{"$numberDecimal":"1.10"}'], pa.string()),
        ([b"9223372036854775808"], pa.string()),
        ([b"1", b"null"], pa.int32()),
        ([b"null"], pa.string()),
    ],
)
async def test_a_column_is_native_where_its_values_agree(
    tmp_path: Path, values: list[bytes], kind: pa.DataType
) -> None:
    documents = [b'{"_id":%d,"v":%b}' % (number, value) for number, value in enumerate(values)]
    table = await written(tmp_path, *documents)
    assert table.schema.field("v").type == kind
    back = (await read(tmp_path))["people"]
    same = {b'{"$numberInt":"5"}': b"5", b"1e5": b"100000.0"}
    assert back == [b'{"_id":%d,"v":%b}' % (number, same.get(value, value)) for number, value in enumerate(values)]


async def test_null_missing_and_empty_stay_three_things(tmp_path: Path) -> None:
    documents = [b'{"a":null,"b":1}', b'{"a":""}', b'{"b":2}', b'{"a":"x","b":3}', b"{}"]
    table = await written(tmp_path, *documents)
    assert table.schema.field("b").type == pa.int32()
    assert (await read(tmp_path))["people"] == documents


async def test_documents_without_fields_are_counted(tmp_path: Path) -> None:
    await written(tmp_path, b"{}", b"{ }", b"{}")
    assert (await read(tmp_path))["people"] == [b"{}"] * 3


async def test_odd_names_of_columns_come_back(tmp_path: Path) -> None:
    document = b'{"":1,"a.b":2,"$c":3,"\\u00e9\\n":4,"\\u0000":5,"id":6}'
    await written(tmp_path, document)
    [back] = (await read(tmp_path))["people"]
    assert back.replace("é".encode(), b"\\u00e9") == document


async def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    for document in (b'{"a":1,"a":2}', b'{ "a" : 1 , "b":[1], "a" : 2 }'):
        with pytest.raises(DataError, match="document 2 of the batch"):
            await written(tmp_path, b'{"a":{"b":1,"c":2}}', document)


def foreign() -> pa.Table:
    return pa.table(
        {
            "n": pa.array([1, None, 3], pa.int64()),
            "u": pa.array([2**64 - 1, 0, 1], pa.uint64()),
            "f": pa.array([1.5, float("nan"), None], pa.float32()),
            "s": pa.array(["a", None, ""]).dictionary_encode(),
            "when": pa.array([0, 1_500, None], pa.timestamp("us")),
            "day": pa.array([dt.date(1970, 1, 2), None, None]),
            "d": pa.array([decimal.Decimal("1.10"), None, None]),
            "l": pa.array([[1, None], [], None]),
            "st": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
            "b": pa.array([b"\0", None, b""]),
            "t": pa.array([dt.time(1, 2, 3), None, None]),
        }
    )


async def test_tables_of_other_programs_are_read_as_what_they_say(tmp_path: Path) -> None:
    pq.write_table(foreign(), tmp_path / "people.parquet")
    documents = (await read(tmp_path))["people"]
    assert documents[0] == (
        b'{"n":1,"u":18446744073709551615,"f":1.5,"s":"a","when":{"$date":"1970-01-01T00:00:00Z"},'
        b'"day":{"$date":"1970-01-02T00:00:00Z"},"d":{"$numberDecimal":"1.10"},"l":[1,null],"st":{"a":1,"b":"x"},'
        b'"b":{"$binary":{"base64":"AA==","subType":"00"}},"t":"01:02:03"}'
    )
    assert b'"n":null' in documents[1]
    assert b'"f":{"$numberDouble":"NaN"}' in documents[1]
    assert b'"when":{"$date":"1970-01-01T00:00:00.001Z"}' in documents[1]
    async with FileConnector(str(tmp_path), {}) as connector:
        assert "'when'" in "\n".join((await plan(connector)).warnings)


async def test_row_groups_make_partitions_and_pages_go_on_from_cursors(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"n": list(range(5000)), "text": ["x" * 50] * 5000}), path, row_group_size=700)
    expected = (await read(path))["people"]
    assert [document.split(b",")[0] for document in expected] == [b'{"n":%d' % number for number in range(5000)]
    for options in ({"partition_size": "10000"}, {"batch_size": 33}, {"partition_size": "1000", "batch_size": 999}):
        assert (await read(path, page_bytes=3000, **options))["people"] == expected
    async with FileConnector(str(path), {"partition_size": "1"}) as connector:
        partitions = list((await plan(connector)).partitions)
        assert [part.estimated_count for part in partitions] == [700] * 7 + [100]
        last = await pages(connector, partitions[-1])
    async with FileConnector(str(path), {}) as connector:
        assert await pages(connector, partitions[-1]) == last


async def test_made_ids_name_the_row(tmp_path: Path) -> None:
    from dsync import wire

    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "people.parquet")
    documents = (await read(tmp_path, wire.JSON_ID))["people"]
    assert documents == [b'{"id":"people:1","n":1}', b'{"id":"people:2","n":2}']


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b'{"a":1}\n'])
async def test_what_is_no_parquet_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "people.parquet"
    path.write_bytes(content)
    assert await verdict(path) == f"DataError: {str(path)!r} is not a Parquet file, or damaged"


async def test_without_pyarrow_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "people.parquet").write_bytes(b"")
    real = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")
        return real(name, *arguments)

    for module in ("connectors.file.parquetread", "connectors.file.parquetwrite"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install 'dsync\[parquet\]'"):
        await read(tmp_path)
    with pytest.raises(UsageError, match=r"pip install 'dsync\[parquet\]'"):
        await write(f"{tmp_path}/out/", "people", [[b"{}"]], format="parquet")
