"""The whole story of a run, top to bottom: open both ends, agree, plan, copy, close."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from msgspec import structs

from dsync import wire
from dsync.cancel import cancel
from dsync.connector import Connector
from dsync.endpoint import End, Endpoint, settled, settled_transform
from dsync.engine import DaskEngine, parse_engine
from dsync.errors import DsyncError, GapError, SetAsideError
from dsync.flow.agree import Agreement, agree, choose_mode, no_stream
from dsync.flow.copy import Copy
from dsync.flow.definitions import Definitions, refuse_definitions
from dsync.flow.ends import (
    Assignment,
    Wrapping,
    make_stage,
    opened_together,
    opened_transform,
    reader,
    retrying,
    wrap_sink,
    wrap_source,
)
from dsync.flow.expiry import Expiry, foresee
from dsync.flow.identity import make_flow, refuse_changed_settings, refuse_changed_transform
from dsync.flow.lag import seconds
from dsync.flow.plan import (
    Plan,
    describe,
    make_plan,
    refuse_changed,
    refuse_echoes,
    state_in,
    unfinished_beside,
)
from dsync.flow.probe import probe
from dsync.flow.reverse import keep_way_back, way_back
from dsync.flow.step import StepSettings
from dsync.flow.stream import Stream, StreamSettings
from dsync.flow.targets import Targets
from dsync.flow.transform import Stage, Transforming
from dsync.namespaces import Selection
from dsync.progress import Tracker
from dsync.progress.events import Listener, Result
from dsync.settings import Mode, Settings
from dsync.state import Flow, Progress, State, Status, open_state
from dsync.transform import Transform
from dsync.wire.gen.dsync.v1.flow_pb2 import Position
from dsync.workers import crews
from dsync.workers.here import Crew
from dsync.wrap.fence import Fence

logger = logging.getLogger(__name__)


async def migrate(
    source: End,
    destination: End,
    settings: Settings | None = None,
    *,
    on_event: Listener | None = None,
    tracker: Tracker | None = None,
    stop: asyncio.Event | None = None,
) -> Result:
    """Copies everything that the settings select and follows its changes; running it again goes on where a run ended.

    Connectors that are given as objects are used as they are, in this process, and are opened and closed here. Returns when
    what the mode says is done (the result is `complete`), or when `stop` is set and everything that was begun is saved.
    `on_event` is called with what happens, as it happens; `tracker` has the same as counters. Raises a DsyncError where the run
    failed; a SetAsideError where all is done but for documents that were set aside.
    """
    asked = settings or Settings()
    source, destination = settled(source, "source"), settled(destination, "destination")
    tracker = tracker or Tracker()
    tracker.listener = on_event or tracker.listener
    if asked.reverse:
        source, destination, asked = destination, source, way_back(asked)
    if parse_engine(asked.engine) is not None:
        crews.refuse_unfit(source, destination, asked)
    run = Run(source, destination, asked, tracker, stop or asyncio.Event())
    async with run.opened():
        await run.settle()
        await run.copy()
        await run.follow()
    run.tracker.ended = time.monotonic()
    if run.tracker.set_aside and run.tracker.stage == "done":
        raise SetAsideError(
            f"{run.tracker.set_aside:,} documents were refused and set aside",
            remedy=f"see {crews.letters_of(run.settings)}",
        )
    return tracker.result()


class Run:
    """One run between two ends; its attributes come to be from top to bottom."""

    source_end: Endpoint | Connector
    destination_end: Endpoint | Connector
    settings: Settings
    tracker: Tracker
    stop: asyncio.Event
    state: State
    source: Connector
    sink: Connector
    transform: Transform | None
    stage: Stage | None
    agreement: Agreement
    # What was asked for, without the state itself.
    selection: Selection
    mode: Mode
    definitions: Definitions
    flow: Flow
    targets: Targets
    # What the transform makes of the first documents of what is planned: namespaces by the planned ones.
    aims: Mapping[str, Sequence[str]]
    plan: list[Progress]
    positions: list[Position]

    def __init__(
        self,
        source: Endpoint | Connector,
        destination: Endpoint | Connector,
        settings: Settings,
        tracker: Tracker,
        stop: asyncio.Event,
    ) -> None:
        self.source_end = source
        self.destination_end = destination
        self.settings = replace(settings, transform=settled_transform(settings.transform))
        self.tracker = tracker
        self.stop = stop
        self.positions = []
        self.aims = {}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The state and both ends, open."""
        ends = self.source_end, self.destination_end
        async with (
            open_state(self.settings.metadata) as self.state,
            opened_together(*(retrying(end, self.settings.retry_for) for end in ends)) as (
                self.source,
                self.sink,
            ),
            opened_transform(self.settings.transform) as self.transform,
        ):
            yield

    async def settle(self) -> None:
        """Agrees on what this run is: a new flow, the next generation of one, or the rest of an unfinished one."""
        self.agreement = await agree(self.source, self.sink, self.transform)
        self.selection = structs.replace(
            self.settings.selection, hidden=await state_in(self.source, await self.state.own_namespaces())
        )
        self.mode, reason = choose_mode(self.agreement, self.settings.mode)
        if reason:
            self.tracker.warn(reason)
        if self.settings.indexes or self.settings.views:
            refuse_definitions(self.agreement, self.settings, self.mode)
        asked = make_flow(self.agreement, _described(self.source_end), _described(self.destination_end), self.settings)
        await self.state.lock(asked.id)
        await crews.outlast(self.state, asked.id, asked.destination)
        known = await self.state.flow(asked.id)
        if known is None and self.settings.reverse:
            raise GapError(
                "no forward run has saved where the destination's changes begin",
                remedy="run the same command without --reverse and stop it, then try again",
            )
        if known is not None and self._goes_on(known):
            refuse = refuse_changed_settings if known.status == "copying" else refuse_changed_transform
            refuse(known.settings, asked.settings)
            self.flow = known
            self._wrap()
            await self._resume()
        else:
            self.flow = structs.replace(asked, generation=known.generation + 1) if known else asked
            self._wrap()
            if known and self.transform is not None:
                self.targets.follow_on(known)
            await self._begin()
        self.definitions = Definitions(self.source, self.sink, self.selection, self.settings, self.tracker)

    def _goes_on(self, known: Flow) -> bool:
        """Whether this run continues the known flow; a copy that is complete is made anew unless its changes are followed."""
        if self.settings.restart:
            return False
        return known.status == "copying" or self.mode == "CDC" or (self.mode == "Full" and known.status == "following")

    def _wrap(self) -> None:
        self.targets = Targets(self.flow, self.state, self.agreement, self.selection, self.settings, self.tracker)
        wrapping = self._wrapping()
        self.source = self.targets.source = wrap_source(self.source, wrapping)
        self.sink = self.targets.sink = wrap_sink(Fence(self.sink, lambda: self.state.valid_until), wrapping)

    def _wrapping(self) -> Wrapping:
        return Wrapping(
            native=wire.Type(self.flow.batch["native"]),
            type=wire.Type(self.flow.batch["type"]),
            retry_for=self.settings.retry_for,
            rate=self.settings.write_rate_limit,
            dead_letters=self.settings.dead_letters,
            transforming=self._transforming(),
        )

    def _transforming(self) -> Transforming | None:
        types, end = self.agreement.transform, self.settings.transform
        if types is None:
            return None
        return Transforming(
            endpoint=end if isinstance(end, Endpoint) else None,
            request=wire.Type(self.flow.batch["request"]),
            response=wire.Type(self.flow.batch["response"]),
            type=wire.Type(self.flow.batch["type"]),
            multiple=types.multiple,
            followed=self.mode != "InitialSync",
            closed=self.targets.closed(self.positions if self.mode != "InitialSync" else ()),
        )

    async def _begin(self) -> None:
        settings = self.settings
        source = self.agreement.source.capabilities.source
        copies = self.mode != "CDC"
        plan = await make_plan(
            self.source,
            source,
            self.selection,
            copy=copies,
            updates=source.updates or self.mode != "InitialSync",
            merge=settings.merge_namespaces,
            definitions=settings.indexes,
            views=settings.views,
        )
        if self.mode != "InitialSync" and not plan.positions:
            self._do_without_stream()
        if self.mode != "InitialSync":
            await foresee(self.source, plan.documents, self.tracker)
        if not copies and self.agreement.same_kind:
            await refuse_echoes(self.source, self.sink, self.selection)
        for warning in plan.warnings:
            self.tracker.warn(warning)
        if self.transform is not None:
            await self._probe(self.transform, plan)
        else:
            await self.targets.look_at(plan)
        for warning in unfinished_beside(self.flow, await self.state.flows()):
            self.tracker.warn(warning)
        if not copies:
            self.tracker.warn("no earlier copy was found: only changes from now on are applied")
        self.flow.status = "copying" if copies else "following"
        await self.state.begin(self.flow, plan.partitions, plan.positions)
        await self._take_plan()

    def _do_without_stream(self) -> None:
        self.tracker.warn(no_stream(self.agreement, self.settings.mode))
        self.mode = "InitialSync"

    async def _probe(self, transform: Transform, plan: Plan) -> None:
        """Whether what the transform makes of the first documents may be written; further namespaces are looked at as they come."""
        self.positions = plan.positions
        self.targets.read_from(plan.partitions)
        self.aims = await probe(self.source, make_stage(transform, self._wrapping()), plan.partitions)
        await self.targets.look(list(dict.fromkeys(name for names in self.aims.values() for name in names)))

    async def _resume(self) -> None:
        await self._take_plan()
        if self.mode != "InitialSync" and not self.positions and not self.agreement.says_whether_it_streams:
            self._do_without_stream()
        if self.mode != "InitialSync" and not self.positions:
            raise GapError(
                "the earlier copy of this flow kept no position of a change stream", remedy="copy again with --restart"
            )
        names = list(dict.fromkeys([*(progress.planned.destination for progress in self.plan), *self.flow.namespaces]))
        refuse_changed(self.flow, await describe(self.sink, names))
        done, total = self.tracker.partitions
        logger.info("going on with flow %s: %d of %d partitions were done", self.flow.id, done, total)

    async def _take_plan(self) -> None:
        self.plan = await self.state.partitions(self.flow.id)
        self.positions = await self.state.positions(self.flow.id)
        self.tracker.plan(self.plan)
        self.targets.read_from(progress.planned for progress in self.plan)
        self.stage = make_stage(self.transform, self._wrapping()) if self.transform else None

    async def copy(self) -> None:
        """Copies what is left of the plan and publishes each namespace when it is complete."""
        if self.flow.status != "copying":
            return
        self.tracker.enter("copying")
        await self.definitions.prepare()
        transforms = self.stage is not None
        job = Copy(self.flow.id, self.plan, self.state, self.tracker, self.stop, self.targets, transforms=transforms)
        engine = parse_engine(self.settings.engine)
        copiers = self.settings.local_copiers if engine is None else self.settings.copiers or crews.MOST_COPIERS
        expiry = asyncio.create_task(self._watch_expiry(job))
        try:
            async with self._crew(engine, job) as crew:
                await job.run(crew, copiers)
        finally:
            await cancel([expiry])
            await asyncio.gather(expiry, return_exceptions=True)
        if not job.remaining():
            if self.mode == "InitialSync":
                await self.definitions.complete(later=False)
            await self._set_status("copied" if self.mode == "InitialSync" else "following")

    async def _watch_expiry(self, job: Copy) -> None:
        """Ends a copy whose changes since its beginning are gone: following them could not make it whole any more."""
        if self.mode == "InitialSync":
            return
        places = [seconds(position.time) for position in self.positions]
        try:
            await Expiry(self.source, lambda: places, self.tracker, self.tracker.remaining_seconds).watch()
        except DsyncError as error:
            job.errors.append(error)

    def _crew(self, engine: DaskEngine | None, job: Copy) -> AbstractAsyncContextManager[Crew]:
        assignment = Assignment(
            _described(self.source_end), _described(self.destination_end), self._wrapping(), self._step_settings(), 0
        )
        if engine is not None:
            return crews.on_cluster(engine, self.flow, self.state, assignment, self.settings, self.stop)
        ends = self.source, self.sink, reader(self.stage)
        return crews.at_hand(ends, assignment, self.settings, self._inherited(), job)

    def _inherited(self) -> tuple[int, ...] | None:
        """What other processes of this machine get to hold the flow with; None where there can be none."""
        ends = self.source_end, self.destination_end, self.settings.transform
        objects = not all(end is None or isinstance(end, Endpoint) for end in ends)
        # a lease is watched in this process alone
        return None if objects or self.state.valid_until is not None else self.state.inherited

    def _step_settings(self) -> StepSettings:
        batch = self.flow.batch
        return StepSettings(
            flow=self.flow.id,
            type=wire.Type(batch["type"]),
            batch_bytes=batch["bytes"],
            batch_documents=batch["documents"],
            lines=self.agreement.lines and not self.settings.dead_letters,
        )

    async def _set_status(self, status: Status) -> None:
        self.flow.status = status
        self.flow.updated = time.time()
        await self.state.update(self.flow)

    async def follow(self) -> None:
        """Follows the change streams until stopped or caught up, where the mode says so and the copy is complete."""
        if self.flow.status == "copying":
            return
        if self.mode != "InitialSync":
            self.tracker.enter("following")
            await self._set_status("following")
            settings = StreamSettings(
                type=wire.Type(self.flow.batch["type"]),
                retry_for=self.settings.retry_for,
                save_every=self.settings.save_positions_seconds,
                max_delete=self.settings.max_delete,
                counts=self.agreement.source.capabilities.source.lsn_stream,
            )
            ends = self.source, self.sink, self.state
            await self.definitions.complete(later=True)
            stream = Stream(self.flow.id, *ends, settings, self.positions, self.selection, self.tracker, self.stage)
            beside = self.definitions.watch()
            await stream.run(self.stop, until_caught_up=self.settings.until_caught_up, beside=beside)
            await self.definitions.settle(stopped=self.stop.is_set())
            await self._keep_way_back()
            if self.stop.is_set():
                return
        self.tracker.enter("done")

    async def _keep_way_back(self) -> None:
        capabilities = self.agreement.destination.capabilities.source, self.agreement.source.capabilities.sink
        one_way = self.settings.reverse or self.transform is not None
        if not one_way and all(each.updates for each in capabilities):
            await keep_way_back(self.sink, capabilities[0], self.state, self.flow, self.settings, self.tracker)


def _described(end: Endpoint | Connector) -> Endpoint:
    return end if isinstance(end, Endpoint) else Endpoint(type(end).__name__)
