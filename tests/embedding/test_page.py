"""docs/embedding.md: every example runs as it stands and prints what stands below it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.kit.cli import TOP, Dsync

PAGE = (TOP / "docs" / "embedding.md").read_text()
# An example, and the indented lines that follow it.
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n((?:    [^\n]*\n)+)", re.DOTALL)
EXAMPLES = EXAMPLE.findall(PAGE)


def test_every_example_says_what_it_prints() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") >= 6


@pytest.mark.parametrize("example", EXAMPLES, ids=range(1, len(EXAMPLES) + 1))
def test_an_example_prints_what_stands_below_it(example: tuple[str, str], tmp_path: Path) -> None:
    code, output = example
    shutil.copytree(TOP / "test_data", tmp_path / "test_data")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=Dsync(tmp_path).variables(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, textwrap.dedent(output)), done.stderr


def test_the_examples_are_soundly_typed_for_a_third_party(tmp_path: Path) -> None:
    """mypy --strict, in a folder and with a configuration of its own: dsync is what a package with types is."""
    for number, (code, _) in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(code)
    (tmp_path / "wrong.py").write_text('import dsync\n\ndsync.Settings(mode="fast")\ndsync.migrate(1, 2)\n')
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--cache-dir",
        str(tmp_path / "cache"),
        ".",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} == {"wrong.py"}, done.stdout
    assert done.stdout.count("arg-type") == 3
