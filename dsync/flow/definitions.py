"""Carries over what namespaces are besides their documents: options before the data, indexes and the rest after it."""

from __future__ import annotations

import asyncio
import logging

from dsync import wire
from dsync.connector import Connector
from dsync.errors import ConflictError, UsageError
from dsync.flow.agree import Agreement
from dsync.namespaces import Selection
from dsync.progress import Tracker
from dsync.settings import Mode, Settings

logger = logging.getLogger(__name__)

# Seconds between two tries to make what changes under way were in the way of.
TRY_AGAIN_SECONDS = 1.0
BEFORE = wire.WriteDefinitionRequest.Stage.STAGE_BEFORE_DOCUMENTS
AFTER = wire.WriteDefinitionRequest.Stage.STAGE_AFTER_DOCUMENTS


def refuse_definitions(agreement: Agreement, settings: Settings, mode: Mode) -> None:
    """Raises UsageError where definitions were asked for and this pair or this mode cannot carry them."""
    option = "--indexes" if settings.indexes else "--views"
    theirs = agreement.source.capabilities.source.definitions, agreement.sink.definitions
    if settings.reverse or mode == "CDC":
        raise UsageError(f"{option} goes with a copy, and this run makes none", remedy=f"leave {option} out")
    if settings.transform is not None:
        raise UsageError(f"{option} cannot go through a transform", remedy=f"leave {option} out")
    if settings.transform is not None:
        raise UsageError(f"{option} does not go through a transform", remedy=f"leave {option} out")
    if not theirs[0] or theirs[0] != theirs[1]:
        ends = f"{agreement.source.db_type} and {agreement.destination.db_type}"
        raise UsageError(f"{option} cannot work between {ends}", remedy=f"leave {option} out")


class Definitions:
    """The definitions of a run's namespaces, on their way."""

    def __init__(
        self, source: Connector, sink: Connector, selection: Selection, settings: Settings, tracker: Tracker
    ) -> None:
        self.source = source
        self.sink = sink
        self.selection = selection
        self.settings = settings
        self.tracker = tracker
        # Namespaces whose definition is not complete yet -> why.
        self._waiting: dict[str, ConflictError] = {}

    async def prepare(self) -> None:
        """Makes namespaces what they have to be from their beginning on. Raises DataError where something else is there."""
        for definition in await self._read():
            await self._write(definition, BEFORE)

    async def complete(self, *, later: bool) -> None:
        """Makes indexes and the rest. Raises DataError where that cannot be done.

        `later`: changes are still under way, and may be in the way of a unique index; it is tried again by `watch`.
        """
        for definition in await self._read():
            name = definition.namespace
            try:
                await self._write(definition, AFTER)
                self._waiting.pop(name, None)
            except ConflictError as error:
                if not later:
                    raise
                logger.info("%s; it is tried again when the changes are applied", error.message)
                self._waiting[name] = error
        self.tracker.unsettled = [error.message for error in self._waiting.values()]

    async def watch(self) -> None:
        """Tries again what had to wait, whenever everything is applied; ends when nothing waits."""
        while self._waiting:
            await asyncio.sleep(TRY_AGAIN_SECONDS)
            if self.tracker.lag_seconds == 0:
                await self.complete(later=True)

    async def settle(self, *, stopped: bool) -> None:
        """At the end of the changes: what had to wait, or has come to be meanwhile, is made now. Raises ConflictError where it
        cannot be.

        A run that was stopped on its way only says what is still to be made.
        """
        if not stopped:
            await self.complete(later=False)
        for text in self.tracker.unsettled:
            self.tracker.warn(f"not made yet: {text}")

    async def _read(self) -> list[wire.Definition]:
        """With the destination's names."""
        if not (self.settings.indexes or self.settings.views):
            return []
        request = wire.ReadDefinitionsRequest(
            namespaces=self.selection.names, views=self.settings.views, collections=self.settings.indexes
        )
        found = (await self.source.ReadDefinitions(request)).definitions
        return [
            wire.Definition(
                namespace=self.selection.destination(each.namespace),
                data=each.data,
                refers_to=[self.selection.destination(name) for name in each.refers_to],
            )
            for each in found
            if not self.selection.excludes(each.namespace)
        ]

    async def _write(self, definition: wire.Definition, stage: wire.WriteDefinitionRequest.Stage.ValueType) -> None:
        request = wire.WriteDefinitionRequest(definition=definition, stage=stage)
        for warning in (await self.sink.WriteDefinition(request)).warnings:
            self.tracker.warn(warning)
