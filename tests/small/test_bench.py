"""The bench measures a connector as a sink and as a source, both ways, beside the ceilings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.kit.cli import Dsync


def bench(folder: Path, *words: str, expect: int = 0) -> str:
    command = [sys.executable, "-m", "dsync.testing.bench", *words]
    done = subprocess.run(command, cwd=folder, env=Dsync(folder).variables(), capture_output=True, text=True)
    assert done.returncode == expect, done.stderr
    return done.stdout if not expect else done.stderr


def test_everything_that_was_written_is_read_both_ways(tmp_path: Path) -> None:
    out = bench(tmp_path, "--documents", "3000", "--payload", "50", "--json", "store/", "--format", "bson")
    measured = [json.loads(line) for line in out.splitlines()]
    ways = [(each["work"], each["who"], each["via"]) for each in measured]
    expected = [("write", "null", "file"), ("read", "fakesource", "file")]
    assert ways == [(work, who, via) for work, *ends in expected for via in ("direct", "grpc") for who in ends]
    assert {each["documents"] for each in measured} == {3000}
    assert len({each["bytes"] for each in measured}) == 1
    assert all(each["calls"] >= 1 and each["seconds"] > 0 for each in measured)


def test_a_source_is_read_as_far_as_asked_for_and_shown_as_a_table(tmp_path: Path) -> None:
    lines = bench(tmp_path, "--documents", "2000", "/dev/random", "--num-docs-per-partition", "5000").splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["read fakesource", "read random"] * 2
    assert [line.endswith("%") for line in lines[1:]] == [False, True] * 2


def test_what_is_there_already_is_not_written_into(tmp_path: Path) -> None:
    bench(tmp_path, "--documents", "10", "store/")
    assert "has 'bench.docs_direct' already" in bench(tmp_path, "--documents", "10", "store/", expect=2)
    bench(tmp_path, "--documents", "10", "--namespace", "again", "store/")


def test_a_line_that_cannot_be_understood_says_what_to_write(tmp_path: Path) -> None:
    assert "URI is missing; write: python -m dsync.testing.bench" in bench(tmp_path, expect=2)
    assert "takes one URI" in bench(tmp_path, "a/", "b/", expect=2)
    assert "no option --fast" in bench(tmp_path, "a/", "--fast", expect=2)
