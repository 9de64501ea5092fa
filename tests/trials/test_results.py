"""The soak tells the truth: about what was run, with which code, and how it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trials import soak
from tests.trials.program import Outcome, Summary, Trials
from tests.trials.results import Results

WANTED = {"a kind": range(1, 11)}


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    yield


def trials(wrong: set[int], missing: str = "") -> Trials[None]:
    def run(seed: int, shared: None) -> Outcome:
        return Outcome(seed, "made up", wrong=["it went wrong"] if seed in wrong else [])

    return Trials("a kind", "made up", nothing, run, 10, lambda: missing)


def test_all_run_and_none_wrong_is_0_and_is_not_run_again(tmp_path: Path) -> None:
    results = Results(tmp_path / "r.jsonl", "code")
    soak.run(trials(set()), range(1, 11), None, results)
    assert soak.status(results, WANTED) == 0
    assert results.left("a kind", range(1, 13)) == [11, 12]


def test_one_that_went_wrong_is_1_and_named_with_its_seed(tmp_path: Path) -> None:
    results = Results(tmp_path / "r.jsonl", "code")
    soak.run(trials({7}), range(1, 11), None, results)
    assert soak.status(results, WANTED) == 1
    assert [outcome["seed"] for outcome in results.wrong("a kind", range(1, 11))] == [7]
    assert "10 of 10 run, 1 wrong" in next(results.table(WANTED))


@pytest.mark.parametrize(("missing", "until"), [("strace is not installed", None), ("", 0.0)])
def test_what_was_not_run_is_2(tmp_path: Path, missing: str, until: float | None) -> None:
    results = Results(tmp_path / "r.jsonl", "code")
    soak.run(trials(set(), missing), range(1, 11), until, results)
    assert soak.status(results, WANTED) == 2
    assert "0 of 10 run" in next(results.table(WANTED))


def test_results_of_other_code_count_for_nothing(tmp_path: Path) -> None:
    Results(tmp_path / "r.jsonl", "old").add(Summary("a kind", 1, 10))
    results = Results(tmp_path / "r.jsonl", "new")
    assert soak.status(results, WANTED) == 2
    assert len(results.left("a kind", range(1, 11))) == 10


def test_a_trial_that_breaks_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(seed: int, shared: None) -> Outcome:
        raise RuntimeError("no server")

    summary = Trials("a kind", "made up", nothing, broken, 1).run_all([5])
    assert summary.wrong[0].wrong == ["the trial broke: RuntimeError: no server"]
    assert "no server" in capsys.readouterr().out


def test_every_seed_has_its_turn_once() -> None:
    wanted = {"a": range(1, 301), "b": range(5, 8), "c": range(1, 96)}
    turns = list(soak.turns(wanted))
    for name, seeds in wanted.items():
        assert [seed for found, some in turns if found == name for seed in some] == list(seeds)
    assert [name for name, _ in turns][:4] == ["a", "b", "c", "a"]
