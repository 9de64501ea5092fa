"""Plans a copy: which partitions go where, and whether the destination may be written to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from dsync import wire
from dsync.connector import Connector
from dsync.errors import DsyncError, GapError, UnimplementedError, UsageError
from dsync.namespaces import Selection
from dsync.state import Flow
from dsync.wire.gen.dsync.v1.flow_pb2 import PlannedPartition, Position

# Questions about namespaces that are under way at once.
CONCURRENT_QUESTIONS = 16


class Plan(Struct, frozen=True):
    """The partitions of a copy, the change streams from before it, and what is left out."""

    partitions: list[PlannedPartition] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def documents(self) -> int:
        """About how many, as far as the source knows."""
        return sum(planned.partition.estimated_count for planned in self.partitions)

    @property
    def destinations(self) -> list[str]:
        """The destination's namespaces, in the order of the plan."""
        return list(dict.fromkeys(planned.destination for planned in self.partitions))


async def make_plan(
    source: Connector,
    capabilities: wire.Capabilities.Source,
    selection: Selection,
    *,
    copy: bool = True,
    updates: bool = False,
    merge: bool = False,
    definitions: bool = False,
    views: bool = False,
) -> Plan:
    """Asks the source, as it likes to be asked, and applies the selection.

    Raises UsageError where the source must be told what to copy, where nothing is left to copy, and where two namespaces
    would become one unless `merge` asks for that.
    """
    names = selection.names
    if not names and not capabilities.default_plan:
        raise UsageError("this source does not say what it holds", remedy="name what to copy with --namespace")
    questions = [names] if capabilities.multi_namespace_plan or len(names) < 2 else [[name] for name in names]
    excluded = [rule.source for rule in selection.excluded]
    answers = [
        await source.GeneratePlan(
            wire.GeneratePlanRequest(
                namespaces=question,
                initial_sync=copy,
                updates=updates,
                excluded=excluded,
                definitions=definitions,
                views=views,
            )
        )
        for question in questions
    ]
    found = [partition for answer in answers for partition in answer.partitions]
    kept = [partition for partition in found if not selection.excludes(partition.namespace)]
    if copy and not kept and (found or excluded):
        if not excluded:
            raise UsageError("there is nothing but the state of dsync itself", remedy="name other data as the source")
        raise UsageError("--exclude leaves nothing to copy", remedy="exclude less")
    planned = [
        PlannedPartition(number=number, partition=partition, destination=selection.destination(partition.namespace))
        for number, partition in enumerate(kept)
    ]
    if not merge:
        refuse_merging(planned)
    return Plan(planned, _positions(answers), [warning for answer in answers for warning in answer.warnings])


def _positions(answers: Iterable[wire.GeneratePlanResponse]) -> list[Position]:
    streams = [partition for answer in answers for partition in answer.updates_partitions]
    return [
        Position(
            number=number,
            partition=partition,
            cursor=partition.cursor,
            time=partition.time if partition.HasField("time") else None,
        )
        for number, partition in enumerate(streams)
    ]


def refuse_merging(partitions: Iterable[PlannedPartition]) -> None:
    """Raises UsageError where two source namespaces have one destination."""
    origins: dict[str, str] = {}
    for planned in partitions:
        source = origins.setdefault(planned.destination, planned.partition.namespace)
        if source != planned.partition.namespace:
            raise UsageError(
                f"{source!r} and {planned.partition.namespace!r} would both be written to {planned.destination!r}",
                remedy="map them to different names with --namespace, or ask for it with --merge-namespaces",
            )


def refuse_several(destinations: Sequence[str], sink: wire.Capabilities.Sink) -> None:
    """Raises UsageError where several namespaces would go to a destination that takes one."""
    if sink.single_namespace and len(destinations) > 1:
        raise UsageError(
            f"the destination takes one namespace, and {destinations[0]!r} and {destinations[1]!r} would both go there",
            remedy="give a folder as the destination, or select one namespace with --namespace",
        )


async def describe(sink: Connector, names: Sequence[str]) -> dict[str, wire.GetNamespaceMetadataResponse]:
    """What the destination says of each namespace; nothing of any where it cannot."""
    turn = asyncio.Semaphore(CONCURRENT_QUESTIONS)

    async def ask(name: str) -> wire.GetNamespaceMetadataResponse:
        async with turn:
            return await sink.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=name))

    try:
        answers = await asyncio.gather(*map(ask, names))
    except UnimplementedError:
        return {}
    return dict(zip(names, answers, strict=True))


async def state_in(source: Connector, own: Mapping[str, str]) -> tuple[str, ...]:
    """Where the state lives in this source, if it does (`own`: name -> identity, "" for what is not there yet)."""
    known = [name for name, identity in own.items() if identity]
    try:
        found = await describe(source, known) if known else {}
    except DsyncError:
        # not a store that knows such names
        return ()
    mine = any(metadata.identity.replace("-", "") == own[name] for name, metadata in found.items())
    return tuple(own) if mine else ()


async def refuse_same_data(source: Connector, plan: Plan, found: dict[str, wire.GetNamespaceMetadataResponse]) -> None:
    """Raises UsageError where a namespace would be copied onto itself, by whatever name either end goes."""
    existing = {planned.partition.namespace for planned in plan.partitions if found[planned.destination].identity}
    origins = await describe(source, sorted(existing)) if existing else {}
    for planned in plan.partitions:
        origin = origins.get(planned.partition.namespace)
        if origin and origin.identity and origin.identity == found[planned.destination].identity:
            raise UsageError(
                f"{planned.partition.namespace!r} would be copied onto itself",
                remedy="give another destination, or another name with --namespace OLD:NEW",
            )


async def refuse_loops(source: Connector, sink: Connector, plan: Plan, selection: Selection) -> None:
    """Raises UsageError where what is written would be read again, since it lies in what was selected in the same store."""
    roots = {selection.root(p.partition.namespace): p.partition.namespace for p in plan.partitions}
    written = {p.destination for p in plan.partitions if p.destination != p.partition.namespace}
    for root, origin in roots.items():
        inside = sorted(name for name in written if root and (name == root or name.startswith(f"{root}.")))
        if inside and await _is_same_store(source, sink, origin):
            raise UsageError(
                f"what is written to {inside[0]!r} would be copied again: it lies in {root!r} of the source",
                remedy="give another destination, or a name outside with --namespace OLD:NEW",
            )


async def _is_same_store(source: Connector, sink: Connector, origin: str) -> bool:
    here, there = [(await describe(end, [origin])).get(origin) for end in (source, sink)]
    return bool(here and there and here.identity and here.identity == there.identity)


async def refuse_echoes(source: Connector, sink: Connector, selection: Selection) -> None:
    """As `refuse_same_data` and `refuse_loops`, for a run that only follows changes and so has planned no copy."""
    try:
        answer = await source.GeneratePlan(wire.GeneratePlanRequest(namespaces=selection.names, initial_sync=True))
    except DsyncError:
        # what cannot be listed is not there yet
        return
    plan = Plan(
        [PlannedPartition(partition=p, destination=selection.destination(p.namespace)) for p in answer.partitions]
    )
    found = await describe(sink, plan.destinations)
    if found:
        await refuse_same_data(source, plan, found)
        await refuse_loops(source, sink, plan, selection)


async def refuse_sources(
    source: Connector, origins: Iterable[str], found: dict[str, wire.GetNamespaceMetadataResponse]
) -> None:
    """Raises UsageError where one of the namespaces that were found is one of those that are read."""
    existing = {metadata.identity: name for name, metadata in found.items() if metadata.identity}
    read = await describe(source, sorted(set(origins))) if existing else {}
    for origin, metadata in read.items():
        if metadata.identity in existing:
            raise UsageError(
                f"{origin!r} would be written to while it is read, as {existing[metadata.identity]!r}",
                remedy="let the transform make documents of another namespace",
            )


def admit(
    flow: Flow, found: dict[str, wire.GetNamespaceMetadataResponse], *, keyed: bool, overwrite: bool
) -> list[str]:
    """Whether a fresh copy may write to the namespaces as they were found; answers warnings.

    Keyed namespaces are merged into. Raises UsageError for any other that exists and was not written by this flow.
    """
    warnings = []
    for name, metadata in found.items():
        if metadata.flow == flow.id or not (metadata.exists or metadata.count):
            continue
        if keyed and metadata.count and flow.generation == 1:
            warnings.append(f"{name} held {metadata.count:,} documents before; those with other ids stay")
        elif not keyed and not overwrite:
            raise UsageError(
                f"the destination already has {name!r}, which this flow did not write",
                remedy="choose another destination, or replace it with --overwrite",
            )
    return warnings


def refuse_changed(flow: Flow, found: dict[str, wire.GetNamespaceMetadataResponse]) -> None:
    """Raises GapError where a namespace that an unfinished flow has written to was dropped or made anew since."""
    for name, known in flow.namespaces.items():
        identity = known.get("identity", "")
        # what this flow has published itself is new, and its own
        if identity and name in found and found[name].identity != identity and found[name].flow != flow.id:
            raise GapError(
                f"{name!r} was dropped or made anew at the destination since this flow began",
                remedy="copy everything again with --restart",
            )


def unfinished_beside(flow: Flow, others: Iterable[Flow]) -> list[str]:
    """A warning for each unfinished copy between the same ends."""
    ends = flow.source, flow.destination
    beside = [o for o in others if (o.source, o.destination) == ends and o.id != flow.id and o.status == "copying"]
    return [
        f"another copy between these ends is unfinished: flow {other.id} ({other.name or 'without a name'})"
        for other in beside
    ]
