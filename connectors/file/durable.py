"""Files that survive a crash: written beside, synced, renamed, and the folder synced too."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

COPY_BYTES = 1 << 20
# What a file system or kernel answers that cannot copy between files by itself.
_NO_COPY = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
TEMPORARY = ".tmp"


def write_file(path: Path, pieces: Sequence[bytes], folder: Path | None = None) -> None:
    """Puts a file in place, whole and durable, over what was there; until then it is in `folder`, or beside."""
    with written_beside(folder / path.name if folder else path) as (descriptor, temporary):
        write_all(descriptor, pieces)
        os.fdatasync(descriptor)
        temporary.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, pieces: Sequence[bytes], folder: Path) -> bool:
    """Puts a file in place if there is none, whole and durable; until then it is in `folder`. Whether it did."""
    with written_beside(folder / path.name) as (descriptor, temporary):
        write_all(descriptor, pieces)
        os.fdatasync(descriptor)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
    sync_folder(path.parent)
    return True


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[tuple[int, Path]]:
    """A new file in the same folder, to write to and to rename; what has not been renamed is removed."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor, temporary
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def write_all(descriptor: int, pieces: Sequence[bytes]) -> None:
    """Writes all of the pieces, however little the system takes at once."""
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def copy_range(source: int, offset: int, size: int, out: int) -> None:
    """Appends bytes of one file to another, inside the kernel where it can."""
    while size and hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(source, out, size, offset_src=offset)
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise
            break
        if not copied:
            break
        offset, size = offset + copied, size - copied
    while size:
        piece = os.pread(source, min(size, COPY_BYTES), offset)
        if not piece:
            raise OSError(errno.EIO, "the file has become shorter")
        write_all(out, [piece])
        offset, size = offset + len(piece), size - len(piece)


def make_folders(path: Path) -> None:
    """Makes a folder and those above it, durably; those that exist stay as they are."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Makes durable which names a folder has."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
