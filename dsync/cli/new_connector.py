"""`dsync new-connector NAME`: a package with a connector that works, to make one's own of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsync import registry
from dsync.errors import DsyncError, UsageError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 30
# What the template is called, as a class and by its scheme; files and folders are named after it too.
TEMPLATE_CLASS, TEMPLATE_NAME, TEMPLATE_MODULE = "Mystore", "mystore", "dsync_mystore"
# Files that would mean something where the template itself lies.
RENAMED = {"gitignore": ".gitignore"}


@click.command("new-connector")
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), metavar="PATH", help="Where to write it. Default: dsync-NAME, here."
)
def new_connector(name: str, folder: Path | None) -> None:
    """Writes a package for the scheme NAME://, with a connector that keeps documents in a SQLite file, its options, its entry
    point, tests that pass (the conformance suite among them), test data and a README. docs/write-a-connector.md goes on from there.
    """
    folder = folder or Path(f"dsync-{name}")
    write_package(name, folder)
    click.echo(f"{folder} has a connector for {name}://; now:")
    click.echo(f"  cd {folder}")
    click.echo("  pip install -e '.[dev]'")
    click.echo("  python -m pytest")


def write_package(name: str, folder: Path) -> None:
    """Writes the package into a folder that is not there yet, whole or not at all.

    Raises UsageError for a name that cannot be one or is taken, and for a folder that exists.
    """
    refuse_name(name)
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{str(folder)!r} exists", remedy="give another with --folder, or remove it")
    from importlib.resources import files

    beside = folder.with_name(f".{folder.name}.new")
    try:
        beside.mkdir(parents=True)
        _write(files("dsync") / "template", beside, name)
        beside.rename(folder)
    except OSError as error:
        import shutil

        shutil.rmtree(beside, ignore_errors=True)
        raise DsyncError(
            f"{str(folder)!r} cannot be written: {error.strerror}", remedy="give another --folder"
        ) from error


def refuse_name(name: str) -> None:
    """Raises UsageError for what can be no scheme, or is one already."""
    from importlib.util import find_spec

    if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a connector",
            remedy=f"give small letters, digits and dashes between them, {LONGEST_NAME} at the most: dsync new-connector notes",
        )
    if name in registry.schemes():
        raise UsageError(
            f"there is a connector {name!r} already", remedy="dsync connectors lists the names that are taken"
        )
    if find_spec(_module(name)):
        raise UsageError(f"there is a package {_module(name)!r} already", remedy="give another name")


def _module(name: str) -> str:
    return f"dsync_{name.replace('-', '_')}"


def _write(source: Traversable, target: Path, name: str) -> None:
    for each in source.iterdir():
        path = target / _renamed(RENAMED.get(each.name, each.name), name)
        if each.is_dir() and each.name != "__pycache__":
            path.mkdir()
            _write(each, path, name)
        elif each.is_file():
            path.write_text(_renamed(each.read_text(encoding="utf-8"), name), encoding="utf-8")


def _renamed(text: str, name: str) -> str:
    class_name = "".join(part.capitalize() for part in name.split("-"))
    return text.replace(TEMPLATE_MODULE, _module(name)).replace(TEMPLATE_CLASS, class_name).replace(TEMPLATE_NAME, name)
