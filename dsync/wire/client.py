"""Connectors and transforms in another process, on another machine, in another language, spoken to over gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from dsync import wire
from dsync.connector import Connector
from dsync.errors import DataError, DsyncError, TransientError, UnimplementedError
from dsync.transform import Transform
from dsync.wire.limits import MOST_BYTES, PREFERRED_BATCH_BYTES
from dsync.wire.lines import without_lines
from dsync.wire.peer import GrpcPeer
from dsync.wire.routing import header
from dsync.wire.services import CONNECTOR_SERVICE, TRANSFORM_SERVICE


class GrpcConnector(GrpcPeer, Connector):
    """A connector behind the channel.

    A peer that knows only the plain contract is asked for nothing else, and what it does not say of itself is found out.
    """

    service, greeting = CONNECTOR_SERVICE, "GetInfo"

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        super().__init__(uri, options)
        self._takes_updates: bool | None = None

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """See Connector; a peer that gives no id is known by its address."""
        info = await self._call("GetInfo", request, wire.GetInfoResponse)
        info.id = info.id or f"grpc://{self.address.target}"
        info.db_type = info.db_type or "grpc"
        without_lines(info)
        if info.capabilities.HasField("sink"):
            sink = info.capabilities.sink
            sink.preferred_batch_bytes = min(sink.preferred_batch_bytes, PREFERRED_BATCH_BYTES)
            if not sink.HasField("updates"):
                sink.updates = await self._find_updates(sink)
        return info

    async def _find_updates(self, sink: wire.Capabilities.Sink) -> bool:
        """Whether a sink that does not say so takes updates: an empty request changes nothing and tells."""
        if self._takes_updates is None:
            try:
                await self.WriteUpdates(wire.WriteUpdatesRequest(type=next(iter(sink.supported_data_types), wire.BSON)))
                self._takes_updates = True
            except UnimplementedError:
                self._takes_updates = False
            except TransientError:
                raise
            except DsyncError:
                self._takes_updates = True  # it looked at what we asked
        return self._takes_updates

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """See Connector."""
        return await self._call("GetNamespaceMetadata", request, wire.GetNamespaceMetadataResponse)

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """See Connector."""
        return await self._call("GeneratePlan", request, wire.GeneratePlanResponse)

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """See Connector; the partition's header goes along as metadata, for balancers."""
        routing = header(request.partition.partition_header, request.partition.partition_value)
        return await self._call("ListData", request, wire.ListDataResponse, metadata=routing)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """See Connector."""
        return await self._call("WriteData", request, wire.WriteDataResponse)

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """See Connector; more than a message holds goes in two, one after the other."""
        if len(request.updates) < 2 or request.ByteSize() <= MOST_BYTES:
            return await self._call("WriteUpdates", request, wire.WriteUpdatesResponse)
        set_aside, half = 0, len(request.updates) // 2
        for part in (request.updates[:half], request.updates[half:]):
            one = wire.WriteUpdatesRequest(namespace=request.namespace, updates=part, type=request.type)
            set_aside += (await self.WriteUpdates(one)).set_aside
        return wire.WriteUpdatesResponse(set_aside=set_aside)

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """See Connector; joining large files takes its time, so there is no deadline."""
        return await self._call("FinishNamespace", request, wire.FinishNamespaceResponse, deadline=False)

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """See Connector; what does not fit into one answer is asked for in two."""
        try:
            return await self._call("GetByIds", request, wire.GetByIdsResponse)
        except DataError:
            if len(request.ids) < 2:
                raise
        answer, half = wire.GetByIdsResponse(), len(request.ids) // 2
        for part in (request.ids[:half], request.ids[half:]):
            one = wire.GetByIdsRequest(namespace=request.namespace, ids=part, type=request.type)
            answer.data.extend((await self.GetByIds(one)).data)
        return answer

    async def ReadDefinitions(self, request: wire.ReadDefinitionsRequest) -> wire.ReadDefinitionsResponse:
        """See Connector."""
        return await self._call("ReadDefinitions", request, wire.ReadDefinitionsResponse)

    async def WriteDefinition(self, request: wire.WriteDefinitionRequest) -> wire.WriteDefinitionResponse:
        """See Connector; an index takes its time, so there is no deadline."""
        return await self._call("WriteDefinition", request, wire.WriteDefinitionResponse, deadline=False)

    def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """See Connector; the partition's header goes along as metadata."""
        routing = header(request.partition_header, request.partition_value)
        return self._messages("StreamUpdates", request, wire.StreamUpdatesResponse, routing)

    def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncIterator[wire.StreamLSNResponse]:
        """See Connector."""
        return self._messages("StreamLSN", request, wire.StreamLSNResponse, ())


class GrpcTransform(GrpcPeer, Transform):
    """A transform behind the channel."""

    service, greeting = TRANSFORM_SERVICE, "GetTransformInfo"

    async def GetTransformInfo(self, request: wire.GetTransformInfoRequest) -> wire.GetTransformInfoResponse:
        """See Transform."""
        return await self._call("GetTransformInfo", request, wire.GetTransformInfoResponse)

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        """See Transform."""
        return await self._call("GetTransform", request, wire.GetTransformResponse)
