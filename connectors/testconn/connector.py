"""The connector of testconn folders."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import structs

from connectors.testconn import SPEC, changes, cursors, pages
from connectors.testconn.folder import Batch, Folder
from connectors.testconn.pages import Extent
from dsync import codec, wire
from dsync.codec import jsontext
from dsync.connector import Connector
from dsync.errors import CursorError, DataError, EndpointError, NotFoundError, UnimplementedError, UsageError

Request = TypeVar("Request")

TYPES = (wire.EXTENDED_JSON, wire.BSON, wire.JSON_ID)
DEFAULT_NAMESPACE = "testconn.docs"
# How often a file that has been read to its end is looked at again.
POLL_SECONDS = 0.2


class TestconnConnector(Connector):
    """Source: the documents of bootstrap.json, then the lines of updates.json, from the first one on, and what is added to it.

    Sink: the same two files, not keyed. Batches with a write_id wait for FinishNamespace, others are added at once; updates are
    added in the order in which they come, at least once.
    """

    # Not a test, whatever the name says to pytest.
    __test__ = False

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        path = uri.removeprefix("testconn://")
        if not path:
            raise UsageError(f"{uri!r} names no folder", remedy="write testconn://folder")
        self._folder = Folder(Path(path))
        self._name: str = options.get("namespace_name") or ""
        self._page_bytes = int(options.get("page_bytes", SPEC.source_options[0].default))
        if self._page_bytes < 1:
            raise UsageError("--page-bytes is less than 1")
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Any folder will do, also one that is not there yet."""
        if self._folder.path.exists() and not self._folder.path.is_dir():
            raise EndpointError(
                f"{str(self._folder.path)!r} is not a folder", remedy="name the folder of bootstrap.json"
            )

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """The folder's path is the store's id; there is a change stream if there is an updates.json."""
        capabilities = wire.Capabilities(
            source=wire.Capabilities.Source(
                supported_data_types=TYPES, default_plan=True, updates=self._folder.updates.exists()
            ),
            sink=wire.Capabilities.Sink(supported_data_types=TYPES, updates=True, keyed=False),
        )
        return wire.GetInfoResponse(
            id=f"testconn:{self._folder.path.resolve()}", db_type="testconn", version="1", capabilities=capabilities
        )

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """Counts the documents by reading them."""
        return await asyncio.to_thread(self._metadata, request.namespace)

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """One partition; the change stream begins at the first line of updates.json."""
        return await asyncio.to_thread(self._plan, request)

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """The documents of about `--page-bytes` of text."""
        _check_type(request.type)
        return await asyncio.to_thread(self._page, request)

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """Stages the batch, or adds it to bootstrap.json where it has no write_id."""
        _check_type(request.type)
        await self._write_alone(self._write, request)
        return wire.WriteDataResponse()

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """Adds a line an update to updates.json."""
        _check_type(request.type)
        await self._write_alone(self._write_updates, request)
        return wire.WriteUpdatesResponse()

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """Makes the staged batches bootstrap.json; the updates to what was there before are dropped."""
        await self._write_alone(self._finish, request)
        return wire.FinishNamespaceResponse()

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """A message for about 64 KB of lines, then positions alone while nothing is added. No cursor: from the present on."""
        _check_type(request.type)
        at = await asyncio.to_thread(self._updates_position, request.cursor)
        await asyncio.to_thread(self._selected, request.namespaces)
        while True:
            now = time.time()
            lines = await asyncio.to_thread(self._lines, at)
            yield wire.StreamUpdatesResponse(
                updates=self._parsed(lines, at.number, request.type),
                namespace=self._namespace() if lines.texts else "",
                next_cursor=cursors.write("updates", lines.after.offset, lines.after.number),
                time=_timestamp(lines.modified if lines.texts else now),
            )
            at = lines.after
            if not lines.texts:
                await asyncio.sleep(POLL_SECONDS)

    def _namespace(self) -> str:
        if self._name:
            return self._name
        marker = self._folder.marker()
        return marker.namespace if marker else DEFAULT_NAMESPACE

    def _selected(self, wanted: Sequence[str]) -> str:
        """The namespace, where it is among those asked for. Raises NotFoundError for a name that selects nothing."""
        namespace = self._namespace()
        for name in wanted:
            if namespace != name and not namespace.startswith(f"{name}."):
                raise NotFoundError(
                    f"the folder {str(self._folder.path)!r} has no namespace {name!r}", remedy=f"it has {namespace!r}"
                )
        return namespace

    def _extent(self) -> Extent:
        bootstrap = self._folder.bootstrap
        return Extent.of(bootstrap, self._folder.length(bootstrap), self._page_bytes)

    def _metadata(self, namespace: str) -> wire.GetNamespaceMetadataResponse:
        marker = self._folder.marker()
        if namespace != self._namespace() or not self._folder.bootstrap.exists():
            return wire.GetNamespaceMetadataResponse(exists=False)
        return wire.GetNamespaceMetadataResponse(
            count=pages.count_records(self._folder.bootstrap, self._extent()),
            exists=True,
            identity=marker.identity if marker else "",
            flow=marker.flow if marker else "",
        )

    def _plan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        folder = self._folder
        if not folder.bootstrap.exists() and not folder.updates.exists():
            raise NotFoundError(
                f"{str(folder.path)!r} has neither bootstrap.json nor updates.json", remedy="name the folder that has"
            )
        namespace = self._selected(request.namespaces)
        plan = wire.GeneratePlanResponse()
        if request.updates:
            self._updates_file()
            plan.updates_partitions.add(namespaces=[namespace], cursor=cursors.write("updates", 0, 1))
        if request.initial_sync:
            plan.partitions.add(namespace=namespace, cursor=self._extent().to_cursor())
        return plan

    def _page(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        extent = Extent.from_cursor(request.partition.cursor)
        namespace = self._namespace()
        if request.partition.namespace != namespace:
            raise CursorError(f"the partition is of namespace {request.partition.namespace!r}, not {namespace!r}")
        bootstrap = self._folder.bootstrap
        if self._extent() != structs.replace(extent, page_bytes=self._page_bytes):
            raise CursorError(f"{str(bootstrap)!r} has changed since it was planned", remedy="copy again")
        at = pages.page_position(extent, request.cursor) if request.cursor else None
        page = pages.read_page(bootstrap, extent, at)
        try:
            data = codec.convert(
                page.texts, wire.EXTENDED_JSON, request.type, lambda index: f"{namespace}:{page.numbers[index]}"
            )
        except codec.RecordError as error:
            line = page.numbers[error.index]
            raise DataError(f"{str(bootstrap)!r}, line {line}: {error.reason}") from error
        following = pages.page_cursor(extent, page.next) if page.next.offset < extent.size else b""
        return wire.ListDataResponse(data=data, next_cursor=following)

    def _write(self, request: wire.WriteDataRequest) -> None:
        batch = Batch.of(request.write_id, request.namespace) if request.write_id else None
        content = _lines_of(codec.convert(request.data, request.type, wire.EXTENDED_JSON))
        self._folder.claim(request.namespace)
        if batch:
            self._folder.stage(batch, content)
        else:
            self._folder.add(self._folder.bootstrap, content)

    def _write_updates(self, request: wire.WriteUpdatesRequest) -> None:
        content = b"".join(changes.line_of(update, request.type) for update in request.updates)
        self._folder.claim(request.namespace)
        self._folder.add(self._folder.updates, content)

    def _finish(self, request: wire.FinishNamespaceRequest) -> None:
        marker = self._folder.claim(request.namespace)
        self._folder.publish(marker, request.flow, [(part.partition, part.count) for part in request.parts])

    async def _write_alone(self, write: Callable[[Request], None], request: Request) -> None:
        """Writes one after another. A call that is cancelled still waits for its thread, which nothing can stop."""
        async with self._writing:
            writing = asyncio.ensure_future(asyncio.to_thread(write, request))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait([writing])
                raise

    def _updates_file(self) -> Path:
        if not self._folder.updates.exists():
            raise UnimplementedError(
                f"{str(self._folder.path)!r} has no updates.json to follow", remedy="make one; it may be empty"
            )
        return self._folder.updates

    def _updates_position(self, cursor: bytes) -> changes.Place:
        file = self._updates_file()
        if cursor:
            return changes.Place(*cursors.read("updates", cursor, 2))
        return changes.end_of(file, self._folder.length(file))

    def _lines(self, at: changes.Place) -> changes.Lines:
        file = self._updates_file()
        return changes.read_lines(file, at, self._folder.length(file))

    def _parsed(self, lines: changes.Lines, number: int, data_type: wire.Type) -> list[wire.Update]:
        updates = []
        for line, text in enumerate(lines.texts, number):
            try:
                update = changes.parse(text, data_type)
            except DataError as error:
                raise DataError(
                    f"{str(self._folder.updates)!r}, line {line}: {error.message}", remedy=error.remedy
                ) from error
            if update is not None:
                updates.append(update)
        return updates


def _check_type(data_type: wire.Type) -> None:
    if data_type not in TYPES:
        raise UnimplementedError(f"testconn does not know data type {data_type}")


def _lines_of(texts: Sequence[bytes]) -> bytes:
    """The lines of a batch. Raises DataError for what would make the file unreadable."""
    content = jsontext.to_lines(texts)
    try:
        page = jsontext.split(content, jsontext.Position("lines", 0), jsontext.Rest.END)
    except jsontext.TextError as error:
        raise DataError(f"record {error.number - 1} of the batch: {error.reason}") from error
    if len(page.texts) != len(texts):
        raise DataError("the batch holds a record that is not one JSON object")
    return content


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(int(seconds * 1_000_000))
    return stamp
