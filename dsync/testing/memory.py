"""A connector to a store in memory: a whole source and sink, with partitions, a change stream, keys or staged batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from dsync import codec, wire
from dsync.codec import raw
from dsync.connector import Connector
from dsync.errors import CursorError, GapError, NotFoundError, UnimplementedError, UsageError
from dsync.testing.store import Change, Collection, MemoryStore, update_key

VERSION = 1
ALL_TYPES = (wire.BSON, wire.EXTENDED_JSON, wire.JSON_ID)
PAGE_BYTES = 16 << 20
# An idle stream says that it is alive this often.
IDLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Shape:
    """What the connector offers; narrower shapes stand for lesser stores."""

    types: Sequence[wire.Type] = (wire.BSON,)
    partitions: int = 2
    page_documents: int = 100
    source: bool = True
    sink: bool = True
    # Source: has a change stream. Sink: takes updates; a sink that is not keyed takes none.
    updates: bool = True
    # Not keyed: batches are staged by their write_id, and FinishNamespace publishes them.
    keyed: bool = True
    preferred_batch_bytes: int = 0


class MemoryConnector(Connector):
    """Reads and writes a MemoryStore; many may share one, and what one wrote the next one reads."""

    def __init__(self, store: MemoryStore, shape: Shape = Shape()) -> None:
        self.store = store
        self.shape = shape

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """The store's name is its id."""
        shape, capabilities = self.shape, wire.Capabilities()
        if shape.source:
            capabilities.source.CopyFrom(
                wire.Capabilities.Source(
                    supported_data_types=shape.types,
                    lsn_stream=shape.updates,
                    multi_namespace_plan=True,
                    default_plan=True,
                    get_by_ids=shape.keyed,
                    updates=shape.updates,
                )
            )
        if shape.sink:
            capabilities.sink.CopyFrom(
                wire.Capabilities.Sink(
                    supported_data_types=shape.types,
                    preferred_batch_bytes=shape.preferred_batch_bytes,
                    updates=shape.updates and shape.keyed,
                    keyed=shape.keyed,
                )
            )
        return wire.GetInfoResponse(
            id=f"memory-{self.store.name}", db_type="memory", version="1", capabilities=capabilities
        )

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """Exact, always."""
        collection = self.store.namespaces.get(request.namespace)
        if collection is None:
            return wire.GetNamespaceMetadataResponse(exists=False)
        return wire.GetNamespaceMetadataResponse(
            count=len(collection.documents), exists=True, identity=collection.identity, flow=collection.flow
        )

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Ranges of keys of about equal size; one change stream for all that was asked for."""
        self._need(self.shape.source, "GeneratePlan")
        selected = self._selected(request.namespaces)
        plan = wire.GeneratePlanResponse()
        if request.updates:
            self._need(self.shape.updates, "StreamUpdates")
            plan.updates_partitions.add(namespaces=request.namespaces, cursor=self._position(len(self.store.log)))
        if request.initial_sync:
            plan.partitions.extend(part for name in selected for part in self._partitions(name))
        return plan

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page in the order of the keys; documents that are written behind it are not seen any more."""
        self._need(self.shape.source, "ListData")
        self._check_type(request.type)
        part = self._read("partition", request.partition.cursor)
        if part.get("namespace") != request.partition.namespace:
            raise CursorError(f"the cursor is not of namespace {request.partition.namespace!r}")
        after, until = _key(part, "after"), _key(part, "until")
        if request.cursor:
            page = self._read("page", request.cursor)
            if page.get("of") != _digest(request.partition.cursor):
                raise CursorError("the cursor belongs to another partition")
            after = _key(page, "after")
        collection = self.store.namespaces.get(request.partition.namespace, Collection())
        keys = collection.keys(after, until)
        documents = _page([collection.documents[key] for key in keys[: _size(part)]])
        following = b""
        if len(documents) < len(keys) or len(documents) == _size(part):
            keys = keys[: len(documents)]
            following = self._write("page", of=_digest(request.partition.cursor), after=keys[-1].hex())
        return wire.ListDataResponse(data=codec.convert(documents, wire.BSON, request.type), next_cursor=following)

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """Current documents."""
        self._need(self.shape.source and self.shape.keyed, "GetByIds")
        self._check_type(request.type)
        documents = self.store.namespaces.get(request.namespace, Collection()).documents
        found = [documents.get(update_key(wire.Update(id=asked.id)), b"") for asked in request.ids]
        texts = iter(codec.convert([data for data in found if data], wire.BSON, request.type))
        items = [wire.GetByIdsResponse.ResponseItem(data=next(texts) if data else b"") for data in found]
        return wire.GetByIdsResponse(data=items)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """Keyed: put at once. Otherwise staged under the write_id, or added at once where there is none."""
        self._need(self.shape.sink, "WriteData")
        self._check_type(request.type)
        place = request.write_id or request.namespace
        documents = codec.convert(request.data, request.type, wire.BSON, lambda index: f"{place}:{index}")
        for document in documents:
            raw.check(document)
        if self.shape.keyed:
            for document in documents:
                self.store.put(request.namespace, document)
        elif request.write_id:
            if _namespace(request.write_id) != request.namespace:
                raise UsageError(f"write_id {request.write_id!r} is not of namespace {request.namespace!r}")
            self.store.staged[request.write_id] = documents
        else:
            self.store.collection(request.namespace).append(documents)
        return wire.WriteDataResponse()

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """Applied one after another; partial updates of what is not there do nothing."""
        self._need(self.shape.sink and self.shape.updates and self.shape.keyed, "WriteUpdates")
        self._check_type(request.type)
        for update in request.updates:
            copied = wire.Update()
            copied.CopyFrom(update)
            if update.data:
                [copied.data] = codec.convert([update.data], request.type, wire.BSON)
            self.store.apply(request.namespace, copied)
        return wire.WriteUpdatesResponse()

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """Publishes staged batches in the order of the parts; a keyed store only notes the flow."""
        self._need(self.shape.sink, "FinishNamespace")
        if self.shape.keyed:
            self.store.collection(request.namespace).flow = request.flow
            return wire.FinishNamespaceResponse()
        begin, end = f"{request.flow}/", f"/{request.namespace}"
        staged = [
            name for name in self.store.staged if name.startswith(begin) and _namespace(name) == request.namespace
        ]
        wanted = [f"{begin}{part.partition}/{at}{end}" for part in request.parts for at in range(part.count)]
        there = self.store.namespaces.get(request.namespace)
        if there and not staged and (there.flow, there.batches) == (request.flow, wanted):
            return wire.FinishNamespaceResponse()
        for name in wanted:
            if name not in self.store.staged:
                raise NotFoundError(f"batch {name!r} was not written", remedy="write it, then finish again")
        published = Collection(flow=request.flow, batches=wanted)
        published.append(document for name in wanted for document in self.store.staged[name])
        self.store.namespaces[request.namespace] = published
        for name in staged:
            del self.store.staged[name]
        return wire.FinishNamespaceResponse()

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """One change a message; positions alone while nothing happens."""
        self._need(self.shape.source and self.shape.updates, "StreamUpdates")
        self._check_type(request.type)
        at = self._log_index(request.cursor)
        while True:
            self._refuse_lost(at)
            while at < len(self.store.log):
                change = self.store.log[at]
                at += 1
                if _covers(request.namespaces, change.namespace):
                    yield self._response(change, at, request.type)
            await self.store.wait_for_change(IDLE_SECONDS)
            yield wire.StreamUpdatesResponse(next_cursor=self._position(at))

    async def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncIterator[wire.StreamLSNResponse]:
        """Counts the log's entries."""
        self._need(self.shape.source and self.shape.updates, "StreamLSN")
        start = self._log_index(request.cursor)
        self._refuse_lost(start)
        while True:
            at = len(self.store.log)
            found = sum(_covers(request.namespaces, change.namespace) for change in self.store.log[start:at])
            yield wire.StreamLSNResponse(lsn=found, next_cursor=self._position(at))
            await self.store.wait_for_change(IDLE_SECONDS)

    def _need(self, offered: bool, method: str) -> None:
        if not offered:
            raise self._lacks(method)

    def _check_type(self, data_type: wire.Type) -> None:
        if data_type not in self.shape.types:
            raise UnimplementedError(f"this store does not know data type {data_type}")

    def _selected(self, wanted: Sequence[str]) -> list[str]:
        for name in wanted:
            if not any(_covers([name], known) for known in self.store.namespaces):
                raise NotFoundError(f"there is no namespace {name!r}", remedy="name one that is there")
        return [name for name in self.store.namespaces if _covers(wanted, name)]

    def _partitions(self, namespace: str) -> list[wire.Partition]:
        """Half-open ranges; the last has no end, so that what comes meanwhile is in one of them."""
        keys = self.store.namespaces[namespace].keys(None, None)
        count = max(1, min(self.shape.partitions, len(keys)))
        cuts = [len(keys) * index // count for index in range(1, count)]
        bounds: list[bytes | None] = [None, *(keys[cut - 1] for cut in cuts), None]
        sizes = [end - start for start, end in pairwise([0, *cuts, len(keys)])]
        return [
            wire.Partition(
                namespace=namespace,
                cursor=self._write(
                    "partition",
                    namespace=namespace,
                    after=_hex(after),
                    until=_hex(until),
                    documents=self.shape.page_documents,
                ),
                estimated_count=size,
            )
            for (after, until), size in zip(pairwise(bounds), sizes, strict=True)
        ]

    def _response(self, change: Change, after: int, data_type: wire.Type) -> wire.StreamUpdatesResponse:
        update = wire.Update()
        update.CopyFrom(change.update)
        if update.data:
            [update.data] = codec.convert([update.data], wire.BSON, data_type)
        return wire.StreamUpdatesResponse(
            updates=[update], namespace=change.namespace, next_cursor=self._position(after), time=change.time
        )

    def _position(self, at: int) -> bytes:
        return self._write("stream", at=at)

    def _log_index(self, cursor: bytes) -> int:
        if not cursor:
            return len(self.store.log)
        at = self._read("stream", cursor).get("at")
        if type(at) is not int or not 0 <= at <= len(self.store.log):
            raise CursorError("the cursor is of no place in the log")
        return at

    def _refuse_lost(self, at: int) -> None:
        if at < self.store.log_start:
            raise GapError("the position is no longer in the log", remedy="copy again")

    def _write(self, kind: str, **fields: Any) -> bytes:
        return json.dumps({"memory": VERSION, "store": self.store.name, "kind": kind, **fields}).encode()

    def _read(self, kind: str, cursor: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(cursor)
        except (ValueError, RecursionError) as error:
            raise CursorError(f"not a {kind} cursor of a memory store") from error
        if not isinstance(fields, dict) or fields.get("memory") != VERSION or fields.get("kind") != kind:
            raise CursorError(f"not a {kind} cursor of a memory store of version {VERSION}")
        if fields.get("store") != self.store.name:
            raise CursorError(f"the {kind} cursor belongs to another store")
        return fields


def _page(documents: list[bytes]) -> list[bytes]:
    """As many of them as a page may have, one at least."""
    sizes = accumulate(map(len, documents))
    return documents[: max(1, sum(1 for size in sizes if size <= PAGE_BYTES))]


def _covers(wanted: Iterable[str], namespace: str) -> bool:
    names = list(wanted)
    return not names or any(namespace == name or namespace.startswith(f"{name}.") for name in names)


def _namespace(write_id: str) -> str:
    """The namespace of `flow/partition/ordinal/namespace`. Raises UsageError."""
    parts = write_id.split("/", 3)
    if len(parts) < 4 or not parts[2].isdigit():
        raise UsageError(f"write_id {write_id!r} is not flow/partition/ordinal/namespace")
    return parts[3]


def _digest(cursor: bytes) -> str:
    return hashlib.blake2b(cursor, digest_size=8).hexdigest()


def _hex(key: bytes | None) -> str | None:
    return None if key is None else key.hex()


def _key(fields: Mapping[str, Any], name: str) -> bytes | None:
    try:
        value = fields[name]
        return None if value is None else bytes.fromhex(value)
    except (KeyError, TypeError, ValueError) as error:
        raise CursorError("the cursor is damaged") from error


def _size(fields: Mapping[str, Any]) -> int:
    documents = fields.get("documents")
    if type(documents) is not int or documents < 1:
        raise CursorError("the cursor is damaged")
    return documents
