"""Files that survive a crash: written beside, synced, renamed, and the folder synced too."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

COPY_BYTES = 1 << 20
EARLY_BYTES = 16 << 20
# A disk takes a millisecond to free what a file of some megabytes had, and does it for several at a time.
REMOVING_THREADS = 8
# What a file system or kernel answers that cannot copy between files by itself.
_NO_COPY = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
# What a file system answers that has no second names for a file.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
TEMPORARY = ".tmp"


def write_file(path: Path, pieces: Sequence[bytes], folder: Path | None = None) -> None:
    """Puts a file in place, whole and durable, over what was there; until then it is in `folder`, or beside."""
    with written_beside(folder / path.name if folder else path) as (descriptor, temporary):
        write_all(descriptor, pieces)
        sync(descriptor)
        temporary.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, pieces: Sequence[bytes], folder: Path) -> bool:
    """Puts a file in place if there is none, whole and durable; until then it is in `folder`. Whether it did."""
    with written_beside(folder / path.name) as (descriptor, temporary):
        write_all(descriptor, pieces)
        sync(descriptor)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_in_place(path, pieces)
    sync_folder(path.parent)
    return True


def _create_in_place(path: Path, pieces: Sequence[bytes]) -> bool:
    """The same on a file system without links, where a crash may leave half of the file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    try:
        write_all(descriptor, pieces)
        sync(descriptor)
    finally:
        os.close(descriptor)
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
    while not path.is_dir():
        # Somebody may be removing empty folders at the same time.
        with contextlib.suppress(FileNotFoundError):
            if not path.parent.is_dir():
                make_folders(path.parent)
            path.mkdir(exist_ok=True)
            sync_folder(path.parent)


def sync(descriptor: int) -> None:
    """Makes durable what was written to a file."""
    getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has fsync alone


@contextlib.contextmanager
def synced_early(descriptor: int) -> Iterator[Callable[[int], None]]:
    """What is written to a file goes to the disk while more is written; the function hears of each so many bytes.

    All of it is durable only after a `sync` of the caller's. Raises OSError where the disk did not take something: the system
    says so once.
    """
    waiting = 0
    syncs: list[Future[None]] = []

    def grown(size: int) -> None:
        nonlocal waiting
        waiting += size
        if waiting >= EARLY_BYTES:
            waiting = 0
            syncs.append(thread.submit(sync, descriptor))

    with ThreadPoolExecutor(1) as thread:
        yield grown
    for done in syncs:
        done.result()


def remove_files(folder: Path) -> None:
    """Removes the files of a folder, several at a time; what cannot be removed stays."""
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if not entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    with ThreadPoolExecutor(REMOVING_THREADS) as threads:
        threads.map(_remove_file, paths)


def _remove_file(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()


def sync_folder(path: Path) -> None:
    """Makes durable which names a folder has."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
