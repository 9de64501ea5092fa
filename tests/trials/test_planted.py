"""The table of planted bugs fits the code; `python -m tests.trials.planted` says whether the tests notice them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.trials.bugs import BUGS, Bug
from tests.trials.planted import plant
from tests.trials.results import TOP

# Of the bugs; the code moves on under the table, and whoever runs the program mends those that no longer fit.
MOST_OUTDATED = 0.2


def fits(bug: Bug, folder: Path) -> bool:
    """Whether the bug can be planted in the code as it is."""
    copy = folder / bug.file
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text((TOP / bug.file).read_text())
    try:
        plant(bug, folder)
    except ValueError:
        return False
    ast.parse(copy.read_text())
    return True


def test_the_bugs_fit_the_code(tmp_path: Path) -> None:
    outdated = [bug.broken for bug in BUGS if not fits(bug, tmp_path)]
    assert len(outdated) <= MOST_OUTDATED * len(BUGS), outdated


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.broken)
def test_the_tests_of_every_bug_are_there(bug: Bug) -> None:
    assert all((TOP / path).exists() for path in bug.tests.split())
