"""Whether a worker on another machine stands on the same ground: programs, files and addresses that mean the same there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from dsync.endpoint import Endpoint
from dsync.errors import EndpointError
from dsync.flow import budget

# Identities of stores that are files begin so, with an absolute path behind it.
FILES = ("file:", "testconn:")
# Hosts that mean each machine to itself; a path that is escaped in a host's place is a socket of the machine.
LOOPBACK = re.compile(r"(localhost|127(?:\.\d+){3}|0\.0\.0\.0|\[::1?\]|.*%2F.*?)(?::\d+)?", re.IGNORECASE)
# Files of a folder that are looked at.
MOST_ENTRIES = 1000
# Seconds that a file made elsewhere may take to be seen on a network file system.
SEEN_SECONDS = 5.0


class Facts(Struct, frozen=True):
    """What one machine and process say of themselves."""

    dsync: str
    python: str
    # Equal where a loopback address means the same.
    network: str
    name: str
    # The monotonic clock's reading, to count grants from.
    clock: float
    # Bytes that dsync takes of this machine where nothing else is said.
    memory: int
    # Of the source: path -> what is there.
    files: dict[str, str] = field(default_factory=dict)
    # Of the destination: those of the marks that are seen.
    marks: list[str] = field(default_factory=list)

    def to_json(self) -> bytes:
        """The facts as they travel."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Facts:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


async def look(request: dict[str, Any]) -> Facts:
    """The facts of this machine about the paths `files` and `marks` of the request."""
    end = time.monotonic() + SEEN_SECONDS
    while not all(map(os.path.exists, request["marks"])) and time.monotonic() < end:  # noqa: ASYNC110 - a file system tells nobody
        await asyncio.sleep(0.2)
    return Facts(
        dsync=version("dsync"),
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
        network=_network(),
        name=socket.gethostname(),
        clock=time.monotonic(),
        memory=budget.default_memory_limit(),
        files={path: _contents(Path(path)) for path in request["files"]},
        marks=[mark for mark in request["marks"] if Path(mark).exists()],
    )


def _network() -> str:
    """The boot of the machine and the network name space of the process; elsewhere than on Linux the host's name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/net').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _contents(path: Path) -> str:
    """What a file or the files of a folder look like, the same on every machine that sees the same; empty where there is none."""
    try:
        if not path.is_dir():
            return _look_of(path.stat())
        found = list(itertools.islice(_files(path), MOST_ENTRIES))
        text = "\n".join(f"{each.relative_to(path)} {_look_of(each.stat())}" for each in found)
    except OSError:
        return ""
    return "folder " + hashlib.blake2b(os.fsencode(text), digest_size=16).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """All below a folder, in an order that every machine has; hidden ones come and go while others look too."""
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(at, name) for name in sorted(files) if not name.startswith("."))


def _look_of(found: os.stat_result) -> str:
    return f"{found.st_size} bytes of {found.st_mtime_ns}"


class Ground(Struct, frozen=True):
    """What a run's ends need of a machine."""

    ends: tuple[Endpoint, ...]
    # Absolute; empty where the source is no file.
    source_path: str
    # Folders that are written to.
    written: tuple[str, ...]

    @classmethod
    def of(cls, ends: tuple[Endpoint, ...], source_id: str, destination_id: str, dead_letters: str) -> Ground:
        """From the ends, a transform among them, and the identities that source and destination say."""
        written = [found] if (found := _path(destination_id)) else []
        if dead_letters:
            written.append(str(Path(dead_letters).absolute()))
        return cls(ends, _path(source_id), tuple(dict.fromkeys(map(_nearest_folder, written))))

    @contextlib.contextmanager
    def asked(self) -> Iterator[dict[str, Any]]:
        """The request to look with: marks stand in the written folders as long as it lasts."""
        marks: list[Path] = []
        try:
            for folder in self.written:
                mark = Path(folder, f".dsync-seen-{uuid.uuid4().hex}")
                with contextlib.suppress(OSError):  # then the destination cannot be written to either, and will say so
                    mark.touch(0o600)
                    marks.append(mark)
            yield {"files": [self.source_path] if self.source_path else [], "marks": [str(mark) for mark in marks]}
        finally:
            for mark in marks:
                mark.unlink(missing_ok=True)

    def judge(self, mine: Facts, theirs: Facts, request: dict[str, Any], address: str) -> None:
        """Raises EndpointError that names the worker and what is not the same there."""
        worker = f"the Dask worker {address} on {theirs.name!r}"
        if theirs.dsync != mine.dsync:
            raise EndpointError(
                f"{worker} has dsync {theirs.dsync}, this is {mine.dsync}", remedy="install the same version on both"
            )
        if theirs.python != mine.python:
            raise EndpointError(
                f"{worker} runs Python {theirs.python}, this is {mine.python}", remedy="use the same Python on both"
            )
        for path, contents in mine.files.items():
            if theirs.files.get(path) != contents:
                what = "does not see" if not theirs.files.get(path) else "has something else under"
                raise EndpointError(f"{worker} {what} {path!r}", remedy=SHARED)
        for mark in request["marks"]:
            if mark not in theirs.marks:
                raise EndpointError(
                    f"{worker} does not see what is written to {str(Path(mark).parent)!r}", remedy=SHARED
                )
        if theirs.network != mine.network:
            self._refuse_loopback(worker)

    def _refuse_loopback(self, worker: str) -> None:
        for end in self.ends:
            host = loopback(end)
            if host:
                raise EndpointError(
                    f"{end.shown} is on this machine alone: {host!r} means another one to {worker}",
                    remedy="give an address that means the same on all machines",
                )


SHARED = "files need a file system that all machines share, under the same path; else copy with --engine local"


def loopback(end: Endpoint) -> str:
    """The first host in the end's URI or options that means a machine to itself; empty where there is none."""
    texts = [end.uri, *(value for value in end.options.values() if isinstance(value, str))]
    hosts = [host for text in texts for host in _hosts(text)]
    return next((match[1] for host in hosts if (match := LOOPBACK.fullmatch(host))), "")


def _hosts(text: str) -> list[str]:
    authority = re.split("[/?]", text.partition("://")[2], maxsplit=1)[0]
    return authority.rpartition("@")[2].split(",")


def _path(identity: str) -> str:
    for beginning in FILES:
        if identity.startswith(beginning):
            return identity.removeprefix(beginning)
    return ""


def _nearest_folder(path: str) -> str:
    """The folder that is there already, of those above the path or the path itself."""
    return next(str(each) for each in (Path(path), *Path(path).parents) if each.is_dir())
