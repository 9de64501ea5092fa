"""A sink that keeps nothing."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.null import SPEC
from connectors.null.lines import document_lines, update_lines
from dsync import wire
from dsync.connector import Connector
from dsync.errors import EndpointError, UnimplementedError, UsageError

TYPES = (wire.BSON, wire.EXTENDED_JSON, wire.JSON_ID)


class NullSink(Connector):
    """Takes everything of every type and keeps nothing: no namespace is ever there, and counts are unknown."""

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        defaults = {str(option.name): option.default for option in SPEC.sink_options}
        settings = {**defaults, **options}
        self._id = str(settings["id"])
        self._log_json = bool(settings["log_json"])
        self._sleep = _milliseconds("--sleep", settings["sleep"])
        self._jitter = _milliseconds("--sleep-jitter", settings["sleep_jitter"])
        # Batches are printed one after another, each as a whole.
        self._printing = asyncio.Lock()

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """Keyed, since nothing is ever there twice."""
        sink = wire.Capabilities.Sink(supported_data_types=TYPES, updates=True, keyed=True, lines=not self._log_json)
        return wire.GetInfoResponse(id=self._id, db_type="null", version="1", capabilities=wire.Capabilities(sink=sink))

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """Nothing is there, and nobody has counted."""
        return wire.GetNamespaceMetadataResponse(exists=False, count_unknown=True)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """Takes the documents, after the wait that was asked for."""
        _check_type(request.type)
        await self._wait()
        if self._log_json:
            await self._print(document_lines(request))
        return wire.WriteDataResponse()

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """Takes the updates, after the wait that was asked for."""
        _check_type(request.type)
        await self._wait()
        if self._log_json:
            await self._print(update_lines(request))
        return wire.WriteUpdatesResponse()

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """Has nothing to publish."""
        return wire.FinishNamespaceResponse()

    async def _wait(self) -> None:
        wait = self._sleep
        if self._jitter:
            wait += random.uniform(0, self._jitter)  # noqa: S311 - no secret hangs on a delay
        if wait:
            await asyncio.sleep(wait / 1000)

    async def _print(self, lines: Sequence[bytes]) -> None:
        async with self._printing:
            # A reader that is slow to take the lines must not hold up the event loop.
            await asyncio.to_thread(_write_out, b"".join(lines))


def _write_out(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise EndpointError(f"standard output cannot be written: {error.strerror}") from error


def _check_type(data_type: wire.Type) -> None:
    if data_type not in TYPES:
        raise UnimplementedError(f"null does not know data type {data_type}")


def _milliseconds(option: str, value: Any) -> float:
    try:
        milliseconds = float(value)
    except (TypeError, ValueError):
        milliseconds = -1.0
    if not 0 <= milliseconds < float("inf"):
        raise UsageError(f"{option}: {value!r} is no number of milliseconds")
    return milliseconds
