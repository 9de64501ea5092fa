"""Ids for BSON documents of files that have none."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from dsync.codec import raw

_AT_FRONT = b"_id\0"


def with_ids(documents: Sequence[bytes], make_id: Callable[[int], str]) -> list[bytes]:
    """The documents, those without `_id` with a made one in front; `make_id` takes the index."""
    return [
        document if document[5:9] == _AT_FRONT or _has_id(document) else _with_id(document, make_id(index))
        for index, document in enumerate(documents)
    ]


def _has_id(document: bytes) -> bool:
    return any(key == b"_id" for _, key, _, _ in raw.elements(document))


def _with_id(document: bytes, made: str) -> bytes:
    value = made.encode()
    element = b"\x02_id\0%b%b\0" % (struct.pack("<i", len(value) + 1), value)
    return struct.pack("<i", len(document) + len(element)) + element + document[4:]
