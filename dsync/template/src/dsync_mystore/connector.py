"""The connector: the methods of `adiom.v1.ConnectorService`, by the same names. A method that is not here is UNIMPLEMENTED."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from dsync import Connector, wire
from dsync.codec import raw
from dsync.errors import DataError, GapError, NotFoundError, UnimplementedError, UsageError

from . import cursors
from .cursors import Part
from .store import Change, Store

# A page ends when it has so much, however many documents it may have: messages are bounded.
PAGE_BYTES = 1 << 20
# Documents of a partition, about: partitions are read side by side.
PARTITION_DOCUMENTS = 50_000
# The batch that this store likes.
BATCH_BYTES = 1 << 20

PAGE = "SELECT id, document FROM documents WHERE namespace = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"
# Greater than every key: keys begin with a BSON type, and there is no type of this number.
GREATEST = b"\xff\xff"
CUTS = """
SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM documents WHERE namespace = ?)
WHERE number % ? = 0
"""


class MystoreConnector(Connector):
    """Keyed: writes overwrite by id. Options come checked and completed; what they mean together is checked here."""

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        path = uri.partition("://")[2]
        if not path:
            raise UsageError(f"{uri!r} names no file", remedy="write mystore://PATH")
        self._store = Store(Path(path).absolute(), options.get("busy_timeout", 30.0))
        self._page_documents: int = options.get("page_documents", 1000)

    async def open(self) -> None:
        """See Connector."""
        await asyncio.to_thread(self._store.open)

    async def close(self) -> None:
        """See Connector."""
        await asyncio.to_thread(self._store.close)

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """What the store is and can do. The id is part of what a flow is known by: no credentials, and stable."""
        capabilities = wire.Capabilities(
            source=wire.Capabilities.Source(
                supported_data_types=[wire.BSON],
                multi_namespace_plan=True,
                default_plan=True,
                updates=False,
            ),
            sink=wire.Capabilities.Sink(
                supported_data_types=[wire.BSON],
                preferred_batch_bytes=BATCH_BYTES,
                updates=True,
                keyed=True,
            ),
        )
        return wire.GetInfoResponse(
            id=f"mystore:{self._store.path}", db_type="mystore", version="1", capabilities=capabilities
        )

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """Exact, always."""
        return await asyncio.to_thread(self._metadata, request.namespace)

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Ranges of keys. The last of a namespace has no end, so that what is written meanwhile is in one of them."""
        if request.updates:
            raise self._lacks("StreamUpdates")
        return await asyncio.to_thread(self._plan, request.namespaces)

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page in the order of the keys: the same cursor gives the same page, in any process."""
        _check_type(request.type)
        part = cursors.read_part(request.partition.cursor, request.partition.namespace)
        after = cursors.read_page(request.cursor, request.partition.cursor) if request.cursor else part.after or b""
        values = part.namespace, after, part.until or GREATEST, part.page_documents
        rows, complete = await asyncio.to_thread(self._store.page, PAGE, values, PAGE_BYTES)
        response = wire.ListDataResponse(data=[document for _, document in rows])
        if not complete or len(rows) == part.page_documents:
            response.next_cursor = cursors.write_page(request.partition.cursor, rows[-1][0])
        return response

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """Overwrites by id; when it answers, the documents are durable."""
        _check_type(request.type)
        await asyncio.to_thread(self._store.write, request.namespace, [_put(document) for document in request.data])
        return wire.WriteDataResponse()

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """Applies updates in their order, all or none; a repeated call changes nothing."""
        _check_type(request.type)
        await asyncio.to_thread(self._store.write, request.namespace, [_change(update) for update in request.updates])
        return wire.WriteUpdatesResponse()

    def _metadata(self, namespace: str) -> wire.GetNamespaceMetadataResponse:
        found = self._store.read("SELECT identity FROM namespaces WHERE name = ?", namespace)
        if not found:
            return wire.GetNamespaceMetadataResponse(exists=False)
        [[count]] = self._store.read("SELECT count(*) FROM documents WHERE namespace = ?", namespace)
        return wire.GetNamespaceMetadataResponse(count=count, exists=True, identity=found[0][0])

    def _plan(self, wanted: Sequence[str]) -> wire.GeneratePlanResponse:
        if not self._store.path.exists():
            raise NotFoundError(f"there is no file {str(self._store.path)!r}", remedy="give the path of one")
        names = [name for [name] in self._store.read("SELECT name FROM namespaces ORDER BY name")]
        for name in wanted:
            if not _selected(names, [name]):
                raise NotFoundError(f"there is no namespace {name!r}", remedy=f"{str(self._store.path)!r} has others")
        chosen = _selected(names, wanted) if wanted else names
        return wire.GeneratePlanResponse(partitions=[part for name in chosen for part in self._partitions(name)])

    def _partitions(self, namespace: str) -> Iterator[wire.Partition]:
        cuts = [key for [key] in self._store.read(CUTS, namespace, PARTITION_DOCUMENTS)]
        for after, until in pairwise([None, *cuts, None]):
            part = Part(namespace, after, until, self._page_documents)
            yield wire.Partition(
                namespace=namespace, cursor=cursors.write_part(part), estimated_count=PARTITION_DOCUMENTS if cuts else 0
            )


def _check_type(data_type: wire.Type) -> None:
    """dsync converts from and to the types that GetInfo names; others do not come from it."""
    if data_type != wire.BSON:
        raise UnimplementedError(f"mystore has no data type {data_type}", remedy="ask for BSON")


def _selected(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """A name selects itself and all names below it."""
    return [name for name in names if any(name == each or name.startswith(f"{each}.") for each in wanted)]


def _put(document: bytes) -> Change:
    """Raises DataError for what is no document; the message never quotes it."""
    raw.check(document)
    kind, value = raw.id_of(document)
    return bytes([kind]) + value, document


def _change(update: wire.Update) -> Change:
    """Raises DataError for a malformed update, GapError for one of a kind that is not known."""
    if update.type == wire.PARTIAL_UPDATE:
        raise UnimplementedError("mystore takes whole documents alone", remedy="have the source send them")
    if update.type not in (wire.INSERT, wire.UPDATE, wire.DELETE):
        raise GapError(f"an update of type {update.type} is not understood", remedy="update dsync-mystore")
    key = _key(update.id)
    return (key, None) if update.type == wire.DELETE else _put(update.data)


def _key(identity: Sequence[wire.BsonValue]) -> bytes:
    """What a document is kept under: equal for ids of one type and value. Raises DataError for what is no id."""
    if len(identity) != 1 or identity[0].name not in ("", "_id") or not 0 < identity[0].type < 256:
        raise DataError("an id is not a single _id")
    raw.check(raw.value_document(identity[0].type, identity[0].data, b"_id"))
    return bytes([identity[0].type]) + identity[0].data
