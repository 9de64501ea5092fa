"""`.metadata.json`: what a flow published in a namespace's folder. Read as untrusted data; others' files mean nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from connectors.s3 import names
from connectors.s3.bucket import Entry

VERSION = 1


class Part(Struct, frozen=True):
    """A partition of the flow and the number of its batches, one object each."""

    partition: str
    count: int


class Marker(Struct, frozen=True):
    """`documents`, `objects` and `stored_bytes` are those of this flow's objects; `identity` lasts until the folder is emptied."""

    version: int
    namespace: str
    flow: str
    identity: str
    documents: int
    objects: int
    stored_bytes: int
    parts: Sequence[Part]

    def written(self) -> bytes:
        """As an object holds it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def read(content: bytes | None) -> Marker | None:
    """The marker that an object holds; None: there is none of ours."""
    if content is None:
        return None
    try:
        marker = msgspec.json.decode(content, type=Marker)
    except (msgspec.DecodeError, RecursionError):
        return None
    return marker if marker.version == VERSION else None


def follow(before: Marker | None, after: Marker) -> Marker:
    """The next marker of the same folder: it keeps the identity."""
    return replace(after, identity=before.identity if before else uuid.uuid4().hex)


def published(marker: Marker | None, entries: Iterable[Entry]) -> list[Entry]:
    """The objects that belong to a namespace: what the marker names, in its order, then what is nobody's batch.

    Batches that it does not name are of copies that have not ended. Without a marker nothing is known of them, and all
    objects belong.
    """
    if marker is None:
        return list(entries)
    flow = names.field(marker.flow)
    parts = {names.field(part.partition): (place, part.count) for place, part in enumerate(marker.parts)}
    ranked: list[tuple[tuple[int, int, str], Entry]] = []
    for entry in entries:
        batch = names.batch_of(entry.name)
        place, count = parts.get(batch[1], (0, 0)) if batch and batch[0] == flow else (0, 0)
        if batch is None:
            ranked.append(((len(parts), 0, entry.key), entry))
        elif batch[2] < count:
            ranked.append(((place, batch[2], entry.key), entry))
    return [entry for _, entry in sorted(ranked, key=lambda each: each[0])]
