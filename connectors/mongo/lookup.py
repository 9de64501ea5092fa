"""Documents by `_id`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.timestamp import Timestamp

from connectors.mongo.deployment import Deployment, Encoded
from dsync.codec import raw

IDS_PER_COMMAND = 1000
ID_BYTES_PER_COMMAND = 4 << 20

Id = tuple[int, bytes]


async def by_ids(
    deployment: Deployment,
    namespace: tuple[str, str],
    wanted: Sequence[Id],
    filter_: bytes = b"",
    *,
    only_id: bool = False,
    after: Timestamp | None = None,
) -> list[bytes]:
    """The documents with these ids that pass the filter, in the order asked; empty bytes where there is none.

    `after`: a time that the answer has to include.
    """
    found: dict[Any, bytes] = {}
    for chunk in _chunks([each for each in wanted if _can_be(*each)]):
        command = _find(namespace[1], chunk, filter_, only_id)
        if after is not None:
            command["readConcern"]["afterClusterTime"] = after
        doing = f"reading {'.'.join(namespace)!r} by _id"
        async for documents in deployment.documents(namespace[0], command, doing):
            found |= {raw.id_key(*raw.id_of(document)): document for document in documents}
    return [found.get(raw.id_key(*each), b"") for each in wanted]


def _can_be(kind: int, value: bytes) -> bool:
    """Whether a document can have this `_id`; those that none can have would be read as patterns and operators."""
    if kind in {raw.REGEX, raw.ARRAY, raw.UNDEFINED}:
        return False
    return kind != raw.DOCUMENT or value[5:6] != b"$"


def _chunks(wanted: Sequence[Id]) -> list[list[Id]]:
    chunks: list[list[Id]] = []
    size = ID_BYTES_PER_COMMAND
    for each in wanted:
        if size >= ID_BYTES_PER_COMMAND or len(chunks[-1]) == IDS_PER_COMMAND:
            chunks.append([])
            size = 0
        chunks[-1].append(each)
        size += len(each[1])
    return chunks


def _find(collection: str, wanted: Sequence[Id], filter_: bytes, only_id: bool) -> dict[str, Any]:
    choice = Encoded(raw.value_document(raw.ARRAY, _array(wanted), b"$in"))
    by_id: dict[str, Any] = {"_id": choice}
    command: dict[str, Any] = {
        "find": collection,
        "filter": {"$and": [by_id, Encoded(filter_)]} if filter_ else by_id,
        "readConcern": {"level": "majority"},
    }
    if only_id:
        command["projection"] = {"_id": 1}
    return command


def _array(values: Sequence[Id]) -> bytes:
    body = b"".join(b"%c%d\0%b" % (kind, index, value) for index, (kind, value) in enumerate(values))
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"
