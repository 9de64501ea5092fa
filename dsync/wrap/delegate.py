"""A connector around a connector: hands every call on. What a wrapper changes, it overrides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from dsync import wire
from dsync.connector import Connector

Request = TypeVar("Request")
Response = TypeVar("Response")


class Delegate(Connector):
    """Hands every call to `inner`, each single answer through `_call`."""

    def __init__(self, inner: Connector) -> None:
        self.inner = inner

    async def _call(self, method: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        return await method(request)

    async def open(self) -> None:
        """Opens the inner connector."""
        await self.inner.open()

    async def close(self) -> None:
        """Closes the inner connector."""
        await self.inner.close()

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """See Connector."""
        return await self._call(self.inner.GetInfo, request)

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """See Connector."""
        return await self._call(self.inner.GetNamespaceMetadata, request)

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """See Connector."""
        return await self._call(self.inner.GeneratePlan, request)

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """See Connector."""
        return await self._call(self.inner.ListData, request)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """See Connector."""
        return await self._call(self.inner.WriteData, request)

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """See Connector."""
        return await self._call(self.inner.WriteUpdates, request)

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """See Connector."""
        return await self._call(self.inner.FinishNamespace, request)

    async def prepare_finish(self, request: wire.FinishNamespaceRequest) -> None:
        """See Connector."""
        await self.inner.prepare_finish(request)

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """See Connector."""
        return await self._call(self.inner.GetByIds, request)

    def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """See Connector."""
        return self.inner.StreamUpdates(request)

    def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncIterator[wire.StreamLSNResponse]:
        """See Connector."""
        return self.inner.StreamLSN(request)

    async def ReadDefinitions(self, request: wire.ReadDefinitionsRequest) -> wire.ReadDefinitionsResponse:
        """See Connector."""
        return await self._call(self.inner.ReadDefinitions, request)

    async def WriteDefinition(self, request: wire.WriteDefinitionRequest) -> wire.WriteDefinitionResponse:
        """See Connector."""
        return await self._call(self.inner.WriteDefinition, request)
