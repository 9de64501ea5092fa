"""CSV out and back: nothing that a document can say is lost with `--types ejson`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bson
import pytest

from tests.kit import documents, oracle
from tests.kit.cli import Dsync


def write_bson(path: Path, each: Iterable[dict[str, Any]]) -> Path:
    path.write_bytes(b"".join(map(bson.encode, each)))
    return path


def unordered(path: Path) -> list[list[tuple[bytes, tuple[int, bytes]]]]:
    """What each document says, raw, but not in which order: a header is one order for all."""
    return sorted(sorted(oracle.fields(each)) for each in oracle.documents(path.read_bytes()))


@pytest.mark.parametrize("name", ["back.csv", "back.csv.gz", "back.csv.zst"])
def test_documents_of_every_type_survive_a_round_trip_through_ejson_cells(dsync: Dsync, name: str) -> None:
    before = write_bson(dsync.folder / "all.bson", documents.all_types())
    dsync(before, name, "--types", "ejson")
    dsync(name, "--types", "ejson", "after.bson")
    assert unordered(before) == unordered(dsync.folder / "after.bson")


def test_late_columns_null_missing_and_empty_stay_what_they_are(dsync: Dsync) -> None:
    before = write_bson(dsync.folder / "late.bson", documents.late_columns(25_000))
    dsync(before, "late.csv", "--types", "ejson")
    header = (dsync.folder / "late.csv").open().readline().strip()
    assert sorted(header.split(",")) == ["_id", "gap", "late"]
    dsync("late.csv", "--types", "ejson", "after.bson")
    assert unordered(before) == unordered(dsync.folder / "after.bson")


def test_plain_cells_keep_strings_as_they_are_and_the_summary_says_what_they_lose(dsync: Dsync) -> None:
    write_bson(dsync.folder / "mixed.bson", [{"_id": 1, "s": "007", "n": None, "l": [1, "a"], "d": {"x": 1.5}}])
    result = dsync("mixed.bson", "plain.csv")
    assert (dsync.folder / "plain.csv").read_text().splitlines() == ["_id,s,n,l,d", '1,007,,"[1,""a""]","{""x"":1.5}"']
    assert "null" in result.out + result.err
