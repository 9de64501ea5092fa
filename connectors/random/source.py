"""What both made-up sources share: plan, pages, change streams, look-ups. Nothing is kept between two calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from connectors.random import cursors
from connectors.random.cursors import Lane, Slice
from connectors.random.settings import Settings
from connectors.random.ticks import Ticks
from dsync import wire
from dsync.connector import Connector, ConnectorSpec
from dsync.errors import CursorError, NotFoundError, UnimplementedError

TYPES = (wire.BSON, wire.EXTENDED_JSON, wire.JSON_ID)
# A page stays well under the 64 MiB that a message may have.
PAGE_BYTES = 8 << 20


class MadeUpSource(Connector):
    """A source whose documents and updates are a pure function of its options and the place in it.

    Reading and look-ups give the documents as they were before any update. A change stream begins with tick 0, has 1 to
    `max_updates_per_tick` updates a tick, and after `update_duration` ticks sends positions alone.
    """

    spec: ClassVar[ConnectorSpec]

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self.settings = Settings.of(self.spec, options)
        self._digest = self.settings.digest()
        self._numbers = {name: index for index, name in enumerate(self.settings.namespaces())}
        self._ticks = Ticks(self.settings, self._digest, self.update)

    def document_bytes(self) -> int:
        """About the size of a document."""
        raise NotImplementedError

    def page(self, part: Slice, start: int, end: int, data_type: wire.Type) -> list[bytes]:
        """The documents of a partition from one offset up to another."""
        raise NotImplementedError

    def update(self, lane: Lane, number: int, data_type: wire.Type) -> wire.Update | None:
        """An update of a change stream, by its number from 0; None where there is nothing to update."""
        raise NotImplementedError

    def find(self, namespace: int, identity: wire.BsonValue, data_type: wire.Type) -> bytes:
        """The document of an id; empty where there is none."""
        raise NotImplementedError

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """Other options are another store: the id holds their digest."""
        streams = self.settings.num_update_partitions_per_namespace > 0
        source = wire.Capabilities.Source(
            supported_data_types=TYPES,
            lsn_stream=streams,
            multi_namespace_plan=True,
            default_plan=True,
            get_by_ids=True,
            updates=streams,
        )
        name = self.spec.name
        return wire.GetInfoResponse(
            id=f"{name}-{self._digest}", db_type=name, version="1", capabilities=wire.Capabilities(source=source)
        )

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """Documents before any update."""
        if request.namespace not in self._numbers:
            return wire.GetNamespaceMetadataResponse(count=0, exists=False)
        return wire.GetNamespaceMetadataResponse(
            count=self.settings.documents_per_namespace, exists=True, identity=self._digest
        )

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """Partitions of equal size. Raises NotFoundError where a name selects nothing."""
        selected = self._selected(request.namespaces)
        plan = wire.GeneratePlanResponse()
        if request.initial_sync:
            plan.partitions.extend(part for name in selected for part in self._partitions(name))
        if request.updates:
            self._update_partitions()
            plan.updates_partitions.extend(part for name in selected for part in self._updates_partitions(name))
        return plan

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """A page: at least one document, unless the partition has none."""
        _check_type(request.type)
        part = self._slice(request.partition)
        start = cursors.read_page(self._digest, part, request.cursor) if request.cursor else 0
        documents = self.settings.num_docs_per_partition
        if start and start >= documents:
            raise CursorError(f"the partition ends before {start}")
        await self._wait()
        end = min(start + part.page_documents, documents)
        following = cursors.write_page(self._digest, part, end) if end < documents else b""
        return wire.ListDataResponse(data=self.page(part, start, end, request.type), next_cursor=following)

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """The documents as pages have them; no id has several parts."""
        _check_type(request.type)
        namespace = self._number(request.namespace)
        found = (
            self.find(namespace, asked.id[0], request.type)
            if len(asked.id) == 1 and asked.id[0].name in ("", "_id")
            else b""
            for asked in request.ids
        )
        return wire.GetByIdsResponse(data=[wire.GetByIdsResponse.ResponseItem(data=data) for data in found])

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """From the position on; no cursor is tick 0 of all change streams of the namespaces."""
        _check_type(request.type)
        lanes = self._lanes(request.namespaces, request.cursor)
        async for response in self._ticks.updates(lanes, request.type):
            yield response

    async def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncIterator[wire.StreamLSNResponse]:
        """Counts the updates of the same ticks, at the same pace."""
        async for response in self._ticks.counts(self._lanes(request.namespaces, request.cursor)):
            yield response

    def _lanes(self, namespaces: Sequence[str], cursor: bytes) -> list[Lane]:
        partitions = self._update_partitions()
        if not cursor:
            numbers = [self._number(name) for name in self._selected(namespaces)]
            return [Lane(number, partition) for number in numbers for partition in range(partitions)]
        lanes = cursors.read_lanes(self._digest, cursor)
        for lane in lanes:
            if lane.namespace >= self.settings.num_namespaces or lane.partition >= partitions:
                raise CursorError("the cursor is of a change stream that is not there")
            self._ticks.check(lane)
        return lanes

    def _update_partitions(self) -> int:
        partitions = self.settings.num_update_partitions_per_namespace
        if not partitions:
            raise UnimplementedError(
                f"{self.spec.name} has no change stream", remedy="set --num-update-partitions-per-namespace"
            )
        return partitions

    def _selected(self, wanted: Sequence[str]) -> list[str]:
        selected: dict[str, None] = {}
        for name in wanted:
            below = [known for known in self._numbers if known == name or known.startswith(f"{name}.")]
            if not below:
                raise NotFoundError(f"{self.spec.name} has no namespace {name!r}", remedy=f"it has {self._known()}")
            selected.update(dict.fromkeys(below))
        return list(selected) if wanted else list(self._numbers)

    def _known(self) -> str:
        names = list(self._numbers)
        return repr(names[0]) if len(names) == 1 else f"{names[0]!r} to {names[-1]!r}"

    def _number(self, namespace: str) -> int:
        if namespace not in self._numbers:
            raise NotFoundError(f"{self.spec.name} has no namespace {namespace!r}", remedy=f"it has {self._known()}")
        return self._numbers[namespace]

    def _partitions(self, namespace: str) -> Iterator[wire.Partition]:
        page_documents = min(self.settings.batch_size, max(1, PAGE_BYTES // self.document_bytes()))
        for partition in range(self.settings.num_partitions_per_namespace):
            part = Slice(self._numbers[namespace], partition, page_documents)
            yield wire.Partition(
                namespace=namespace,
                cursor=cursors.write_slice(self._digest, part),
                estimated_count=self.settings.num_docs_per_partition,
                estimated_bytes=self.settings.num_docs_per_partition * self.document_bytes(),
            )

    def _updates_partitions(self, namespace: str) -> Iterator[wire.UpdatesPartition]:
        for partition in range(self.settings.num_update_partitions_per_namespace):
            lane = Lane(self._numbers[namespace], partition)
            yield wire.UpdatesPartition(namespaces=[namespace], cursor=cursors.write_lanes(self._digest, [lane]))

    def _slice(self, partition: wire.Partition) -> Slice:
        part = cursors.read_slice(self._digest, partition.cursor)
        if part.partition >= self.settings.num_partitions_per_namespace or not part.page_documents:
            raise CursorError("the cursor is of a partition that is not there")
        if self._numbers.get(partition.namespace) != part.namespace:
            raise CursorError(f"the cursor is not of namespace {partition.namespace!r}")
        return part

    async def _wait(self) -> None:
        wait = self.settings.sleep
        if self.settings.jitter:
            wait += random.uniform(0, self.settings.jitter)  # noqa: S311 - no secret hangs on a delay
        if wait:
            await asyncio.sleep(wait / 1000)


def _check_type(data_type: wire.Type) -> None:
    if data_type not in TYPES:
        raise UnimplementedError(f"made-up documents do not come as data type {data_type}")
