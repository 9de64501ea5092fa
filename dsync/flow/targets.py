"""The destination's namespaces during a copy: admitted, written to for the first time, finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from dsync import wire
from dsync.connector import Connector
from dsync.errors import DataError, DsyncError, GapError, NotFoundError, UnimplementedError
from dsync.flow.agree import Agreement
from dsync.flow.plan import Plan, admit, describe, refuse_loops, refuse_same_data, refuse_several, refuse_sources
from dsync.namespaces import Selection
from dsync.progress import Tracker
from dsync.settings import Settings
from dsync.state import Flow, State
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position

logger = logging.getLogger(__name__)

# In `flow.namespaces`: written by the last copy of the flow, and not by this one yet.
EARLIER = "earlier"


class Targets:
    """What a flow writes to, and what was there before, in `flow.namespaces`."""

    def __init__(
        self,
        flow: Flow,
        state: State,
        agreement: Agreement,
        selection: Selection,
        settings: Settings,
        tracker: Tracker,
    ) -> None:
        """The two ends are set when they are wrapped."""
        self.flow = flow
        self.state = state
        self.agreement = agreement
        self.selection = selection
        self.settings = settings
        self.tracker = tracker
        self.source = self.sink = Connector()
        # The namespaces that are read.
        self._origins: Sequence[str] = ()
        self._admitting = asyncio.Lock()

    def read_from(self, partitions: Iterable[PlannedPartition]) -> None:
        """The flow reads from these partitions' namespaces."""
        self._origins = list(dict.fromkeys(planned.partition.namespace for planned in partitions))

    def closed(self, followed: Iterable[Position]) -> tuple[str, ...]:
        """What a transform may not write to because it is read or followed: where the two ends are one store."""
        if self.agreement.source.id != self.agreement.destination.id:
            return ()
        names = [name for position in followed for name in position.partition.namespaces or [""]]
        return tuple(dict.fromkeys([*(self.selection.root(name) or name for name in self._origins), *names]))

    async def look_at(self, plan: Plan) -> None:
        """Admits what a plan writes to, or raises what refuses it."""
        refuse_several(plan.destinations, self.agreement.sink)
        found = await describe(self.sink, plan.destinations)
        if found and self.agreement.same_kind:
            await refuse_same_data(self.source, plan, found)
            await refuse_loops(self.source, self.sink, plan, self.selection)
        self._warn_of(found)
        self.flow.namespaces = {name: {"empty": not found[name].count} for name in found}

    def _warn_of(self, found: dict[str, wire.GetNamespaceMetadataResponse]) -> None:
        keyed, overwrite = self.agreement.sink.keyed, self.settings.overwrite
        for warning in admit(self.flow, found, keyed=keyed, overwrite=overwrite):
            self.tracker.warn(warning)

    def follow_on(self, earlier: Flow) -> None:
        """Remembers what the last copy of this flow wrote, since a transform may make nothing for some of it any more."""
        if not self.agreement.sink.keyed:
            self.flow.namespaces = {name: {EARLIER: True} for name in earlier.namespaces}

    async def retire(self) -> None:
        """Publishes what the last copy wrote, and this one makes nothing for, as empty."""
        for name in [name for name, known in self.flow.namespaces.items() if EARLIER in known]:
            found = await describe(self.sink, [name])
            if found and found[name].flow == self.flow.id:
                await self._publish(name, [])

    @property
    def admitted(self) -> Sequence[str]:
        """The namespaces that may be written to."""
        return [name for name, known in self.flow.namespaces.items() if EARLIER not in known]

    async def admit(self, names: Iterable[str]) -> None:
        """Looks at namespaces that come to be while a transform works, before anything is written to them.

        Raises what refuses a planned one: that it is somebody else's, or the source itself.
        """
        async with self._admitting:
            if unknown := [name for name in names if name not in self.admitted]:
                await self.look(unknown)
                await self.state.update(self.flow)

    async def look(self, names: Sequence[str]) -> None:
        """Admits without keeping it in the state, where the flow is not yet."""
        refuse_several([*self.admitted, *names], self.agreement.sink)
        found = await describe(self.sink, names)
        if self.agreement.same_kind:
            await refuse_sources(self.source, self._origins, found)
        self._warn_of(found)
        for name in names:
            self.flow.namespaces[name] = {"empty": name in found and not found[name].count}

    async def first_write(self, name: str) -> None:
        """Remembers what a namespace is, so that one made anew under the flow is noticed."""
        known = self.flow.namespaces.setdefault(name, {})
        if "identity" not in known:
            found = await describe(self.sink, [name])
            known["identity"] = found[name].identity if found else ""
            await self.state.update(self.flow)

    async def finish(self, name: str) -> None:
        """Publishes what the checkpoints count. Raises GapError where it is not there any more, DataError for lost ids."""
        await self.admit([name])
        reached = [(p.planned.number, p.checkpoint) for p in await self.state.partitions(self.flow.id)]
        await self._publish(name, reached)
        await self._refuse_duplicates(name)

    async def prepare_finish(self, name: str, reached: Sequence[tuple[int, Checkpoint]]) -> None:
        """Lets the destination do a part of `finish` ahead: these are done, and follow those of the last word."""
        try:
            await self.sink.prepare_finish(self._request(name, reached))
        except DsyncError as error:  # what is wrong comes up again when it counts
            logger.debug("the destination did nothing ahead: %s", type(error).__name__)

    def _request(self, name: str, reached: Sequence[tuple[int, Checkpoint]]) -> wire.FinishNamespaceRequest:
        """The batches of a namespace by partition, in the order of the plan."""
        parts = []
        for number, checkpoint in reached:
            count = sum(written.batches for written in checkpoint.written if written.namespace == name)
            if count:
                parts.append(wire.FinishNamespaceRequest.Part(partition=f"{number:05d}", count=count))
        return wire.FinishNamespaceRequest(namespace=name, flow=self.flow.id, parts=parts)

    async def _publish(self, name: str, reached: Sequence[tuple[int, Checkpoint]]) -> None:
        request = self._request(name, reached)
        try:
            for warning in (await self.sink.FinishNamespace(request)).warnings:
                self.tracker.warn(f"{name}: {warning}")
        except UnimplementedError:
            logger.debug("the destination has nothing to finish")
        except NotFoundError as error:
            raise GapError(
                f"what was written to {name!r} is no longer there: {error.message}",
                remedy="copy everything again with --restart",
            ) from error

    async def _refuse_duplicates(self, name: str) -> None:
        """Fewer documents than were written to an empty namespace means that some had the same id."""
        if not (self.agreement.sink.keyed and self.flow.namespaces.get(name, {}).get("empty")):
            return
        metadata = (await describe(self.sink, [name]))[name]
        at = self.tracker.namespaces[name]
        documents = at.documents - at.set_aside
        if metadata.count_unknown or metadata.count >= documents or self.settings.duplicates == "last":
            return
        raise DataError(
            f"{name!r} has {metadata.count:,} documents after {documents:,} were written: some had the same id",
            remedy="give every document an id of its own, or keep one of each with --duplicates last",
        )
