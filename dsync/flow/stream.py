"""Follows change streams: each reads ahead, writes batches, and saves a position only when all before it is durable."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dsync import wire
from dsync.cancel import cancel
from dsync.connector import Connector
from dsync.errors import ConflictError, DsyncError, LimitError, TransientError, decisive
from dsync.flow.expiry import Expiry
from dsync.flow.lag import Lag, seconds, source_time
from dsync.flow.made import Made
from dsync.flow.updates import drops, requests, runs, whole_updates
from dsync.namespaces import Selection
from dsync.progress import StreamProgress, Tracker
from dsync.state import State
from dsync.wire.gen.dsync.v1.flow_pb2 import Position

if TYPE_CHECKING:
    from dsync.flow.transform import Stage

logger = logging.getLogger(__name__)

# Of one stream, read and not yet durable; a batch holds no more either.
AHEAD_UPDATES, AHEAD_BYTES = 10_000, 16 << 20
# What may wait for a later change that sets a unique value free, before it is taken for a conflict that stays.
CONFLICT_UPDATES, CONFLICT_BYTES = 100_000, 32 << 20
# A run that has caught up takes this long for what came meanwhile; a source that is written to all the time always has more.
MOMENT_SECONDS = 2.5
# Seconds to wait before a stream that ended or failed is opened again: random up to a bound that doubles.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 16.0


class StreamSettings(Struct, frozen=True):
    """What all streams of a run have in common; times in seconds."""

    type: wire.Type
    retry_for: float
    # How often positions are saved.
    save_every: float = 1.0
    # Documents that a run may delete; None: any number.
    max_delete: int | None = None
    # The source offers StreamLSN.
    counts: bool = False


class Applied(Struct, frozen=True):
    """Of updates that were applied: how many were set aside, and of how many a transform made nothing."""

    set_aside: int = 0
    filtered: int = 0


class Ahead:
    """Answers that were read and are not yet taken, bounded by updates and bytes."""

    def __init__(self) -> None:
        self._answers: deque[wire.StreamUpdatesResponse] = deque()
        self._updates = self._bytes = 0
        self._changed = asyncio.Condition()

    async def put(self, answer: wire.StreamUpdatesResponse) -> None:
        """Waits for room; a single answer of any size fits where there is nothing."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._updates < AHEAD_UPDATES and self._bytes < AHEAD_BYTES)
            self._answers.append(answer)
            self._updates += len(answer.updates)
            self._bytes += answer.ByteSize()
            self._changed.notify_all()

    async def take(self) -> list[wire.StreamUpdatesResponse]:
        """All that is there, at once when there is anything: updates never wait for company."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._answers))
            answers, self._answers = list(self._answers), deque()
            self._updates = self._bytes = 0
            self._changed.notify_all()
            return answers


class Follower:
    """Follows one change stream from its position on."""

    def __init__(
        self,
        source: Connector,
        sink: Connector,
        settings: StreamSettings,
        position: Position,
        selection: Selection,
        progress: StreamProgress,
        allow_deletes: Callable[[int], None],
        stage: Stage | None = None,
    ) -> None:
        self.source = source
        self.sink = sink
        self.settings = settings
        # Everything before it is durable in the sink.
        self.position = position
        self.selection = selection
        self.progress = progress
        self.allow_deletes = allow_deletes
        self.stage = stage
        self._ahead = Ahead()
        self._read_events = 0
        self._read_to = position.cursor or position.partition.cursor

    async def run(self) -> None:
        """Follows for ever. Raises the first failure that is not worth another try."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            await asyncio.gather(*tasks)
        finally:
            await cancel(tasks)
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        pause, failing_since = FIRST_PAUSE, None
        while True:
            before = self._read_to
            try:
                await self._read_once()
                logger.warning("a change stream ended; it is opened again where it ended")
            except TransientError as error:
                failing_since = time.monotonic() if failing_since is None or self._read_to != before else failing_since
                if time.monotonic() - failing_since >= self.settings.retry_for:
                    raise
                logger.warning("%s; the change stream is opened again", error.message)
            pause = FIRST_PAUSE if self._read_to != before else min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads reconnects, guards nothing

    async def _read_once(self) -> None:
        partition = self.position.partition
        request = wire.StreamUpdatesRequest(
            namespaces=partition.namespaces,
            type=self.stage.how.request if self.stage else self.settings.type,
            cursor=self._read_to,
            partition_header=partition.partition_header,
            partition_value=partition.partition_value,
        )
        async for answer in self.source.StreamUpdates(request):
            if self.selection.excludes(answer.namespace):
                leave_out(answer)
            self._read_events += events(answer)
            self.progress.know_of(self._read_events)
            await self._ahead.put(answer)
            self._read_to = answer.next_cursor

    async def _write(self) -> None:
        while True:
            self._advance(*await self._apply(await self._ahead.take()))

    async def _apply(
        self, answers: list[wire.StreamUpdatesResponse]
    ) -> tuple[list[wire.StreamUpdatesResponse], Applied]:
        """Applies the answers, and with them later ones as long as unique values are taken that those may set free.

        A document is sent as it is when it is looked up, so it may have a value whose former owner changes only later in the
        stream. Written again as one batch, the newest of each id wins, as ever. Answers what was applied.
        """
        new, again = answers, False
        while True:
            await self._count_deletes(new)
            last_try = again and not _may_wait(answers)
            try:
                applied = [await self._apply_run(run, again, last_try) for run in runs(answers)]
                return answers, Applied(sum(each.set_aside for each in applied), sum(each.filtered for each in applied))
            except ConflictError as error:
                if last_try:
                    raise
                logger.info("%s; it waits for the changes that follow", error.message)
            # written together, they can make room for each other
            new = await self._ahead.take() if again and _may_wait(answers) else []
            answers, again = [*answers, *new], True

    async def _apply_run(
        self, answers: Sequence[wire.StreamUpdatesResponse], together: bool, last_try: bool
    ) -> Applied:
        """Writes side by side."""
        made = await self._made(answers)
        writes = [
            self.sink.WriteUpdates(request)
            for name, updates in made.updates.items()
            for request in requests(name, self.settings.type, updates, together=together, last_try=last_try)
        ]
        results = await asyncio.gather(*writes, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            raise min(errors, key=_weight)
        refused = sum(result.set_aside for result in results if isinstance(result, wire.WriteUpdatesResponse))
        return Applied(refused + made.failed, made.filtered)

    async def _made(self, answers: Sequence[wire.StreamUpdatesResponse]) -> Made:
        """The updates by the destination's namespaces, through the transform where there is one."""
        by_source: dict[str, list[wire.Update]] = {}
        for answer in answers:
            if answer.updates:
                by_source.setdefault(answer.namespace, []).extend(answer.updates)
        made = Made()
        for name, updates in by_source.items():
            if self.stage is None:
                made.add(Made(updates={self.selection.destination(name): updates}))
            else:
                whole = await whole_updates(self.source, name, updates, self.stage.how.request)
                made.add(await self.stage.updates(self.selection.destination(name), whole))
        return made

    async def _count_deletes(self, answers: Sequence[wire.StreamUpdatesResponse]) -> None:
        for run in runs(answers):
            deletes = sum(update.type == wire.DELETE for answer in run for update in answer.updates)
            self.allow_deletes(deletes + await self._dropped(run))

    async def _dropped(self, answers: Sequence[wire.StreamUpdatesResponse]) -> int:
        """How many documents the drops among the answers remove, as far as that is counted at all."""
        if self.settings.max_delete is None:
            return 0
        names = [self.selection.destination(answer.namespace) for answer in answers if drops(answer)]
        asked = [self.sink.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=name)) for name in names]
        return sum(answer.count for answer in await asyncio.gather(*asked))

    def _advance(self, answers: Sequence[wire.StreamUpdatesResponse], applied: Applied) -> None:
        last = answers[-1]
        count = sum(len(answer.updates) for answer in answers)
        position = Position(
            number=self.position.number,
            partition=self.position.partition,
            cursor=last.next_cursor,
            updates=self.position.updates + count,
            time=self.position.time,
            set_aside=self.position.set_aside + applied.set_aside,
            filtered=self.position.filtered + applied.filtered,
        )
        for answer in answers:
            if answer.HasField("time"):
                position.time.CopyFrom(answer.time)
        self.position = position
        self.progress.applied(count, applied.set_aside, applied.filtered, sum(map(events, answers)))
        self.progress.came_to(seconds(position.time), idle=is_idle(last), timed=last.HasField("time"))


def is_idle(answer: wire.StreamUpdatesResponse) -> bool:
    """Whether an answer says that there was nothing more."""
    return not answer.updates and not answer.namespace


def events(answer: wire.StreamUpdatesResponse) -> int:
    """How many changes of the source an answer stands for."""
    return answer.events or len(answer.updates)


def leave_out(answer: wire.StreamUpdatesResponse) -> None:
    """Takes the updates out of an answer; what is left is its place in the stream."""
    answer.events = events(answer)
    answer.ClearField("updates")


def _may_wait(answers: Sequence[wire.StreamUpdatesResponse]) -> bool:
    """Whether a conflict may be over with what follows: not where nothing follows, nor for ever."""
    updates, size = sum(len(answer.updates) for answer in answers), sum(answer.ByteSize() for answer in answers)
    return not is_idle(answers[-1]) and updates < CONFLICT_UPDATES and size < CONFLICT_BYTES


def _weight(error: BaseException) -> int:
    """Of several errors the lightest is raised: a conflict, which may pass, last."""
    return isinstance(error, DsyncError) + isinstance(error, ConflictError)


class Stream:
    """All change streams of a flow, side by side."""

    def __init__(
        self,
        flow_id: str,
        source: Connector,
        sink: Connector,
        state: State,
        settings: StreamSettings,
        positions: Sequence[Position],
        selection: Selection,
        tracker: Tracker,
        stage: Stage | None = None,
    ) -> None:
        self.flow_id = flow_id
        self.state = state
        self.settings = settings
        self.tracker = tracker
        self._source = source
        self._deleted = 0
        self._reached_at = 0.0
        self._expiry = Expiry(source, self._places, tracker)
        tracker.follow(len(positions))
        self.followers = [
            Follower(source, sink, settings, position, selection, progress, self._allow_deletes, stage)
            for position, progress in zip(positions, tracker.streams, strict=True)
        ]
        self._lag = Lag(source, self.followers, tracker, counts=settings.counts)
        for position, progress in zip(positions, tracker.streams, strict=True):
            progress.time = seconds(position.time)
        self._saved = {position.number: position.cursor for position in positions}

    def _allow_deletes(self, count: int) -> None:
        self._deleted += count
        most = self.settings.max_delete
        if most is not None and self._deleted > most:
            raise LimitError(
                f"the change stream would delete {self._deleted:,} documents in this run, more than --max-delete {most:,}",
                remedy="look at the source; if it is right, run again with a higher --max-delete",
            )

    async def run(
        self, stop: asyncio.Event, *, until_caught_up: bool, beside: Coroutine[Any, Any, None] | None = None
    ) -> None:
        """Follows until stopped or, on request, until everything up to the source's present time is durable.

        Positions are saved in every case, and are never ahead of what is durable. `beside` goes on as long, and may end before.
        Raises the failure that decides.
        """
        target = await source_time(self._source) if until_caught_up else None
        tasks = [asyncio.create_task(follower.run()) for follower in self.followers]
        more = [beside] if beside else []
        watches = [
            asyncio.create_task(watch)
            for watch in (self._lag.watch(hasty=until_caught_up), self._expiry.watch(), *more)
        ]
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set() and not (target is not None and self._caught_up(target)):
                pause = min(self.settings.save_every, 0.05) if target is not None else self.settings.save_every
                # a watch ends by itself where there is nothing to watch
                failed = [watch for watch in watches if watch.done() and watch.exception()]
                pending = [*tasks, stopped, *(watch for watch in watches if not watch.done())]
                done, _ = await asyncio.wait(pending, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                await self._save()
                if failed or done & {*tasks}:
                    break
        finally:
            await cancel([*tasks, *watches, stopped])
            results = await asyncio.gather(*tasks, *watches, return_exceptions=True)
            await self._save()
        raise_first([r for r in results if isinstance(r, Exception)])

    def _caught_up(self, target: float) -> bool:
        """Whether the target is reached; with what came meanwhile, where that takes a moment, so that one may cut over."""
        if not all(progress.reached(target) for progress in self.tracker.streams):
            return False
        self._reached_at = self._reached_at or time.monotonic()
        known = self.tracker.lag_seconds is not None
        return not known or self.tracker.safe_to_cut_over or time.monotonic() - self._reached_at > MOMENT_SECONDS

    def _places(self) -> list[float]:
        return [seconds(follower.position.time) for follower in self.followers]

    async def _save(self) -> None:
        moved = [f.position for f in self.followers if self._saved[f.position.number] != f.position.cursor]
        if moved:
            await self.state.save_positions(self.flow_id, moved)
            self._saved.update({position.number: position.cursor for position in moved})


def raise_first(failures: list[Exception]) -> None:
    """Raises the failure that decides, if there is any; a defect before everything else."""
    for failure in failures:
        if not isinstance(failure, DsyncError):
            raise failure
    if failures:
        raise decisive([failure for failure in failures if isinstance(failure, DsyncError)])
