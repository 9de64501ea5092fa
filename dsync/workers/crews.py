"""The workers of a copy: this machine's, or a cluster's."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from dsync import registry
from dsync.cancel import cancel
from dsync.connector import Connector
from dsync.endpoint import Endpoint, settled_transform
from dsync.engine import DaskEngine, parse_engine
from dsync.errors import DsyncError, UsageError
from dsync.flow import budget
from dsync.flow.copy import Copy
from dsync.flow.ends import Assignment
from dsync.flow.gauge import Gauge
from dsync.flow.step import Read
from dsync.settings import Settings
from dsync.state import Flow, State
from dsync.workers import spares
from dsync.workers.grant import DRIFT
from dsync.workers.here import Crew, Here
from dsync.workers.process import Process
from dsync.workers.team import Team

logger = logging.getLogger(__name__)

# Copiers on a cluster where nothing is said; those for whom there is no thread wait for one.
MOST_COPIERS = 1024


@asynccontextmanager
async def at_hand(
    ends: tuple[Connector, Connector, Read],
    assignment: Assignment,
    settings: Settings,
    inherited: tuple[int, ...] | None,
    job: Copy,
) -> AsyncIterator[Crew]:
    """This process, its ends open, and more on this machine where they pay; `inherited` None: this process alone."""
    memory = budget.memory_limit(settings.memory_limit)
    count = _processes(memory, settings) if inherited is not None else 1
    each = replace(assignment, gauge_bytes=budget.gauge_bytes(memory, count))
    source, sink, read = ends
    team = Team(Here(source, sink, each.steps, Gauge(each.gauge_bytes), read))
    # one process keeps up with the stores where documents pass through it, and another one takes cores that those need
    patient = job.is_small or each.steps.passes_through
    growth = asyncio.create_task(
        team.grow(count, lambda: Process(each, inherited or ()), job.remaining, patient=patient)
    )
    try:
        yield team
    finally:
        await cancel([growth])
        await asyncio.gather(growth, return_exceptions=True)
        await team.close()


def _processes(memory: int, settings: Settings) -> int:
    # a rate holds for all processes together, and one is enough for any that is worth a limit
    return 1 if settings.write_rate_limit else min(budget.processes(memory, settings.workers), settings.local_copiers)


def keep_spares(source: Endpoint, destination: Endpoint, settings: Settings) -> None:
    """Has processes stand ready for what `at_hand` may want, where this one has no threads and does nothing else yet."""
    # what others have written may not bear a fork, nor does gRPC
    plain = all(registry.scheme_of(end.uri) in registry.BUILT_IN for end in (source, destination))
    # Read through a driver, pages come later and slower: there a process that is started when it pays is as good.
    if not plain or source.spec.extra or settings.transform or parse_engine(settings.engine):
        return
    # A fork shares what is imported, until either side touches it: a driver is so much that the copying took up to 20 ms
    # of a start, and a process that is called imports it beside a copy that goes on.
    for end in (source, destination):
        if not end.spec.extra:
            end.load()
    if "grpc" not in sys.modules:
        memory = budget.memory_limit(settings.memory_limit)
        spares.stand_ready(_processes(memory, settings) - 1)


def refuse_unfit(source: object, destination: object, settings: Settings) -> None:
    """Raises UsageError for what a cluster cannot have."""
    for end in (source, destination, settled_transform(settings.transform)):
        if not (end is None or isinstance(end, Endpoint)):
            raise UsageError(
                f"the object {type(end).__name__!r} cannot go to other machines",
                remedy="give a URI, or copy with the engine local",
            )
    if settings.metadata in ("memory:", "memory://"):
        raise UsageError(
            "workers on other machines need a state that outlives this process",
            remedy="name a file or a MongoDB database with --metadata, or copy with --engine local",
        )


def letters_of(settings: Settings) -> str:
    """Where dead letters are, in words."""
    if parse_engine(settings.engine) is None:
        return repr(settings.dead_letters)
    return f"the files whose names begin with {settings.dead_letters!r}"


@asynccontextmanager
async def on_cluster(
    engine: DaskEngine, flow: Flow, state: State, assignment: Assignment, settings: Settings, stop: asyncio.Event
) -> AsyncIterator[Crew]:
    """The workers of a Dask cluster. The state says that they are away until they have surely ended: see `outlast`."""
    first = "distributed" not in sys.modules
    try:
        from dsync.workers.cluster import Cluster
        from dsync.workers.ground import Ground
        from dsync.workers.link import Link
        from dsync.workers.member import Job
        from dsync.workers.shares import Shares
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--engine dask needs the package {error.name!r}", remedy="pip install 'dsync[dask]'"
        ) from error
    if first:
        # what matters of what it prints is said here; a program that uses Dask itself keeps its own settings
        logging.getLogger("distributed").setLevel(logging.CRITICAL)

    away = replace(assignment, wrapping=replace(assignment.wrapping, rate=0.0))  # a share of it comes with each grant
    transforming = away.wrapping.transforming
    through = (transforming.endpoint,) if transforming and transforming.endpoint else ()
    ends = away.source, away.destination, *through
    ground = Ground.of(ends, flow.source, flow.destination, settings.dead_letters)
    shares = Shares(settings.memory_limit, settings.write_rate_limit, settings.workers)
    job = Job(Link(engine), away, ground, shares, engine.lease, lambda: state.valid_until)
    cluster = Cluster(engine, job, settings.retry_for, stop)
    flow.away = engine.lease
    await state.update(flow)
    try:
        async with cluster:
            yield cluster
    finally:
        if cluster.ended:
            flow.away = 0.0
            with suppress(DsyncError):  # whoever holds the flow now waited for them
                await state.update(flow)


async def outlast(state: State, flow_id: str, destination: str) -> None:
    """Waits until workers of runs that were killed surely write to this destination no more. The caller holds the flow.

    Every such run has lost its hold on its flow by now, or lives: what it granted last ends within a lease from now.
    """
    flows = [flow for flow in await state.flows() if flow.destination == destination and flow.away]
    if not flows:
        return
    seconds = max(flow.away for flow in flows) * DRIFT
    logger.warning("waiting %.0f s until the workers of an earlier run have surely ended", seconds)
    await asyncio.sleep(seconds)
    for flow in flows:
        if flow.id == flow_id:
            flow.away = 0.0
            await state.update(flow)
