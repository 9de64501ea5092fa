"""Fixtures of the tests that run dsync as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.cli import Dsync


@pytest.fixture
def dsync(tmp_path: Path) -> Dsync:
    """Runs dsync in a folder of this test's own."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Dsync(folder)
