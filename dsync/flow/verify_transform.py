"""A source as a transform shows it: the namespaces and documents that a copy through it would have written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from dsync import wire
from dsync.cancel import together
from dsync.connector import Connector
from dsync.errors import UsageError
from dsync.flow.agree import choose_transform
from dsync.flow.ends import Wrapping, make_stage, wrap_source
from dsync.flow.plan import make_plan
from dsync.flow.transform import Stage, Transforming
from dsync.namespaces import Rule, Selection
from dsync.transform import Transform
from dsync.wire.gen.dsync.v1.flow_pb2 import PlannedPartition
from dsync.wrap.delegate import Delegate


class Seen(Struct):
    """What reading the whole source once has shown."""

    # Names of the destination -> those that a plan without the transform would have written to.
    origins: dict[str, set[str]] = field(default_factory=dict)
    filtered: int = 0


class Transformed(Delegate):
    """Reads the inner source through a transform. Its namespaces are the destination's, which only reading it all can tell."""

    def __init__(
        self, inner: Connector, info: wire.GetInfoResponse, stage: Stage, planned: Sequence[PlannedPartition]
    ) -> None:
        super().__init__(inner)
        self._info = info
        self._stage = stage
        self._planned = planned
        self.seen = Seen()

    async def look(self, readers: int) -> None:
        """Reads everything once. Raises UsageError where the transform, asked again, answers otherwise."""
        todo = iter(self._planned)
        await together([self._look(todo) for _ in range(min(readers, len(self._planned)))])

    async def _look(self, todo: Iterator[PlannedPartition]) -> None:
        for planned in todo:
            cursor = b""
            while True:
                page = await self._page(planned, cursor)
                made = await self._stage.documents(planned.destination, page.data)
                if made != await self._stage.documents(planned.destination, page.data):
                    raise UsageError(
                        f"the transform does not repeat itself: documents of {planned.partition.namespace!r}, asked for twice,"
                        " come out different",
                        remedy="verification needs a transform whose answer follows from the document alone",
                    )
                for name in made.documents:
                    self.seen.origins.setdefault(name, set()).add(planned.destination)
                self.seen.filtered += made.filtered
                cursor = page.next_cursor
                if not cursor:
                    break

    async def _page(self, planned: PlannedPartition, cursor: bytes) -> wire.ListDataResponse:
        request = wire.ListDataRequest(partition=planned.partition, type=self._stage.how.request, cursor=cursor)
        return await self.inner.ListData(request)

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """The inner source's, without what a transform takes from it."""
        info = wire.GetInfoResponse(id=f"{self._info.id} through a transform", db_type=self._info.db_type)
        source = wire.Capabilities.Source(
            supported_data_types=[self._stage.how.type], multi_namespace_plan=True, default_plan=True
        )
        info.capabilities.source.CopyFrom(source)
        return info

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """Nobody has counted."""
        return wire.GetNamespaceMetadataResponse(exists=request.namespace in self.seen.origins, count_unknown=True)

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """For each namespace all partitions of which anything was made for it, and those of the same namespaces."""
        plan = wire.GeneratePlanResponse()
        for name, origins in self.seen.origins.items():
            if any(name == each or name.startswith(f"{each}.") for each in request.namespaces or [name]):
                for planned in self._planned:
                    if planned.destination in origins:
                        plan.partitions.add(namespace=name, cursor=planned.SerializeToString())
        return plan

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """What the transform makes for the namespace of the documents of a page."""
        planned = PlannedPartition.FromString(request.partition.cursor)
        page = await self._page(planned, request.cursor)
        made = await self._stage.documents(planned.destination, page.data)
        data = made.documents.get(request.partition.namespace, ())
        return wire.ListDataResponse(data=data, next_cursor=page.next_cursor)

    def selection(self, asked: Selection) -> Selection:
        """What selects the same of the names of the destination."""
        names = self.seen.origins
        excluded = tuple(rule for rule in asked.reversed().excluded if rule.source not in names)
        if not asked.rules:
            return Selection((), excluded)
        roots = dict.fromkeys([*(rule.destination for rule in asked.rules), *names])
        return Selection(tuple(Rule(name, name) for name in roots), excluded)


async def through(
    transform: Transform,
    ends: Sequence[Connector],
    infos: Sequence[wire.GetInfoResponse],
    selection: Selection,
    *,
    merge: bool,
    retry_for: float,
) -> tuple[Transformed, list[str]]:
    """The source as the transform shows it, not yet looked at, and what its plan leaves out.

    Raises UsageError where the transform does not fit between the two.
    """
    ours, theirs = (info.capabilities.source for info in infos)
    known = await transform.GetTransformInfo(wire.GetTransformInfoRequest())
    native, target, types = choose_transform(ours.supported_data_types, known, theirs.supported_data_types)
    how = Transforming(None, types.request, types.response, target, types.multiple)
    wrapping = Wrapping(native, target, retry_for, transforming=how)
    reader = wrap_source(ends[0], wrapping)
    plan = await make_plan(reader, ours, selection, merge=merge)
    return Transformed(reader, infos[0], make_stage(transform, wrapping), plan.partitions), plan.warnings
