"""Breaks one promised behaviour at a time in a copy of the code, and says whether the tests notice.

As a program: `python -m tests.trials.planted`, or with words that name some of the bugs; exits with 1 if any was not noticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.trials.bugs import BUGS, Bug
from tests.trials.results import TOP

# What the tests need of the repository.
PARTS = ("bench", "connectors", "dsync", "proto", "test_data", "tests", "tools", "docs")
# What pytest answers when tests failed.
TESTS_FAILED = 1
SECONDS = 1200


def plant(bug: Bug, top: Path) -> None:
    """Changes the file. Raises ValueError where the text does not stand in it just once."""
    path = top / bug.file
    text = path.read_text()
    if text.count(bug.before) != 1:
        raise ValueError(f"{bug.broken}: the text stands {text.count(bug.before)} times in {bug.file}")
    path.write_text(text.replace(bug.before, bug.after))


def copied(folder: Path) -> Path:
    """A copy of the repository's code."""
    for part in PARTS:
        shutil.copytree(TOP / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for path in [*TOP.glob("*.md"), TOP / "pyproject.toml", TOP / "Makefile"]:
        shutil.copy(path, folder)
    return folder


def noticed(bug: Bug) -> bool:
    """Whether the bug's tests fail. Raises RuntimeError where they could not be run."""
    with TemporaryDirectory() as folder:
        top = copied(Path(folder))
        plant(bug, top)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *bug.tests.split()]
        environment = os.environ | {"PYTHONPATH": folder, "DSYNC_SIMULATIONS": "400"}
        done = subprocess.run(command, cwd=top, env=environment, capture_output=True, check=False, timeout=SECONDS)
    if done.returncode not in {0, TESTS_FAILED}:
        raise RuntimeError(f"{bug.broken}: {done.stdout.decode()[-2000:]}{done.stderr.decode()[-500:]}")
    return done.returncode == TESTS_FAILED


def main() -> None:
    """Plants each of the bugs that the arguments name, all without any."""
    missed = 0
    for bug in BUGS:
        if len(sys.argv) > 1 and not any(word in bug.broken for word in sys.argv[1:]):
            continue
        began = time.monotonic()
        caught = noticed(bug)
        missed += not caught
        print(f"{'noticed' if caught else 'MISSED '} in {time.monotonic() - began:4.0f} s: {bug.broken}", flush=True)  # noqa: T201
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
