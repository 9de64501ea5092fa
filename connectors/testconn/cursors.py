"""Cursors: JSON lists of a kind and numbers, with a version; read as untrusted data."""

from __future__ import annotations

import json

from dsync.errors import CursorError

VERSION = 1
LONGEST_BYTES = 4096
GREATEST = 1 << 63


def write(kind: str, *numbers: int) -> bytes:
    """The cursor of a kind."""
    return json.dumps(["testconn", VERSION, kind, *numbers], separators=(",", ":")).encode()


def read(kind: str, cursor: bytes, count: int) -> list[int]:
    """The numbers of a cursor of this kind, none negative. Raises CursorError for everything else."""
    try:
        content = json.loads(cursor) if len(cursor) <= LONGEST_BYTES else None
    except (ValueError, RecursionError) as error:
        raise CursorError(f"not a {kind} cursor of testconn") from error
    match content:
        case ["testconn", int(version), str(found), *numbers] if found == kind and type(version) is int:
            if version != VERSION:
                raise CursorError(f"the cursor has version {version}, not {VERSION}", remedy="start again")
            if len(numbers) == count and all(type(item) is int and 0 <= item < GREATEST for item in numbers):
                return numbers
    raise CursorError(f"not a {kind} cursor of testconn")
