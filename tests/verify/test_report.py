"""Reports come back as they were written, and whatever else is in one is refused with its line."""

from __future__ import annotations

import datetime as dt
import io
import stat
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from dsync.codec import raw
from dsync.errors import DataError, UsageError
from dsync.flow.verify_report import Difference, Report, batches, check_report, read_report

IDS: list[Any] = [
    1,
    Int64(1),
    1.0,
    Decimal128("1.0"),
    float("nan"),
    "id",
    "",
    "\x00é🦉",
    ObjectId("0" * 24),
    None,
    True,
    MinKey(),
    MaxKey(),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    Timestamp(1, 2),
    Binary(b"\x00\xff", 4),
    b"",
    {"b": 1, "a": {"c": 2}},
    {},
    {"$oid": "no"},
    {"$gt": 5},
    Regex("a", "i"),
    Code("f()"),
]


def difference(id_kind: int, value: bytes, /, **changed: Any) -> Difference:
    fields = {"namespace": "a.b", "destination": "a.b", "kind": "changed", "fields": ("x.y", "z"), **changed}
    return Difference(id_kind=id_kind, id_value=value, **fields)


def written(path: Path, differences: list[Difference]) -> None:
    with Report(str(path), io.BytesIO()) as report:
        for each in differences:
            report.write(each.line())
        report.end({"result": "different"})


@pytest.mark.parametrize("value", IDS, ids=lambda value: repr(value)[:20])
def test_every_id_comes_back_with_its_type_and_bytes(tmp_path: Path, value: Any) -> None:
    one = difference(*raw.id_of(bson.encode({"_id": value})))
    written(tmp_path / "r", [one])
    assert [placed.difference for placed in read_report(str(tmp_path / "r"))] == [one]


def test_ids_that_extended_json_cannot_say_come_back_too(tmp_path: Path) -> None:
    not_utf8 = difference(raw.STRING, b"\x02\0\0\0\xff\0")
    other_nan = difference(raw.DOUBLE, b"\x01\0\0\0\0\0\xf8\x7f")
    written(tmp_path / "r", [not_utf8, other_nan])
    assert [placed.difference for placed in read_report(str(tmp_path / "r"))] == [not_utf8, other_nan]


def test_names_that_differ_and_documents_without_an_id_come_back(tmp_path: Path) -> None:
    mapped = difference(raw.INT32, b"\1\0\0\0", destination="c.d", kind="missing", fields=())
    nameless = difference(0, b"", kind="extra", fields=())
    written(tmp_path / "r", [mapped, nameless])
    assert [(p.line, p.difference) for p in read_report(str(tmp_path / "r"))] == [(1, mapped), (2, nameless)]


def test_a_report_is_its_owners_alone_even_where_a_file_was(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("much older, and longer than what comes")
    path.chmod(0o644)
    written(path, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == '{"kind":"summary","result":"different"}\n'


def test_a_report_that_cannot_be_written_is_said_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"), Report(str(tmp_path / "no" / "r"), io.BytesIO()):
        pass


GARBAGE = [
    b"nonsense",
    b"[]",
    b"{}",
    b'{"kind":"missing"}',
    b'{"kind":"odd","namespace":"a.b","id":1}',
    b'{"kind":"missing","namespace":"","id":1}',
    b'{"kind":"missing","namespace":5,"id":1}',
    b'{"kind":"missing","namespace":"a.b","id":{"$oid":"x"}}',
    b'{"kind":"missing","namespace":"a.b","id":}',
    b'{"kind":"missing","namespace":"a.b","id_bson":"!"}',
    b'{"kind":"missing","namespace":"a.b","id_bson":5}',
    b'{"kind":"missing","namespace":"a.b","id_bson":"BQAAAAA="}',
    b'{"kind":"changed","namespace":"a.b","id":1,"fields":"x"}',
    b'{"kind":"missing","namespace":"a.b","id":1',
    b"\xff\xfe",
    b"[" * 100_000,
]


@pytest.mark.parametrize("line", GARBAGE, ids=lambda line: line[:40])
def test_garbage_is_an_error_with_its_line(tmp_path: Path, line: bytes) -> None:
    good = difference(raw.INT32, b"\1\0\0\0").line()
    (tmp_path / "r").write_bytes(good + b"\n" + good + line + b"\n" + good)
    for read in (lambda path: list(read_report(path)), check_report):
        with pytest.raises(DataError, match=r"^line 4 of the report"):
            read(str(tmp_path / "r"))


def test_batches_hold_one_namespace_each_and_everything_once() -> None:
    every = [difference(raw.INT32, bytes([n, 0, 0, 0]), namespace=f"a.{n % 3}") for n in range(100)]
    made = list(batches(every, 8))
    assert all(len({each.namespace for each in batch}) == 1 and len(batch) <= 8 for batch in made)
    assert sorted((each for batch in made for each in batch), key=lambda each: each.id_value) == every


def test_many_namespaces_with_little_each_do_not_pile_up() -> None:
    every = [difference(raw.INT32, b"\1\0\0\0", namespace=f"a.{n}") for n in range(1000)]
    taken = 0

    def counted() -> Any:
        nonlocal taken
        for each in every:
            taken += 1
            yield each

    next(batches(counted(), 8))
    assert taken <= 16 * 8
