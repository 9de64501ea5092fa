"""How far change streams are behind their source: in time, by the source's clock, and in changes, by the source's count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from dsync import wire
from dsync.cancel import cancel
from dsync.connector import Connector
from dsync.errors import DsyncError
from dsync.progress import StreamProgress, Tracker
from dsync.wire.gen.dsync.v1.flow_pb2 import Position

logger = logging.getLogger(__name__)

# Seconds between two looks at the source's clock; when a run waits to end.
TICK_SECONDS, HASTY_SECONDS = 1.0, 0.1
# A stream this far behind has its changes counted by the source; of one that is closer, what was read ahead tells.
COUNT_FROM_SECONDS = 2.0


class Followed(Protocol):
    """A change stream that is followed."""

    position: Position
    progress: StreamProgress


async def source_time(source: Connector) -> float:
    """The clock that the times of updates come from, in seconds since the epoch."""
    info = await source.GetInfo(wire.GetInfoRequest())
    return seconds(info.now) if info.HasField("now") else time.time()


def seconds(moment: Timestamp) -> float:
    """Since the epoch."""
    return moment.seconds + moment.nanos / 1e9


class Lag:
    """Keeps the tracker told how far the streams are behind. `counts`: the source says how many changes there are."""

    def __init__(self, source: Connector, followed: Sequence[Followed], tracker: Tracker, *, counts: bool) -> None:
        self.source = source
        self.followed = followed
        self.tracker = tracker
        self.counts = counts
        self._counting: dict[int, asyncio.Task[None]] = {}

    async def watch(self, *, hasty: bool = False) -> None:
        """Looks again and again, for ever; a source that does not answer is asked again."""
        try:
            while True:
                try:
                    self.tracker.read_source_time(await source_time(self.source))
                except DsyncError as error:
                    logger.debug("the source's clock cannot be read: %s", error.message)
                for number, each in enumerate(self.followed):
                    self._count_if_behind(number, each)
                await asyncio.sleep(HASTY_SECONDS if hasty else TICK_SECONDS)
        finally:
            await cancel(list(self._counting.values()))
            await asyncio.gather(*self._counting.values(), return_exceptions=True)

    def _count_if_behind(self, number: int, each: Followed) -> None:
        progress, now = each.progress, self.tracker.source_time
        if progress.reached(now) and number in self._counting:
            self._counting.pop(number).cancel()
        elif self.counts and not progress.reached(now - COUNT_FROM_SECONDS) and number not in self._counting:
            self._counting[number] = asyncio.create_task(self._count(each))

    async def _count(self, each: Followed) -> None:
        """Lets the source count from what is durable now on."""
        partition, before = each.position.partition, each.progress.events
        cursor = each.position.cursor or partition.cursor
        try:
            async for answer in self.source.StreamLSN(
                wire.StreamLSNRequest(namespaces=partition.namespaces, cursor=cursor)
            ):
                each.progress.know_of(before + answer.lsn)
        except DsyncError as error:
            logger.debug("the source's changes cannot be counted: %s", error.message)
