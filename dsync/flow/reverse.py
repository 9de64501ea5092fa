"""The way back: a forward run keeps where the destination's own changes begin, and `--reverse` leads them to the source."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from dsync import wire
from dsync.cancel import cancel
from dsync.connector import Connector
from dsync.errors import DsyncError, UsageError
from dsync.flow.identity import reverse_flow, reverse_name
from dsync.flow.plan import make_plan
from dsync.progress import Tracker
from dsync.settings import Settings
from dsync.state import Flow, State

# Seconds that finding the position may take at the end of a run.
WAY_BACK_SECONDS = 3.0


def way_back(settings: Settings) -> Settings:
    """The settings of a run that leads changes back. Raises UsageError for a mode that cannot, and with a transform."""
    if settings.transform is not None:
        raise UsageError("--reverse cannot lead changes back through a transform", remedy="leave one of the two out")
    if settings.mode not in (None, "CDC"):
        raise UsageError(f"--reverse does not copy, so --mode {settings.mode} cannot work", remedy="leave --mode out")
    return replace(
        settings, selection=settings.selection.reversed(), mode="CDC", flow=reverse_name(settings), restart=False
    )


async def keep_way_back(
    sink: Connector,
    capabilities: wire.Capabilities.Source,
    state: State,
    forward: Flow,
    settings: Settings,
    tracker: Tracker,
) -> None:
    """Saves the destination's position now that nothing is written to it any more; a failure to is only a warning."""
    back = settings.selection.reversed()
    asked = asyncio.create_task(make_plan(sink, capabilities, back, copy=False, updates=True))
    await asyncio.wait([asked], timeout=WAY_BACK_SECONDS)
    await cancel([asked])
    try:
        plan = await asked
    except (DsyncError, asyncio.CancelledError) as error:
        # what this run set out to do holds all the same
        reason = error.message if isinstance(error, DsyncError) else "the destination does not answer in time"
        tracker.warn(f"no position was kept for --reverse: {reason}")
        return
    flow = reverse_flow(forward, settings)
    await state.lock(flow.id)
    await state.begin(flow, [], plan.positions)
