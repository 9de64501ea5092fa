"""Cuts one collection where another one is cut, so that both can be compared range by range."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from msgspec import structs

from connectors.mongo import namespaces
from connectors.mongo.cursors import PartitionCursor
from connectors.mongo.deployment import Deployment
from dsync import wire
from dsync.codec import raw
from dsync.errors import CursorError


async def cut_alike(
    deployment: Deployment, partitions: Sequence[wire.Partition], like: Sequence[wire.Partition]
) -> list[wire.Partition]:
    """See Connector.

    Empty unless both are whole collections, and the order of the bounds is known to be that of this collection's index.
    """
    try:
        ours, theirs = ([PartitionCursor.decode(part.cursor) for part in parts] for parts in (partitions, like))
    except CursorError:
        return []
    if not (is_whole(ours) and is_whole(theirs)):
        return []
    bounds = [cursor.lower for cursor in theirs[1:]]
    if not is_ascending(bounds) or (has_text(bounds) and await _is_collated(deployment, ours[0].namespace)):
        return []
    count = sum(part.estimated_count for part in partitions) // len(like)
    return [
        wire.Partition(namespace=ours[0].namespace, cursor=_cut(ours[0], cursor).encode(), estimated_count=count)
        for cursor in theirs
    ]


def _cut(ours: PartitionCursor, theirs: PartitionCursor) -> PartitionCursor:
    return structs.replace(
        ours,
        lower=theirs.lower,
        upper=theirs.upper,
        page_documents=theirs.page_documents,
        page_bytes=theirs.page_bytes,
        average_bytes=theirs.average_bytes,
    )


def is_whole(cursors: Sequence[PartitionCursor]) -> bool:
    """Whether these are all partitions of one collection, in order."""
    ends = [b"", *(cursor.upper for cursor in cursors)]
    starts = [*(cursor.lower for cursor in cursors), b""]
    return ends == starts and all(ends[1:-1]) and len({cursor.namespace for cursor in cursors}) == 1


def is_ascending(bounds: Sequence[bytes]) -> bool:
    """Whether these `{_id: x}` are surely in the order of an index without a collation, and all different."""
    places = [_place(*raw.id_of(bound)) for bound in bounds]
    return all(places) and all(one < next_ for one, next_ in pairwise(places))


def has_text(bounds: Sequence[bytes]) -> bool:
    """Whether a collation changes the order of these `{_id: x}`."""
    return any(raw.id_of(bound)[0] == raw.STRING for bound in bounds)


def _place(kind: int, value: bytes) -> tuple[Any, ...]:
    """Sorts as the server does, types first; empty for types of which the order is not this simple."""
    match kind:
        case raw.INT32 | raw.INT64:
            return 1, int.from_bytes(value, "little", signed=True)
        case raw.STRING:
            return 2, value[4:-1]
        case raw.BINARY:
            return 3, len(value), value[4:]
        case raw.OBJECT_ID:
            return 4, value
        case raw.DATE:
            return 5, int.from_bytes(value, "little", signed=True)
    return ()


async def _is_collated(deployment: Deployment, namespace: str) -> bool:
    database, _, name = namespace.partition(".")
    collection = await namespaces.find_collection(deployment, database, name)
    return collection is None or collection.options.get("collation", {}).get("locale", "simple") != "simple"
