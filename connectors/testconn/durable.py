"""Writing files so that they are whole after a crash at any instant."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def replace(path: Path, pieces: Iterable[bytes]) -> None:
    """Writes a file beside and renames it: whoever reads sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def append(path: Path, content: bytes, note: Path) -> None:
    """Adds to the end of a file, all or nothing.

    While it is written, `note` holds the length from before; a file with a note is cut back to it by the next append, and
    `safe_length` tells readers of it.
    """
    length = safe_length(path, note)
    replace(note, [b"%d" % length])
    created = not path.exists()
    with path.open("ab") as file:
        file.truncate(length)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if created:
        sync_folder(path.parent)
    remove(note)


def safe_length(path: Path, note: Path) -> int:
    """The length of a file without what an append that never ended has left."""
    size = path.stat().st_size if path.exists() else 0
    try:
        return min(size, int(note.read_bytes()))
    except FileNotFoundError:
        return size


def remove(path: Path) -> None:
    """Removes a file if it is there, for good."""
    if path.exists():
        path.unlink()
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes names that were added, changed or removed in a folder last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
