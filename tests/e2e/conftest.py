"""Fixtures of the tests that run dsync as a process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.cli import Dsync, Result


@pytest.fixture
def dsync(tmp_path: Path) -> Dsync:
    """Runs dsync in a folder of this test's own."""
    folder = tmp_path / "work"
    folder.mkdir()
    return Dsync(folder)


@pytest.fixture
def inline(dsync: Dsync, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs the same command in this process, for tables so long that starting processes would take most of the time."""
    from dsync.cli import main

    for name, value in dsync.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(dsync.folder)

    def run(*words: str | Path) -> Result:
        arguments = tuple(map(str, words))
        monkeypatch.setattr(sys, "argv", ["dsync", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Result(arguments, int(end.value.code or 0), captured.out, captured.err)

    return run
