"""Memory stays bounded, whatever the number of documents and in whatever order they come."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import bson
import pytest
from bson import ObjectId

from tests.kit.cli import Dsync

DOCUMENTS = 60_000
TEXT = "x" * 2000
# Of a process that has verified nothing much, and what it may need beyond the limit's share for documents.
MEGABYTES = 150


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of 120 MB, and one of the same documents but one in another order."""
    documents = [bson.encode({"_id": ObjectId(f"{n:024x}"), "n": n, "text": TEXT}) for n in range(DOCUMENTS)]
    work = tmp_path / "work"
    work.mkdir()
    with (work / "a.bson").open("wb") as file:
        file.writelines(documents)
    random.Random(1).shuffle(documents)
    with (work / "b.bson").open("wb") as file:
        file.writelines(documents[1:])
    return work


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_verification_of_two_orders_stays_within_its_memory(folder: Path) -> None:
    words = ("--memory-limit", "60MB", "verify", "--recheck", "0", "a.bson", "b.bson")
    command = [sys.executable, "-m", "tests.verify.peak", str(folder / "peak"), *words]
    done = subprocess.run(command, cwd=folder, env=Dsync(folder).variables(), capture_output=True, check=False)
    assert done.returncode == 4, done.stderr
    assert int((folder / "peak").read_text()) < MEGABYTES << 10
