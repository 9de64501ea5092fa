"""Bad inputs: the right result, or an error that names file and place; the same for every page size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit import documents, oracle
from tests.kit.cli import TOP, Dsync, Result

FOLDER = TOP / "test_data" / "bad"
CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "cases.yaml").read_text())
PAGE_SIZES = [[], ["--batch-size", "1"], ["--batch-size", "2"]]


@dataclass(frozen=True)
class Verdict:
    """What came of a file: its message or its documents."""

    status: int
    message: str
    found: tuple[str, ...]


def verdict(run: Callable[..., Result], path: Path, options: list[str], written: Path) -> Verdict:
    result = run("--overwrite", path, *options, written)
    read = tuple(map(documents.canonical, oracle.documents(written.read_bytes()))) if written.exists() else ()
    assert "Traceback" not in result.err, result
    message = next((line for line in result.err.splitlines() if line.startswith("dsync: ")), "")
    return Verdict(result.status, message or result.err if result.status else "", read)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["file"]))
def test_a_bad_file_gives_the_right_result_or_names_its_place_for_every_page_size(
    tmp_path: Path, inline: Callable[..., Result], case: dict[str, Any]
) -> None:
    options = case.get("options", [])
    path = FOLDER / case["file"]
    verdicts = [
        verdict(inline, path, [*options, *pages], tmp_path / f"out{number}.bson")
        for number, pages in enumerate(PAGE_SIZES)
    ]
    first = verdicts[0]
    if "error" in case:
        assert first.status == case.get("status", 1), first
        assert [word for word in case["error"] if word not in first.message] == [], first
        assert not first.found, "a file that is refused leaves nothing under the final name"
    else:
        assert first.status == 0, first
        assert list(first.found) == [documents.canonical(documents.parse(text)) for text in case["documents"]]
    assert verdicts == [first] * len(verdicts)


def test_a_cell_longer_than_the_csv_modules_limit_comes_over(dsync: Dsync) -> None:
    text = "x" * 140_000
    (dsync.folder / "large.csv").write_text(f"id,name\n1,{text}\n2,b\n")
    dsync("large.csv", "large.bson")
    found = [documents.canonical(each) for each in oracle.documents((dsync.folder / "large.bson").read_bytes())]
    assert found == [documents.canonical({"_id": "1", "name": text}), documents.canonical({"_id": "2", "name": "b"})]


def test_every_bad_file_has_a_case_and_every_case_a_file() -> None:
    assert {case["file"] for case in CASES} | {"cases.yaml"} == {path.name for path in FOLDER.iterdir()}
