"""Cursors hold all that is needed to go on, in another process, an hour later. They come back as untrusted data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from dsync.errors import CursorError

# Raise it when what a cursor holds changes, so that old ones are refused and not misread.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Part:
    """A partition: the keys of a namespace after one, up to another; None: no bound."""

    namespace: str
    after: bytes | None
    until: bytes | None
    # It stands in the cursor and not in the settings: a page must be the same after a restart with other options.
    page_documents: int


def write_part(part: Part) -> bytes:
    """The cursor of a partition."""
    return _written("part", part.namespace, _hex(part.after), _hex(part.until), part.page_documents)


def read_part(cursor: bytes, namespace: str) -> Part:
    """The partition of a cursor. Raises CursorError."""
    match _content(cursor, "part"):
        case [str(name), after, until, int(page_documents)] if name == namespace and page_documents > 0:
            return Part(name, _key(after), _key(until), page_documents)
    raise CursorError("this is no cursor of a partition in mystore", remedy="copy again with --restart")


def write_page(partition: bytes, after: bytes) -> bytes:
    """The cursor of the page after a key."""
    return _written("page", _digest(partition), after.hex())


def read_page(cursor: bytes, partition: bytes) -> bytes:
    """The key that a page begins after. Raises CursorError, also for a page of another partition."""
    match _content(cursor, "page"):
        case [str(digest), str(after)] if digest == _digest(partition):
            return _key(after) or b""
    raise CursorError("this is no cursor of a page of this partition", remedy="copy again with --restart")


def _written(kind: str, *fields: object) -> bytes:
    return json.dumps(["mystore", VERSION, kind, *fields]).encode()


def _content(cursor: bytes, kind: str) -> list[object]:
    try:
        content = json.loads(cursor)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or content[:3] != ["mystore", VERSION, kind]:
        raise CursorError(f"this is no cursor of a {kind} in mystore of version {VERSION}")
    return content[3:]


def _hex(key: bytes | None) -> str | None:
    return None if key is None else key.hex()


def _key(text: object) -> bytes | None:
    if text is None:
        return None
    try:
        return bytes.fromhex(str(text))
    except ValueError as error:
        raise CursorError("the cursor is damaged") from error


def _digest(partition: bytes) -> str:
    return hashlib.blake2b(partition, digest_size=8).hexdigest()
