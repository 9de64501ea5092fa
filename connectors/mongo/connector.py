"""The MongoDB connector: the interface's methods, each handed to the module that does it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

from bson.timestamp import Timestamp
from msgspec import structs

from connectors.mongo import address, alignment, definitions, lookup, namespaces, oplog, query
from connectors.mongo.applying import Applier
from connectors.mongo.definitions import Definer
from connectors.mongo.deployment import Deployment, Encoded, Timeouts
from connectors.mongo.namespaces import Collection, Selection
from connectors.mongo.planning import PlanRule, plan_collection
from connectors.mongo.positions import Position, moment, next_moment
from connectors.mongo.reading import Reader
from connectors.mongo.streaming import ChangeStream, StreamRule
from connectors.mongo.writing import Writer
from dsync import wire
from dsync.codec import raw
from dsync.codec.whole import kept, total_bytes
from dsync.connector import Connector
from dsync.errors import (
    CursorError,
    DataError,
    EndpointError,
    NotFoundError,
    TransientError,
    UnimplementedError,
    UsageError,
)
from dsync.wire.local import LocalPage

LOG = logging.getLogger(__name__)

BATCH_BYTES = 1 << 20
# An exact count reads the whole index; one that takes longer than this is reported as unknown.
COUNT_SECONDS = 600
NAMESPACE_EXISTS = 48
MAX_TIME_EXPIRED = 50


class MongoConnector(Connector):
    """Source and sink. Options are those of the SPEC, by their snake_case names."""

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._address = address.parse(address.with_password(uri, options.get("password") or ""))
        timeouts = Timeouts(
            server_seconds=options.get("server_timeout", 10.0),
            ping_seconds=options.get("ping_timeout", 5.0),
            operation_seconds=options.get("operation_timeout", 120.0),
        )
        self._filter = query.parse(options.get("initial_sync_query") or "")
        self._partition_documents = int(options.get("doc_partition", 50_000))
        self._page_documents = int(options.get("max_page_size", 4_000))
        self._ddl = options.get("ddl", "fail")
        self._per_namespace_streams = bool(options.get("per_namespace_streams", False))
        self._stream_rule = StreamRule(
            query=self._filter,
            wait_seconds=options.get("stream_wait", 1.0),
            full_key=bool(options.get("full_document_key", False)),
            ddl=self._ddl,
        )
        self._deployment = Deployment(self._address, timeouts)
        self._reader = Reader(self._deployment, self._filter, tolerate_drops=self._ddl != "fail")
        self._writer = Writer(
            self._deployment,
            batch_documents=int(options.get("writer_batch_size", 0)),
            keep_existing=bool(options.get("skip_batch_overwrite", False)),
        )

        self._applier = Applier(self._deployment, batch_documents=int(options.get("writer_batch_size", 0)))

    async def open(self) -> None:
        """Connects. Raises EndpointError; a filter that the server does not understand is a UsageError."""
        await self._deployment.open()
        if self._filter:
            await self._check_filter()

    async def close(self) -> None:
        """Closes open cursors and connections."""
        await self._reader.close()
        await self._deployment.close()

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """The identity is that of the URI: hosts, replica set and database, in any order, for every user.

        How far back changes are kept is the oplog's business, and known to users who may read it.
        """
        streams = self._deployment.has_streams
        source = wire.Capabilities.Source(
            supported_data_types=[wire.BSON],
            multi_namespace_plan=True,
            default_plan=True,
            get_by_ids=True,
            lsn_stream=streams,
            definitions=definitions.KIND,
            updates=streams,
            lines=True,
        )
        sink = wire.Capabilities.Sink(
            supported_data_types=[wire.BSON],
            preferred_batch_bytes=BATCH_BYTES,
            updates=True,
            keyed=True,
            lines=True,
            definitions=definitions.KIND,
        )
        now = await self._now() if streams else None
        kept = await oplog.kept(self._deployment, now) if now and request.history else None
        return wire.GetInfoResponse(
            id=self._address.identity,
            db_type="mongodb",
            version=".".join(map(str, self._deployment.version[:3])),
            capabilities=wire.Capabilities(source=source, sink=sink),
            now=moment(now) if now else None,
            history_start=moment(kept.start) if kept else None,
            history_seconds=kept.seconds if kept else 0.0,
        )

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """The exact count of what the filter lets through; the identity is the collection's UUID."""
        database, name = namespaces.split(request.namespace, self._address)
        collection = await namespaces.find_collection(self._deployment, database, name)
        if collection is None:
            return wire.GetNamespaceMetadataResponse(exists=False)
        count = await self._count(collection)
        return wire.GetNamespaceMetadataResponse(
            count=count or 0, exists=True, identity=collection.uuid.hex(), count_unknown=count is None
        )

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Partitions by ranges of `_id`; views, time series and what is not carried over are in the warnings.

        The position is taken first, and the partitions' reads include its time: no change falls between.
        """
        after = await self._now() if request.updates else None
        selection = Selection(tuple(request.namespaces), self._address.database)
        excluded = tuple(request.excluded)
        collections, warnings = await namespaces.select(self._deployment, selection, excluded, views=request.views)
        response = wire.GeneratePlanResponse(warnings=warnings)
        rule = PlanRule(self._partition_documents, self._page_documents, self._filter, after)
        for collection in collections if request.initial_sync else ():
            response.partitions.extend(await plan_collection(self._deployment, collection, rule))
            lost = await namespaces.not_carried(self._deployment, collection, definitions=request.definitions)
            response.warnings.extend([lost] if lost else [])
        if after is not None:
            response.updates_partitions.extend(self._update_partitions(selection, collections, excluded, after))
        return response

    def _update_partitions(
        self, selection: Selection, collections: Sequence[Collection], excluded: tuple[str, ...], after: Timestamp
    ) -> list[wire.UpdatesPartition]:
        """One for the deployment or for each database; on request one for each collection besides, those to come in the former."""
        digest = query.digest(self._filter)
        whole = Position(
            selection.names,
            selection.database,
            start=next_moment(after),
            query_digest=digest,
            excluded=excluded,
        )
        positions: list[Position] = []
        if self._per_namespace_streams:
            positions = [structs.replace(whole, namespace=each.namespace) for each in collections]
            whole = structs.replace(whole, apart=tuple(each.namespace for each in collections))
        parts = selection.by_database()
        positions += [structs.replace(whole, names=part.names, database=part.database) for part in parts]
        return [
            wire.UpdatesPartition(
                namespaces=[each.namespace] if each.namespace else each.names, cursor=each.encode(), time=moment(after)
            )
            for each in positions
        ]

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page of raw documents, in the order of `_id`."""
        _expect_bson(request.type)
        partition = request.partition
        documents, cursor = await self._reader.page(partition.namespace, partition.cursor, request.cursor)
        if request.lines:
            return cast("wire.ListDataResponse", LocalPage(documents, total_bytes(documents), cursor))
        return wire.ListDataResponse(data=documents, next_cursor=cursor)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """Inserts, replaces what exists; acknowledged by a majority and its journal."""
        _expect_bson(request.type)
        database, name = namespaces.split_for_writing(request.namespace, self._address)
        flow_and_partition = request.write_id.split("/", 2)[:2]
        partition = "/".join([*flow_and_partition, request.namespace])
        await self._writer.write(database, name, kept(request.data), partition)
        return wire.WriteDataResponse()

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """Applies updates, those of one id in order; acknowledged by a majority and its journal."""
        _expect_bson(request.type)
        database, name = namespaces.split_for_writing(request.namespace, self._address)
        await self._applier.apply(database, name, request.updates)
        return wire.WriteUpdatesResponse()

    async def StreamUpdates(
        self, request: wire.StreamUpdatesRequest
    ) -> AsyncGenerator[wire.StreamUpdatesResponse, None]:
        """Updates with whole documents; a position without updates whenever there was nothing for a while."""
        _expect_bson(request.type)
        position = await self._position(request.cursor, request.namespaces)
        async with contextlib.aclosing(
            ChangeStream(self._deployment, position, self._stream_rule).answers()
        ) as answers:
            async for answer in answers:
                yield answer

    async def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncGenerator[wire.StreamLSNResponse, None]:
        """The number of updates since the cursor."""
        position = await self._position(request.cursor, request.namespaces)
        async with contextlib.aclosing(ChangeStream(self._deployment, position, self._stream_rule).counts()) as counts:
            async for count in counts:
                yield count

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """Everything is published already; an empty collection is created, so that it comes over too."""
        if not sum(part.count for part in request.parts):
            database, name = namespaces.split_for_writing(request.namespace, self._address)
            if await namespaces.find_collection(self._deployment, database, name) is None:
                await self._create(database, name)
        return wire.FinishNamespaceResponse()

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """The documents of these ids that pass the filter, in the order asked."""
        _expect_bson(request.type)
        wanted = [_id_part(item.id) for item in request.ids]
        namespace = namespaces.split(request.namespace, self._address)
        found = await lookup.by_ids(self._deployment, namespace, wanted, self._filter)
        items = [wire.GetByIdsResponse.ResponseItem(data=document) for document in found]
        return wire.GetByIdsResponse(data=items)

    async def ReadDefinitions(self, request: wire.ReadDefinitionsRequest) -> wire.ReadDefinitionsResponse:
        """Options and indexes of collections, views."""
        selection = Selection(tuple(request.namespaces), self._address.database)
        return wire.ReadDefinitionsResponse(definitions=await definitions.read(self._deployment, selection, request))

    async def WriteDefinition(self, request: wire.WriteDefinitionRequest) -> wire.WriteDefinitionResponse:
        """Raises ConflictError for a unique index that the documents do not allow; all others are made."""
        database, name = namespaces.split_for_writing(request.definition.namespace, self._address)
        warnings = await Definer(self._deployment).write(database, name, request)
        return wire.WriteDefinitionResponse(warnings=warnings)

    async def cut_alike(
        self, partitions: Sequence[wire.Partition], like: Sequence[wire.Partition]
    ) -> list[wire.Partition]:
        """Ranges of `_id` as another collection has them."""
        return await alignment.cut_alike(self._deployment, partitions, like)

    async def _position(self, cursor: bytes, names: Sequence[str]) -> Position:
        """The position of a cursor; without one, the present."""
        digest = query.digest(self._filter)
        if not cursor:
            return Position(
                tuple(names), self._address.database, start=next_moment(await self._now()), query_digest=digest
            )
        position = Position.decode(cursor)
        if position.query_digest != digest:
            raise CursorError(
                "the position was taken with another --initial-sync-query", remedy="use the same one, or --restart"
            )
        return position

    async def _now(self) -> Timestamp:
        """The time of the deployment's last write."""
        reply = await self._deployment.run("admin", {"ping": 1}, "asking for the time")
        now = reply.get("operationTime")
        if not isinstance(now, Timestamp):
            raise UnimplementedError(
                "this MongoDB has no change streams", remedy="use --mode InitialSync, or make it a replica set"
            )
        return now

    async def _check_filter(self) -> None:
        """Lets the server parse the filter: it does so for a collection that is not there, too."""
        command = {"find": "dsync.filter.check", "filter": Encoded(self._filter), "limit": 1}
        try:
            await self._deployment.run(
                self._address.database or "dsync", command, "checking --initial-sync-query", read=True
            )
        except DataError as error:
            raise UsageError(error.message, remedy=query.EXAMPLE) from None
        except (EndpointError, TransientError) as error:
            # Without the right to read there, the copy itself will tell.
            LOG.debug("%s", error)

    async def _count(self, collection: Collection) -> int | None:
        """None where counting takes too long."""
        command: dict[str, Any] = {
            "aggregate": collection.name,
            "pipeline": [{"$match": Encoded(self._filter) if self._filter else {}}, {"$count": "n"}],
            "cursor": {},
            "maxTimeMS": COUNT_SECONDS * 1000,
            "readConcern": {"level": "majority"},
        }
        if collection.kind == "collection":
            command["hint"] = {"_id": 1}
        doing = f"counting {collection.namespace!r}"
        seconds = COUNT_SECONDS + self._deployment.timeouts.operation_seconds
        reply = await self._deployment.run(
            collection.database, command, doing, seconds=seconds, read=True, allow=[MAX_TIME_EXPIRED]
        )
        if reply.get("code") == MAX_TIME_EXPIRED:
            return None
        batch = reply["cursor"]["firstBatch"]
        return int(batch[0]["n"]) if batch else 0

    async def _create(self, database: str, name: str) -> None:
        command = {"create": name, "writeConcern": self._deployment.write_concern}
        await self._deployment.run(database, command, f"creating '{database}.{name}'", allow=[NAMESPACE_EXISTS])


def _expect_bson(data_type: wire.DataType.ValueType) -> None:
    if data_type != wire.BSON:
        name = wire.DataType.Name(data_type) if data_type in wire.DataType.values() else f"type {data_type}"
        raise UsageError(f"MongoDB speaks BSON, not {name}")


def _id_part(parts: Any) -> tuple[int, bytes]:
    """The `_id` among the parts of a key. It becomes a part of a command, so DataError is raised for what is no value."""
    for part in parts:
        if part.name in {"", "_id"}:
            if not 0 < part.type < 256:
                raise DataError(f"an id has the type {part.type}, which BSON does not have")
            raw.check(raw.value_document(part.type, part.data, b"_id"), strict=False)
            return part.type, part.data
    raise NotFoundError("an id without an _id cannot be looked up")
