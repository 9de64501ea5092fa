"""The connector of `s3://`: objects of JSON, as source and as sink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.s3 import settings
from connectors.s3.bucket import Bucket
from connectors.s3.pages import Pages
from connectors.s3.sink import Sink
from connectors.s3.source import Source
from dsync import wire
from dsync.connector import Connector

# In the order of preference: text is what objects hold.
DATA_TYPES = (wire.EXTENDED_JSON, wire.BSON, wire.JSON_ID)


class S3Connector(Connector):
    """A bucket or a prefix in it: a folder of objects a namespace. Reads and writes any number of them at once."""

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._settings = settings.parse(uri, options)
        self._bucket = Bucket(self._settings)
        self._source = Source(self._bucket)
        self._pages = Pages(self._bucket)
        self._sink = Sink(self._bucket)

    async def open(self) -> None:
        """Signs in and lists one key. Raises EndpointError where the bucket cannot be used."""
        await self._bucket.open()

    async def close(self) -> None:
        """Waits for the requests that are under way."""
        self._pages.close()
        await self._bucket.close()

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """The store is named by endpoint, bucket and prefix."""
        source = wire.Capabilities.Source(
            supported_data_types=DATA_TYPES, multi_namespace_plan=True, default_plan=True, updates=False
        )
        sink = wire.Capabilities.Sink(
            supported_data_types=DATA_TYPES,
            preferred_batch_bytes=self._settings.max_file_bytes,
            updates=False,
            keyed=False,
        )
        capabilities = wire.Capabilities(source=source, sink=sink)
        return wire.GetInfoResponse(id=self._bucket.identity, db_type="s3", capabilities=capabilities)

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """By `.metadata.json`, where the objects are those that it counted; of others' objects no count is known."""
        return await self._source.metadata(request.namespace)

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Small objects together, large ones in ranges; raises NotFoundError for a name or a prefix without objects."""
        if request.updates:
            raise self._lacks("change stream")
        return await self._source.plan(request.namespaces) if request.initial_sync else wire.GeneratePlanResponse()

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page; raises CursorError where an object has changed since the plan, DataError with key and place."""
        return await self._pages.page(request)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """One object a batch, replacing what the same batch left; answers after S3 has checked and stored it."""
        await self._sink.write(request)
        return wire.WriteDataResponse()

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """Writes `.metadata.json` when all batches are there, and removes what earlier runs of the flow left besides."""
        await self._sink.finish(request)
        return wire.FinishNamespaceResponse()
