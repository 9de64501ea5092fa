"""Change streams of made-up sources: ticks, each with a number of updates that follows from its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec.structs import replace

from connectors.random import cursors
from connectors.random.cursors import Lane
from connectors.random.settings import Settings, number
from dsync import wire
from dsync.errors import CursorError

# Positions of silent streams come no more often than this.
IDLE_SECONDS = 0.2
# A stream that falls silent holds updates of the past, from 2020-01-01 on: a run "until caught up" takes all of them.
BACKLOG_EPOCH_SECONDS = 1_577_836_800
TICK = 1

MakeUpdate = Callable[[Lane, int, "wire.Type"], wire.Update | None]


class Ticks:
    """Follows change streams ("lanes") in lock-step, a tick of each in turn."""

    def __init__(self, settings: Settings, digest: str, make_update: MakeUpdate) -> None:
        self._settings = settings
        self._namespaces = settings.namespaces()
        self._digest = digest
        self._make_update = make_update

    def check(self, lane: Lane) -> None:
        """Raises CursorError for a place that no stream can be at."""
        least, most = lane.tick, lane.tick * self._settings.max_updates_per_tick
        if lane.sent >= self._count(lane) or not least <= lane.before <= most:
            raise CursorError("the cursor is of no place in the change stream")

    async def updates(self, lanes: list[Lane], data_type: wire.Type) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """Batches of updates, for ever; positions alone once all lanes are silent."""
        while True:
            for index in self._due(lanes):
                for updates, lane in self._batches(lanes[index], data_type):
                    time = self._time(lanes[index])
                    lanes[index] = lane
                    yield wire.StreamUpdatesResponse(
                        updates=updates,
                        namespace=self._namespaces[lane.namespace],
                        next_cursor=cursors.write_lanes(self._digest, lanes),
                        time=time,
                    )
            if all(map(self._is_silent, lanes)):
                yield wire.StreamUpdatesResponse(next_cursor=cursors.write_lanes(self._digest, lanes), time=_now())
            await self._pause(lanes)

    async def counts(self, lanes: list[Lane]) -> AsyncIterator[wire.StreamLSNResponse]:
        """The number of updates from there on, after each tick, for ever."""
        start = sum(lane.before + lane.sent for lane in lanes)
        while True:
            for index in self._due(lanes):
                lanes[index] = self._next_tick(lanes[index])
            total = sum(lane.before + lane.sent for lane in lanes)
            yield wire.StreamLSNResponse(lsn=total - start, next_cursor=cursors.write_lanes(self._digest, lanes))
            await self._pause(lanes)

    def _due(self, lanes: list[Lane]) -> list[int]:
        """Lanes that are furthest behind: a position may lie inside a tick."""
        loud = [index for index, lane in enumerate(lanes) if not self._is_silent(lane)]
        earliest = min((lanes[index].tick for index in loud), default=0)
        return [index for index in loud if lanes[index].tick == earliest]

    def _batches(self, lane: Lane, data_type: wire.Type) -> list[tuple[list[wire.Update], Lane]]:
        """What is left of the lane's tick, in batches, each with the place after it."""
        count, batches = self._count(lane), []
        while True:
            end = min(lane.sent + self._settings.update_batch_size, count)
            made = [self._make_update(lane, lane.before + at, data_type) for at in range(lane.sent, end)]
            lane = replace(lane, sent=end) if end < count else self._next_tick(lane)
            batches.append(([update for update in made if update is not None], lane))
            if end == count:
                return batches

    def _next_tick(self, lane: Lane) -> Lane:
        return replace(lane, tick=lane.tick + 1, sent=0, before=lane.before + self._count(lane))

    def _count(self, lane: Lane) -> int:
        place = (self._settings.seed, lane.namespace, lane.partition, lane.tick, TICK)
        return 1 + number(*place) % self._settings.max_updates_per_tick

    def _is_silent(self, lane: Lane) -> bool:
        return 0 < self._settings.update_duration <= lane.tick

    def _time(self, lane: Lane) -> Timestamp:
        if not self._settings.update_duration:
            return _now()
        time = Timestamp()
        time.FromMilliseconds(BACKLOG_EPOCH_SECONDS * 1000 + int(lane.tick * self._settings.stream_tick))
        return time

    async def _pause(self, lanes: list[Lane]) -> None:
        seconds = self._settings.stream_tick / 1000
        await asyncio.sleep(max(seconds, IDLE_SECONDS) if all(map(self._is_silent, lanes)) else seconds)


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
