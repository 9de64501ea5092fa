"""Which files are under a root, and how they are opened: regular files only, and never outside of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field

from connectors.file import kinds
from connectors.file.cursors import Identity
from connectors.file.failures import of_os_error
from connectors.file.settings import Settings
from dsync.codec import paths
from dsync.errors import CursorError, EndpointError, UsageError

# Where the sink keeps what it needs; never data.
OWN_FOLDER = ".dsync"
# How many names of a group a warning shows.
SHOWN = 5

_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class Entry(Struct, frozen=True):
    """A file that holds a namespace; `path` is relative to the root, `refusal` says why it cannot be read."""

    namespace: str
    path: str
    kind: kinds.Kind
    refusal: str = ""


class Listing(Struct):
    """The files of a root by path, and what else there is, by the reason for which it is left out."""

    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, reason: str, name: str) -> None:
        """Remembers a name for a warning."""
        self.left_out.setdefault(reason, []).append(name)

    def warnings(self) -> list[str]:
        """A sentence for each reason."""
        return [f"{reason}: {_shown(names)}" for reason, names in sorted(self.left_out.items())]


def list_files(settings: Settings, *, may_be_empty: bool = False) -> Listing:
    """What there is to read. Raises EndpointError where there is nothing at all, UsageError where no format can be told."""
    root = settings.path
    listing = Listing()
    try:
        is_folder = stat.S_ISDIR(Path(root).stat().st_mode)
        if not is_folder:
            listing.entries.append(_root_entry(settings))
            return listing
        for relative, entry in _walk(root, listing):
            _add(settings, listing, relative, entry)
    except OSError as error:
        raise of_os_error(error, settings.typed) from error
    listing.entries.sort(key=lambda each: each.path)
    _leave_out_dump_files(listing)
    if not listing.entries and not may_be_empty:
        raise EndpointError(
            f"{settings.typed!r} holds no data files",
            remedy="; ".join(listing.warnings()) or f"it is empty; known are {', '.join(kinds.EXTENSIONS)}",
        )
    return listing


def readable(listing: Listing, settings: Settings) -> list[Entry]:
    """The entries, if all can be read. Raises UsageError for two files of one namespace, EndpointError for no regular file."""
    by_namespace: dict[str, Entry] = {}
    for entry in listing.entries:
        if entry.refusal:
            raise EndpointError(
                f"{settings.name_of(entry.path)!r} {entry.refusal}", remedy="remove it or select other namespaces"
            )
        other = by_namespace.setdefault(entry.namespace, entry)
        if other is not entry:
            raise UsageError(
                f"{settings.name_of(other.path)!r} and {settings.name_of(entry.path)!r} are both the namespace {entry.namespace!r}",
                remedy="rename one of them, or choose a format with --format",
            )
    return list(by_namespace.values())


@contextlib.contextmanager
def opened(root: str, relative: str) -> Iterator[int]:
    """A descriptor of a regular file under the root, whose path may hold no link (the listing has resolved those).

    Raises EndpointError where it cannot be opened, CursorError for a path that leads elsewhere or nowhere any more.
    """
    try:
        descriptor = _open(root, relative)
    except OSError as error:
        if relative and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise CursorError(
                f"{str(Path(root, relative))!r} is no longer there", remedy="copy it again with --restart"
            ) from error
        raise of_os_error(error, str(Path(root, relative)) if relative else root) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def identity(descriptor: int) -> Identity:
    """What tells an unchanged file from another one."""
    status = os.fstat(descriptor)
    return Identity(status.st_size, status.st_mtime_ns, status.st_ino)


def _open(root: str, relative: str) -> int:
    if not relative:
        return _regular(os.open(root, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), root)
    *folders, name = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*folders, name)):
        raise CursorError("the cursor's path leads out of the root")
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for folder in folders:
        above = at
        try:
            at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        finally:
            os.close(above)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
    return _regular(descriptor, str(Path(root, relative)))


def _regular(descriptor: int, path: str) -> int:
    refusal = _refusal(os.fstat(descriptor).st_mode)
    if refusal:
        os.close(descriptor)
        raise EndpointError(f"{path!r} {refusal}")
    return descriptor


def _refusal(mode: int) -> str:
    kind = stat.S_IFMT(mode)
    return "" if kind == stat.S_IFREG else f"is {_SPECIAL.get(kind, 'something else')}, not a regular file"


def _root_entry(settings: Settings) -> Entry:
    refusal = _refusal(Path(settings.path).stat().st_mode) or ("is a file, not a folder" if settings.is_folder else "")
    if refusal:
        raise EndpointError(f"{settings.typed!r} {refusal}")
    kind = settings.kind_of(Path(settings.typed).name)
    if not kind.format:
        raise UsageError(
            f"{settings.typed!r} does not tell its format",
            remedy=f"add --format, or use one of the extensions {', '.join(kinds.EXTENSIONS)}",
        )
    return Entry(paths.decode([kind.stem]), "", kind)


def _walk(root: str, listing: Listing) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every name under the root but folders, with its relative path; hidden ones and linked folders are left out."""
    folders = [""]
    while folders:
        above = folders.pop()
        with os.scandir(Path(root, above)) as names:
            found = sorted(names, key=lambda each: each.name)
        for entry in found:
            relative = f"{above}/{entry.name}" if above else entry.name
            if entry.name == OWN_FOLDER:
                continue
            if entry.name.startswith("."):
                listing.leave_out("hidden files are left out", relative)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(relative)
            elif entry.is_symlink() and entry.is_dir():
                listing.leave_out("folders that are symbolic links are left out", relative)
            else:
                yield relative, entry


def _add(settings: Settings, listing: Listing, relative: str, entry: os.DirEntry[str]) -> None:
    own = kinds.of_name(entry.name)
    kind = settings.kind_of(entry.name)
    if not kind.format:
        listing.leave_out("files of unknown extension are left out (--format reads them)", relative)
    elif settings.format and own.format not in ("", settings.format):
        listing.leave_out(f"files that are not {settings.format} are left out", relative)
    elif settings.compression and own.compression not in ("none", settings.compression):
        listing.leave_out(f"files that are not {settings.compression} are left out", relative)
    else:
        try:
            namespace = paths.decode([*relative.split("/")[:-1], kind.stem])
        except UsageError:
            listing.leave_out("files whose names are not Unicode text are left out", ascii(relative)[1:-1])
            return
        path, refusal = _linked(settings.path, relative) if entry.is_symlink() else (relative, "")
        refusal = refusal or _refusal(entry.stat().st_mode)
        listing.entries.append(Entry(namespace, path, kind, refusal))


def _linked(root: str, relative: str) -> tuple[str, str]:
    """Where a symbolic link leads, relative to the root, or why it is refused."""
    target = Path(root, relative).resolve()
    if not target.is_relative_to(root):
        return relative, "is a symbolic link that leads out of the folder"
    if not target.exists():
        return relative, "is a symbolic link that leads nowhere"
    return str(target.relative_to(root)), ""


def _leave_out_dump_files(listing: Listing) -> None:
    """mongodump writes descriptions beside the data, which are no namespaces."""
    dumped = {
        entry.path.removesuffix(".gz").removesuffix(".bson")
        for entry in listing.entries
        if entry.kind.format == kinds.BSON
    }
    if not dumped:
        return
    kept = []
    for entry in listing.entries:
        plain = entry.path.removesuffix(".gz")
        if plain.endswith(".metadata.json") and plain.removesuffix(".metadata.json") in dumped:
            listing.leave_out("mongodump's options and indexes are not carried", entry.path)
        elif Path(plain).name == "prelude.json":
            listing.leave_out("mongodump's description of its server is left out", entry.path)
        else:
            kept.append(entry)
    listing.entries = kept


def _shown(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(repr(name) for name in listed[:SHOWN]) + more
