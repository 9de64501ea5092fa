"""Runs the command line beside the calls."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import dsync, inline
from tests.kit.cli import Dsync

__all__ = ["dsync", "inline"]


@pytest.fixture
def command(dsync: Dsync) -> Dsync:
    """The same as `dsync`, for tests in which that is the package."""
    return dsync
