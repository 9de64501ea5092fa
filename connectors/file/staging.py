"""Batches that wait to be published: one file each, `.dsync/FLOW/NAMESPACE/PARTITION-ORDINAL.part` beside the data."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from connectors.file import durable
from dsync.errors import DataError, UsageError

# File systems allow 255 bytes; the rest is for what is added to a name.
LONGEST_NAME_BYTES = 200
# What every staged file begins with: a magic number, how many documents follow, and in how many bytes.
_HEADER = struct.Struct("<8sQQ")
_MAGIC = b"dsyncpt1"

_UNSAFE_DOT = re.compile(r"[.~]")


class WriteId(Struct, frozen=True):
    """A batch's name within a flow."""

    flow: str
    partition: str
    ordinal: int


class Staged(Struct, frozen=True):
    """A staged batch: its `size` bytes start at `offset` in the file, which is another one once `version` is another."""

    path: Path
    documents: int
    offset: int
    size: int
    version: tuple[int, int] = (0, 0)


def parse_write_id(write_id: str, namespace: str) -> WriteId:
    """The parts of a write id. Raises UsageError for one that is not of this namespace."""
    flow, _, rest = write_id.partition("/")
    partition, _, rest = rest.partition("/")
    ordinal, _, named = rest.partition("/")
    if not flow or not partition or named != namespace or not re.fullmatch(r"[0-9]{1,18}", ordinal):
        raise UsageError(f"the write id {write_id!r} names no batch of {namespace!r}")
    return WriteId(flow, partition, int(ordinal))


def flat(name: str) -> str:
    """A name as one part of a path, one to one: other bytes than letters, digits, `-` and `_` are percent-encoded.

    A name that gets too long is told by its digest; `%%` begins no other.
    """
    encoded = name.encode("utf-8", "surrogateescape")
    safe = _UNSAFE_DOT.sub(lambda match: f"%{ord(match[0]):02X}", quote(encoded, safe=""))
    if len(safe) <= LONGEST_NAME_BYTES:
        return safe or "%"
    return f"%%{hashlib.sha256(encoded).hexdigest()}"


def part_name(partition: str, ordinal: int) -> str:
    """The file name of a batch."""
    return f"{flat(partition)}-{ordinal}.part"


def write_part(path: Path, payload: bytes, documents: int) -> None:
    """Stages a batch, durably, over what was staged under its name."""
    durable.write_file(path, [_HEADER.pack(_MAGIC, documents, len(payload)), payload])


def staged(path: Path) -> Staged:
    """A batch that was staged. Raises DataError where it is not what was written, FileNotFoundError where there is none."""
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        status = os.fstat(file.fileno())
        size = status.st_size - _HEADER.size
    if len(head) == _HEADER.size:
        magic, documents, expected = _HEADER.unpack(head)
        if magic == _MAGIC and expected == size:
            return Staged(path, documents, _HEADER.size, size, (status.st_ino, status.st_mtime_ns))
    raise DataError(f"the staged batch {str(path)!r} is damaged", remedy="copy everything again with --restart")


def total(parts: Sequence[Staged]) -> int:
    """The documents of all batches."""
    return sum(part.documents for part in parts)
