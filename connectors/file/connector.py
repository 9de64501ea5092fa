"""Files as a connector: the interface's methods, over the source and the sink."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from connectors.file import kinds
from connectors.file.destination import target_like
from connectors.file.failures import os_errors_mapped
from connectors.file.settings import Settings, parse
from connectors.file.sink import FileSink
from connectors.file.source import FileSource
from dsync import wire
from dsync.connector import Connector

# A batch is staged with one fsync, which costs 5 ms where these take 10 to write.
BATCH_BYTES = 4 << 20

_TEXT_FIRST = (wire.EXTENDED_JSON, wire.BSON, wire.JSON_ID)
_BSON_FIRST = (wire.BSON, wire.EXTENDED_JSON, wire.JSON_ID)


class FileConnector(Connector):
    """A file or a folder of files, to read from and to write to. Raises UsageError for a URI or options that cannot work."""

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._settings = parse(uri, options)
        self._source = FileSource(self._settings)
        self._sink = FileSink(self._settings)

    async def close(self) -> None:
        """Lets go of open files."""
        self._source.close()
        await self._sink.close()

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """Both directions; which data type is best, the format decides."""
        target = target_like(self._settings)
        in_bson = _data_format(self._settings) == kinds.BSON
        types = _BSON_FIRST if in_bson else _TEXT_FIRST
        # Text without an identity cannot become BSON here: the source has to make ids, as it knows the lines.
        sink_types = (wire.BSON, wire.JSON_ID) if in_bson else _TEXT_FIRST
        return wire.GetInfoResponse(
            id="file:" + os.fsencode(self._settings.path).decode(errors="backslashreplace"),
            db_type="file",
            version="1",
            capabilities=wire.Capabilities(
                source=wire.Capabilities.Source(
                    supported_data_types=types, multi_namespace_plan=True, default_plan=True, updates=False, lines=True
                ),
                sink=wire.Capabilities.Sink(
                    supported_data_types=sink_types,
                    preferred_batch_bytes=BATCH_BYTES,
                    updates=False,
                    keyed=False,
                    single_namespace=target is not None and target.single,
                    lines=target is not None and target.kind.format in (kinds.JSONL, kinds.JSON),
                    notes=["a file needs its size twice while it is put together"],
                ),
            ),
        )

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """Whether there is a file of the namespace, and whose it is; documents are known of what this connector wrote."""
        with os_errors_mapped(self._settings.typed):
            return await self._sink.metadata(request.namespace)

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Files, and the parts of large ones."""
        with os_errors_mapped(self._settings.typed):
            return await self._source.plan(request)

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page of a file."""
        with os_errors_mapped(self._settings.typed):
            return await self._source.page(request)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """Stages a batch, durably; one without a write id is published at once."""
        with os_errors_mapped(self._settings.typed):
            await self._sink.write(request)
        return wire.WriteDataResponse()

    async def prepare_finish(self, request: wire.FinishNamespaceRequest) -> None:
        """Puts the namespace's file together as far as it goes."""
        with os_errors_mapped(self._settings.typed):
            await self._sink.prepare_finish(request)

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """Puts the namespace's file in place."""
        with os_errors_mapped(self._settings.typed):
            return wire.FinishNamespaceResponse(warnings=await self._sink.finish(request))


def _data_format(settings: Settings) -> str:
    return settings.kind_of(settings.typed.rstrip("/").rpartition("/")[2]).format
