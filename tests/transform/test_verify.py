"""Verification through a transform: the source side is what a copy through it would have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync.errors import UsageError
from dsync.flow.verify import verify
from dsync.flow.verify_outcome import Outcome, VerifySettings
from dsync.flow.verify_report import Report
from dsync.namespaces import Selection, parse
from dsync.run import migrate
from dsync.testing.store import MemoryStore
from tests.engine.driving import connector, settings, store_with
from tests.transform.driving import function, numbered


class Pair:
    """A source and what a copy through a function made of it."""

    def __init__(self, folder: Path, name: str, selection: Selection | None = None) -> None:
        self.source = store_with(shop__a=numbered(range(60)), shop__b=numbered(range(100, 120)))
        self.target = MemoryStore("target")
        self.name = name
        self.selection = selection or Selection()
        self.report = folder / "report"

    async def copy(self) -> None:
        asked = settings(transform=function(self.name), selection=self.selection)
        await migrate(connector(self.source), connector(self.target), asked)

    async def verify(self, **changes: Any) -> Outcome:
        asked: dict[str, Any] = {"transform": function(self.name), "selection": self.selection, "recheck_pause": 0.0}
        with self.report.open("wb") as out, Report(None, out) as report:
            return await verify(
                connector(self.source), connector(self.target), VerifySettings(**asked | changes), report
            )

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.report.read_text().splitlines()][:-1]


@pytest.mark.parametrize("name", ["keep", "mark", "even", "by_parity", "split"])
async def test_a_copy_through_a_transform_is_equal(tmp_path: Path, name: str) -> None:
    pair = Pair(tmp_path, name)
    await pair.copy()
    outcome = await pair.verify()
    assert outcome.result == "equal", pair.lines()
    assert (
        outcome.documents(0)
        == outcome.documents(1)
        == sum(len(pair.target.documents(each)) for each in pair.target.namespaces)
    )


async def test_what_is_missing_extra_and_changed_is_found_under_the_names_it_has_there(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "by_parity")
    await pair.copy()
    pair.target.delete("shop.a_odd", bson.encode({"_id": 7}))
    pair.target.put("shop.a_even", bson.encode({"_id": 7, "number": 7}))
    pair.target.put("shop.b_even", bson.encode({"_id": 100, "number": 0}))
    outcome = await pair.verify()
    assert outcome.result == "different"
    differences = {(line["kind"], line["namespace"], line["id"]) for line in pair.lines()}
    assert differences == {("missing", "shop.a_odd", 7), ("extra", "shop.a_even", 7), ("changed", "shop.b_even", 100)}


async def test_a_copy_that_left_the_transform_out_differs(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "mark")
    await migrate(connector(pair.source), connector(pair.target), settings())
    assert (await pair.verify()).differences == {"changed": 80}


async def test_a_whole_namespace_that_is_missing_or_extra_is_found(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "by_parity")
    await pair.copy()
    del pair.target.namespaces["shop.b_odd"]
    pair.target.load("shop.c", numbered([1]))
    outcome = await pair.verify()
    assert outcome.differences == {"missing": 10, "extra": 1}


async def test_only_what_was_asked_for_is_compared_under_its_mapped_name(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "by_parity", parse(["shop.a:other.x"]))
    pair.target.load("other.y", numbered([1]))
    await pair.copy()
    outcome = await pair.verify()
    assert outcome.result == "equal", pair.lines()
    assert {each.pair.destination for each in outcome.namespaces} == {"other.x_even", "other.x_odd"}


@pytest.mark.parametrize("name", ["random_ids", "random_values"])
async def test_a_transform_that_does_not_repeat_itself_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="does not repeat itself"):
        await Pair(tmp_path, name).verify()


async def test_counts_are_of_what_the_transform_makes(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "split")
    await pair.copy()
    outcome = await pair.verify(quick_count=True)
    assert outcome.result == "equal"
    assert outcome.documents(0) == len(pair.target.documents("shop.a_parts")) + len(
        pair.target.documents("shop.b_parts")
    )


async def test_a_sample_and_a_part_read_through_the_transform_too(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "split")
    await pair.copy()
    assert (await pair.verify(sample=2)).result == "equal"
    results = [await pair.verify(part=part, parts=3) for part in (1, 2, 3)]
    assert [each.result for each in results] == ["equal"] * 3


async def test_what_is_filtered_out_is_said(tmp_path: Path) -> None:
    pair = Pair(tmp_path, "even")
    await pair.copy()
    assert "the transform filters out 40 documents" in (await pair.verify()).notes
