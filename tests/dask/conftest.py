"""One scheduler for the tests of this folder; each test has workers of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.cli import Dsync
from tests.kit.dask import DaskCluster


@pytest.fixture(scope="module")
def scheduler() -> Iterator[DaskCluster]:
    with DaskCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(scheduler: DaskCluster) -> Iterator[DaskCluster]:
    """The scheduler, without workers."""
    yield scheduler
    scheduler.kill_workers()


@pytest.fixture
def dsync(tmp_path: Path) -> Dsync:
    """Runs dsync in a folder of this test's own."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Dsync(folder)
