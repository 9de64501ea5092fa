"""How long the source keeps changes, against how long they are needed: warns in time, stops when they are gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from dsync import wire
from dsync.connector import Connector
from dsync.errors import DsyncError, GapError
from dsync.flow.lag import seconds
from dsync.progress import Tracker
from dsync.progress.text import duration, number

logger = logging.getLogger(__name__)

# Seconds between two looks: a part of what is kept, within bounds.
LOOKS, SHORTEST_PAUSE, LONGEST_PAUSE = 20, 0.5, 30.0
# What a copy is taken to do, before it has shown what it does: a slow one, over a network, with large documents.
ASSUMED_DOCUMENTS_A_SECOND = 5_000
# Changes that are this old, as a part of how old they may become, are warned about.
WORRYING_SHARE = 0.5
ROOM = "let the source keep changes for longer"


class History(Struct, frozen=True):
    """The changes that a source keeps; moments in seconds since the epoch, by its clock."""

    now: float
    # Changes from then on can be followed.
    start: float
    # How long a change is kept, as far as that can be foreseen.
    kept_seconds: float

    def expires_in(self, position: float) -> float:
        """In how many seconds the changes since a moment will be gone, by the source's estimate."""
        return position + self.kept_seconds - self.now


async def history_of(source: Connector) -> History | None:
    """What the source says; None where it does not."""
    info = await source.GetInfo(wire.GetInfoRequest(history=True))
    if not info.HasField("history_start"):
        return None
    now = seconds(info.now) if info.HasField("now") else time.time()
    start = seconds(info.history_start)
    return History(now, start, max(info.history_seconds, now - start))


def refuse_expired(history: History, positions: Iterable[float]) -> None:
    """Raises GapError where changes since one of the moments are no longer kept; 0 stands for one that is not known."""
    for position in positions:
        if position and history.start > position:
            late = duration(history.now - position)
            raise GapError(
                f"the source no longer keeps the changes since the position of the change stream, {late} ago",
                remedy=f"{ROOM}, then copy again with --restart; --mode InitialSync copies without following",
            )


async def foresee(source: Connector, documents: int, tracker: Tracker) -> None:
    """Notes, before a copy of so many documents, how long the source keeps changes, with a warning where that may not do."""
    history = await history_of(source)
    if history is None:
        return
    tracker.kept_seconds = history.kept_seconds
    warning = too_many(history, documents)
    if warning:
        tracker.warn(warning)


def too_many(history: History, documents: int) -> str:
    """A warning before a copy of so many documents that may take longer than changes are kept; empty where all is well."""
    needed = documents / ASSUMED_DOCUMENTS_A_SECOND
    if needed <= history.kept_seconds:
        return ""
    return (
        f"about {number(documents, 'document')} take {duration(needed)} at {ASSUMED_DOCUMENTS_A_SECOND:,} a second, but the"
        f" source keeps changes for about {duration(history.kept_seconds)}: {ROOM}"
    )


class Expiry:
    """Watches the positions of a run; `remaining` says in how many seconds a copy will end, None where that is not known."""

    def __init__(
        self,
        source: Connector,
        positions: Callable[[], Iterable[float]],
        tracker: Tracker,
        remaining: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.source = source
        self.positions = positions
        self.tracker = tracker
        self.remaining = remaining

    async def watch(self) -> None:
        """Looks for ever; returns where the source does not say how long it keeps changes. Raises GapError."""
        while True:
            pause = LONGEST_PAUSE
            try:
                history = await history_of(self.source)
                if history is None:
                    return
                self.judge(history)
                pause = min(max(history.kept_seconds / LOOKS, SHORTEST_PAUSE), LONGEST_PAUSE)
            except GapError:
                raise
            except DsyncError as error:
                logger.debug("the source does not say how long it keeps changes: %s", error.message)
            await asyncio.sleep(pause)

    def judge(self, history: History) -> None:
        """Warns, once, where the changes will be gone before they are read. Raises GapError where they are."""
        known = [position for position in self.positions() if position]
        refuse_expired(history, known)
        if not known:
            return
        left, kept = history.expires_in(min(known)), duration(history.kept_seconds)
        needed = self.remaining()
        if needed is not None and needed > left:
            self.tracker.warn_once(
                "expiry",
                f"the copy will take {duration(needed)} more at its present rate, but the changes since its beginning"
                f" are kept for only about {duration(max(left, 0))} more: {ROOM}",
            )
        elif needed is None and left < WORRYING_SHARE * history.kept_seconds:
            late = duration(history.now - min(known))
            self.tracker.warn_once(
                "expiry",
                f"the changes of the last {late} are still to be applied, and the source keeps changes for about {kept}: {ROOM}",
            )
