"""`dsync verify` and `dsync repair` as they are typed: exit statuses, reports, messages."""

from __future__ import annotations

import json
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from dsync.cli import main
from tests.kit.cli import Dsync, Result
from tests.mongo.driving import uri_of
from tests.verify.planting import documents, encoded, plant

Mongo = MongoClient[dict[str, Any]]
Run = Callable[..., Result]
FAST = ("--recheck-pause", "0")


@pytest.fixture
def dsync(tmp_path: Path) -> Dsync:
    """Runs dsync in a folder with three files: a, an equal one, and one that differs."""
    folder = tmp_path / "work"
    folder.mkdir()
    lines = [json.dumps({"_id": n, "n": n, "text": "hunter2"}) for n in range(500)]
    (folder / "a.jsonl").write_text("\n".join(lines))
    (folder / "same.jsonl").write_text("\n".join(reversed(lines)))
    lines[7] = lines[7].replace("hunter2", "hunter3")
    (folder / "other.jsonl").write_text("\n".join(lines[:-1]))
    return Dsync(folder)


@pytest.fixture
def inline(dsync: Dsync, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the same commands in this process, where starting one for each would take most of the time."""
    for name, value in dsync.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(dsync.folder)

    def run(*words: str, expect: int | None = 0) -> Result:
        monkeypatch.setattr(sys, "argv", ["dsync", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        result = Result(words, int(end.value.code or 0), captured.out, captured.err)
        assert expect is None or result.status == expect, result
        return result

    return run


@pytest.fixture
def two(mongo: Mongo, database: str) -> Iterator[tuple[str, str]]:
    """Two databases: documents, and the same with planted differences."""
    source, names = documents(2000), (database, f"{database}_b")
    planted = plant(source)
    mongo[names[0]].things.insert_many(source)
    mongo[names[1]].things.insert_many(map(bson.decode, planted.documents))
    yield names
    mongo.drop_database(names[1])


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_equal_ends_with_0_and_a_summary(inline: Run) -> None:
    done = inline("verify", "a.jsonl", "same.jsonl")
    assert [line["result"] for line in lines_of(done.out)] == ["equal"]
    assert "equal: 500 documents on each side" in done.err


def test_differences_end_with_4_and_a_report_without_values(dsync: Dsync) -> None:
    done = dsync("verify", *FAST, "a.jsonl", "other.jsonl", "--report", "r.jsonl", expect=4)
    assert done.out == "" and "hunter" not in done.err
    text = (dsync.folder / "r.jsonl").read_text()
    assert "hunter" not in text
    assert stat.S_IMODE((dsync.folder / "r.jsonl").stat().st_mode) == 0o600
    *found, summary = lines_of(text)
    assert sorted((line["id"], line["kind"], line["fields"]) for line in found) == [
        (7, "changed", ["text"]),
        (499, "missing", []),
    ]
    assert (summary["missing"], summary["changed"], summary["source_documents"]) == (1, 1, 500)
    assert "dsync repair --from r.jsonl" in done.err


def test_options_stand_before_and_behind_the_ends(inline: Run) -> None:
    for words in (
        ("--retry-for", "1", "verify", "--limit", "1", *FAST, "a.jsonl", "other.jsonl"),
        ("verify", *FAST, "a.jsonl", "--limit", "1", "--retry-for", "1", "other.jsonl"),
        ("verify", *FAST, "--retry-for", "1", "a.jsonl", "other.jsonl", "--limit", "1"),
    ):
        assert len(lines_of(inline(*words, expect=4).out)) == 2


def test_one_field_and_a_part_can_be_looked_at(inline: Run) -> None:
    assert len(lines_of(inline("verify", *FAST, "--projection", "n", "a.jsonl", "other.jsonl", expect=4).out)) == 2
    parts = [("--partition", str(part), "--total-partitions", "3") for part in (1, 2, 3)]
    done = [inline("verify", *FAST, *part, "a.jsonl", "other.jsonl", expect=None) for part in parts]
    assert sum(len(lines_of(each.out)) - 1 for each in done) == 2
    assert [lines_of(each.out)[-1]["covered"] for each in done] == [f"partition {n} of 3" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "option",
    [["--verify"], ["--verify-quick-count"], ["--verify-max-tasks", "1"], ["--parallel-integrity-check-workers", "2"]],
)
def test_the_old_options_verify_and_copy_nothing(dsync: Dsync, inline: Run, option: list[str]) -> None:
    before = (dsync.folder / "other.jsonl").read_bytes()
    done = inline(*option, "a.jsonl", "other.jsonl", expect=4)
    assert lines_of(done.out)[-1]["result"] == "different"
    assert (dsync.folder / "other.jsonl").read_bytes() == before
    assert inline(*option, "a.jsonl", "same.jsonl")
    assert sorted(path.name for path in dsync.folder.iterdir()) == ["a.jsonl", "home", "other.jsonl", "same.jsonl"]


def test_a_sample_says_how_many_partitions_it_covers(inline: Run) -> None:
    done = inline("verify", "--sample", "1", "a.jsonl", "same.jsonl")
    assert lines_of(done.out)[-1]["covered"] == "1 of 1 partitions"
    assert "equal (1 of 1 partitions)" in done.err


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["verify"], 2, "SOURCE is missing"),
        (["verify", "a.jsonl"], 2, "DESTINATION is missing"),
        (
            ["verify", "a.jsonl", "same.jsonl", "third.jsonl"],
            2,
            "nothing but a transform is expected after DESTINATION",
        ),
        (["verify", "--partition", "2", "a.jsonl", "same.jsonl"], 2, "belong together"),
        (["verify", "--partition", "3", "--total-partitions", "2", "a.jsonl", "same.jsonl"], 2, "count from 1"),
        (["verify", "--quick-count", "--limit", "1", "a.jsonl", "same.jsonl"], 2, "--limit has no meaning"),
        (["verify", "--projection", "a,,b", "a.jsonl", "same.jsonl"], 2, "empty name"),
        (["verify", "--report", "no/such/r", "a.jsonl", "same.jsonl"], 2, "cannot be written"),
        (["verify", "a.jsonl", "null://"], 2, "cannot be read from"),
        (["verify", "no.jsonl", "same.jsonl"], 3, "no.jsonl"),
        (["verify", "mongodb://127.0.0.1:1/a", "--server-timeout", "0.2", "same.jsonl", "--retry-for", "0"], 3, ""),
        (["repair", "a.jsonl", "same.jsonl"], 2, "--from is missing"),
        (["repair", "--from", "no", "a.jsonl", "same.jsonl"], 2, "does not exist"),
        (["repair", "--from", "a.jsonl", "a.jsonl", "same.jsonl"], 1, "line 1 of the report 'a.jsonl'"),
        (["repair", "--from", "report", "a.jsonl", "same.jsonl"], 2, "copy again"),
    ],
)
def test_what_cannot_work_ends_with_its_status_and_the_reason(
    dsync: Dsync, inline: Run, words: list[str], status: int, says: str
) -> None:
    (dsync.folder / "report").write_text('{"namespace":"a","destination":"same","id":1,"kind":"missing","fields":[]}\n')
    assert says in inline(*words, expect=status).err


def test_a_file_that_cannot_be_read_to_its_end_is_incomplete_and_never_equal(dsync: Dsync, inline: Run) -> None:
    with (dsync.folder / "same.jsonl").open("a") as file:
        file.write('\n{"_id": ')
    done = inline("verify", "a.jsonl", "same.jsonl", expect=1)
    assert "the verification is incomplete" in done.err and "same.jsonl" in done.err
    assert lines_of(done.out)[-1]["result"] == "incomplete"
    assert lines_of(done.out)[-1]["destination_documents"] == "unknown"


def test_an_interrupted_verification_ends_with_1_and_says_that_it_is_incomplete(dsync: Dsync) -> None:
    process = dsync.start("verify", "--recheck-pause", "600", "a.jsonl", "other.jsonl", "--report", "r.jsonl")
    time.sleep(0.1)
    while not (dsync.folder / "r.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert b"the verification is incomplete" in err
    assert lines_of((dsync.folder / "r.jsonl").read_text())[-1]["result"] == "incomplete"


def test_a_report_with_garbage_is_refused_with_its_line(dsync: Dsync, mongo_uri: str, database: str) -> None:
    (dsync.folder / "r.jsonl").write_text('{"kind":"summary","result":"equal"}\nnonsense\n')
    done = dsync("repair", "--from", "r.jsonl", "a.jsonl", uri_of(mongo_uri, database), expect=1)
    assert "line 2 of the report 'r.jsonl'" in done.err and "nonsense" not in done.err


def test_a_repair_between_databases_leaves_nothing_missing_or_changed(
    dsync: Dsync, mongo: Mongo, mongo_uri: str, two: tuple[str, str]
) -> None:
    names = ("--ns", f"{two[0]}:{two[1]}")
    ends = uri_of(mongo_uri, two[0]), uri_of(mongo_uri, two[1])
    dsync("verify", *FAST, *names, "--report", "r.jsonl", *ends, expect=4)
    done = dsync("repair", "--from", "r.jsonl", *ends)
    assert "20 left" in done.err and "--delete-extra" in done.err
    left = lines_of(dsync("verify", *FAST, *names, *ends, expect=4).out)
    assert {line["kind"] for line in left} == {"extra", "summary"}
    done = dsync("repair", "--delete-extra", "--from", "r.jsonl", *ends)
    assert "120 of 120 differences mended" in done.err
    dsync("verify", *names, *ends)


def test_a_file_mends_a_database(dsync: Dsync, mongo: Mongo, mongo_uri: str, database: str) -> None:
    destination = uri_of(mongo_uri, database)
    dsync("a.jsonl", destination)
    mongo[database].a.update_one({"_id": 3}, {"$set": {"n": 4}})
    mongo[database].a.delete_one({"_id": 4})
    dsync("verify", *FAST, "--report", "r.jsonl", "a.jsonl", destination, expect=4)
    assert "2 of 2 differences mended" in dsync("repair", "--from", "r.jsonl", "a.jsonl", destination).err
    dsync("verify", "a.jsonl", destination)
    assert encoded([mongo[database].a.find_one({"_id": 3}) or {}]) == encoded([{"_id": 3, "n": 3, "text": "hunter2"}])
