"""What stands for a message where both ends are in this process and nobody between them looks at documents.

A message copies each document into itself, and out again at each look: a third of the client's work from MongoDB to MongoDB.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class LocalPage(Struct, frozen=True):
    """A ListDataResponse to a request that allows `lines`."""

    data: Sequence[bytes]
    # What they take together, known to whoever has just made them.
    data_bytes: int
    next_cursor: bytes
    lines: bytes = b""
    lines_count: int = 0


class LocalBatch(Struct, frozen=True):
    """A WriteDataRequest to a sink that takes `lines`."""

    data: Sequence[bytes]
    namespace: str
    type: int
    write_id: str
    lines: bytes = b""
    lines_count: int = 0
