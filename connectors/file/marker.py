"""What the sink remembers of a file it writes: whose it is, kept in `.dsync` beside the data.

A marker is written before the file is put in place, and names the file that is coming as well as the one that is there. So at
every moment, whichever of the two is found, it is known which flow published it.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from connectors.file import durable

VERSION = 1


class Published(Struct, frozen=True):
    """A file as it was put in place; `flow` is empty where it was written without one, `documents` -1 where they are not known."""

    flow: str
    parts: str
    documents: int
    size: int
    mtime_ns: int

    def is_file(self, status: os.stat_result | None) -> bool:
        """Whether this is that file, unchanged."""
        return status is not None and (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)


class Marker(Struct, frozen=True):
    """`identity` stays for as long as the marker does; `staging` is the flow that has begun to stage and not yet published."""

    namespace: str
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    staging: str = ""
    published: Published | None = None
    before: Published | None = None

    def current(self, status: os.stat_result | None) -> Published | None:
        """What was published as the file that is there now; None where somebody else wrote it."""
        for each in (self.published, self.before):
            if each is not None and each.is_file(status):
                return each
        return None

    def publishing(self, published: Published, status: os.stat_result | None) -> Marker:
        """The marker to write before this file takes the place of the one that is there."""
        return replace(self, staging="", published=published, before=self.current(status))


def read(path: Path) -> Marker | None:
    """The marker of a file; None where there is none, or none that can be read."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return _parsed(content)


def write(path: Path, marker: Marker, folder: Path) -> None:
    """Puts a marker in place, durably; what a kill leaves of it is in `folder`, which goes away when all is done."""
    durable.write_file(path, [_text(marker)], folder)


def create(path: Path, marker: Marker, folder: Path) -> Marker:
    """Puts a marker in place unless there is one already; the one that is there now."""
    while not durable.create_file(path, [_text(marker)], folder):
        if found := read(path):
            return found
        path.unlink(missing_ok=True)  # damaged: it says nothing to anyone
    return marker


def digest(parts: Iterable[tuple[str, int]]) -> str:
    """Tells whether two publications were made of the same batches."""
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()


def _text(marker: Marker) -> bytes:
    return json.dumps({"version": VERSION, **to_builtins(marker)}, indent=1).encode() + b"\n"


def _parsed(content: Any) -> Marker | None:
    match content:
        case {"version": 1, "namespace": str(namespace), "identity": str(identity), "staging": str(staging), **rest}:
            return Marker(
                namespace, identity, staging, _published(rest.get("published")), _published(rest.get("before"))
            )
    return None


def _published(content: Any) -> Published | None:
    match content:
        case {
            "flow": str(flow),
            "parts": str(parts),
            "documents": int(documents),
            "size": int(size),
            "mtime_ns": int(mtime_ns),
        }:
            return Published(flow, parts, documents, size, mtime_ns)
    return None
