"""What can be known beforehand: whether a store can be used, and what a run would do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from msgspec import Struct

from dsync import wire
from dsync.connector import Connector
from dsync.endpoint import End, Endpoint, settled
from dsync.flow.probe import notes
from dsync.progress import Tracker
from dsync.run import Run
from dsync.settings import Settings


class PlannedNamespace(Struct, frozen=True):
    """A namespace that would be copied."""

    source: str
    destination: str
    partitions: int
    # About how many; None: the source has not counted them.
    documents: int | None
    # About how many bytes they are; None: the source does not know.
    bytes: int | None


class Preview(Struct, frozen=True):
    """What a fresh run would do."""

    # As which documents travel: MONGO_BSON, EXTENDED_JSON or JSON_ID.
    data_type: str
    namespaces: tuple[PlannedNamespace, ...]
    warnings: tuple[str, ...]
    # For how long the source keeps changes; None: it has none to follow, or does not say.
    kept_seconds: float | None = None


async def plan(source: End, destination: End, settings: Settings | None = None) -> Preview:
    """What a fresh run of these settings would do, with warnings; touches nothing. Raises what would refuse it."""
    asked = replace(settings or Settings(), metadata="memory:")
    ends = settled(source, "source"), settled(destination, "destination")
    run = Run(*ends, asked, Tracker(), asyncio.Event())
    async with run.opened():
        await run.settle()
        return Preview(
            wire.DataType.Name(run.agreement.type).removeprefix("DATA_TYPE_"),
            _namespaces(run),
            (*run.tracker.warnings, *run.agreement.sink.notes, *notes(run.aims)),
            run.tracker.kept_seconds or None,
        )


async def check(end: End) -> wire.GetInfoResponse:
    """What a store is and can do. Raises what makes it unusable."""
    scheme_source = isinstance(end, Connector) or (Endpoint(end) if isinstance(end, str) else end).spec.source
    taken = settled(end, "source" if scheme_source else "destination", both=True)
    async with taken if isinstance(taken, Connector) else taken.create() as connector:
        return await connector.GetInfo(wire.GetInfoRequest())


def _namespaces(run: Run) -> tuple[PlannedNamespace, ...]:
    partitions: dict[tuple[str, str], list[wire.Partition]] = {}
    for progress in run.plan:
        planned = progress.planned
        partitions.setdefault((planned.partition.namespace, planned.destination), []).append(planned.partition)
    return tuple(
        PlannedNamespace(
            *names,
            len(found),
            _sum(partition.estimated_count for partition in found),
            _sum(partition.estimated_bytes for partition in found),
        )
        for names, found in partitions.items()
    )


def _sum(estimates: Iterable[int]) -> int | None:
    known = list(estimates)
    return sum(known) if all(known) else None
