"""`dsync new-connector NAME` writes a whole package or nothing, under a name that is free."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from dsync.cli import new_connector
from dsync.errors import DsyncError
from tests.e2e.conftest import dsync, inline
from tests.kit.cli import Dsync, Result

__all__ = ["dsync", "inline"]

Run = Callable[..., Result]


def test_every_file_is_there_under_the_new_name(dsync: Dsync, inline: Run) -> None:
    assert inline("new-connector", "my-notes2").status == 0
    package = dsync.folder / "dsync-my-notes2"
    names = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert names == {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/dsync_my_notes2/__init__.py",
        "src/dsync_my_notes2/connector.py",
        "src/dsync_my_notes2/cursors.py",
        "src/dsync_my_notes2/py.typed",
        "src/dsync_my_notes2/store.py",
        "test_data/people.jsonl",
        "tests/test_conformance.py",
        "tests/test_store.py",
    }
    texts = {name: (package / name).read_text() for name in names}
    assert not [name for name, text in texts.items() if "mystore" in text.lower()]
    assert "class MyNotes2Connector(Connector):" in texts["src/dsync_my_notes2/connector.py"]
    project = tomllib.loads(texts["pyproject.toml"])["project"]
    assert project["entry-points"] == {"dsync.connectors": {"my-notes2": "dsync_my_notes2:SPEC"}}
    assert stat.S_IMODE(package.stat().st_mode) == 0o777 & ~umask()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Notes",
        "notes_",
        "2notes",
        "-notes",
        "notes-",
        "a--b",
        "no tes",
        "../notes",
        "n.otes",
        "nötes",
        "n" * 31,
        "a\nb",
    ],
)
def test_a_name_that_cannot_be_a_scheme_is_refused(inline: Run, dsync: Dsync, name: str) -> None:
    result = inline("new-connector", "--", name)
    assert result.status == 2
    assert "cannot be the name of a connector" in result.err
    assert names_in(dsync.folder) == ["home"]


@pytest.mark.parametrize("name", ["s3", "file", "grpc", "mongodb"])
def test_a_name_that_is_taken_is_refused(inline: Run, name: str) -> None:
    result = inline("new-connector", name)
    assert result.status == 2
    assert f"there is a connector {name!r} already" in result.err


def test_a_package_of_that_name_is_not_shadowed(
    inline: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "dsync_notes.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert "there is a package 'dsync_notes' already" in inline("new-connector", "notes").err


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_what_exists_is_left_as_it_is(inline: Run, dsync: Dsync, make: Callable[[Path], None]) -> None:
    folder = dsync.folder / "mine"
    make(folder)
    result = inline("new-connector", "notes", "--folder", "mine")
    assert (result.status, "'mine' exists; give another with --folder" in result.err) == (2, True)
    assert names_in(dsync.folder) == ["home", "mine"]
    assert not folder.is_dir() or not names_in(folder)


def test_a_folder_that_cannot_be_made_is_said_so(inline: Run) -> None:
    result = inline("new-connector", "notes", "--folder", "/dev/null/notes")
    assert (result.status, "'/dev/null/notes' cannot be written: Not a directory" in result.err) == (1, True)


def test_nothing_is_left_of_a_package_that_was_not_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def write_text(path: Path, text: str, encoding: str) -> None:
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        written.append(path)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(DsyncError, match="No space left"):
        new_connector.write_package("notes", tmp_path / "notes")
    assert names_in(tmp_path) == []


def test_the_template_ships_with_the_package() -> None:
    package = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert package["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["dsync", "connectors"]
    assert (Path(new_connector.__file__).parents[1] / "template" / "pyproject.toml").exists()
