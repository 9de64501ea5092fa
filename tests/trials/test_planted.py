"""The table of planted bugs fits the code; `python -m tests.trials.planted` says whether the tests notice them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.trials.bugs import BUGS, Bug
from tests.trials.planted import plant
from tests.trials.results import TOP


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.broken)
def test_every_bug_changes_sound_code_into_sound_code(bug: Bug, tmp_path: Path) -> None:
    copy = tmp_path / bug.file
    copy.parent.mkdir(parents=True)
    copy.write_text((TOP / bug.file).read_text())
    plant(bug, tmp_path)
    ast.parse(copy.read_text())
    assert all((TOP / path).exists() for path in bug.tests.split())
