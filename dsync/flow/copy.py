"""Copies a plan: copiers draw partitions, hand step after step to workers, and keep every checkpoint."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dsync.cancel import cancel
from dsync.errors import DsyncError, TransientError, decisive
from dsync.progress import Tracker
from dsync.state import Progress, State
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Step
from dsync.workers.here import Crew, Worker, WorkerDied, to_error

logger = logging.getLogger(__name__)

# Seconds: checkpoints are committed together this often, or less often where the state is slow, so that it takes no more than
# this share of the time. A kill costs what was copied since.
COMMIT_SECONDS, SLOWEST_COMMIT_SECONDS, COMMIT_SHARE = 0.02, 0.2, 0.05
# Seconds that steps get to come to their end after a stop was asked for.
DRAIN_SECONDS = 4.0
# Workers that may end, one after the other, over one step.
MOST_DEATHS = 5


class Copy:
    """The copy of one plan.

    `finish(destination namespace)` is awaited once all partitions of a namespace are done; `first_write(namespace)` before
    the first checkpoint of a namespace that has documents is saved. After a failure no new step begins, those under way end
    and are saved.
    """

    def __init__(
        self,
        flow_id: str,
        plan: Sequence[Progress],
        state: State,
        tracker: Tracker,
        stop: asyncio.Event,
        first_write: Callable[[str], Awaitable[None]],
        finish: Callable[[str], Awaitable[None]],
    ) -> None:
        self.flow_id = flow_id
        self.plan = plan
        self.state = state
        self.crew: Crew
        self.tracker = tracker
        self.stop = stop
        self.first_write = first_write
        self.finish = finish
        self.errors: list[DsyncError] = []
        self._todo = iter([progress for progress in plan if not progress.checkpoint.done])
        self._open = Counter(p.planned.destination for p in plan if not p.checkpoint.done)
        self._seen: set[str] = set()
        self._unsaved: dict[int, tuple[PlannedPartition, Checkpoint]] = {}
        self._committing = asyncio.Lock()

    async def run(self, crew: Crew, copiers: int) -> None:
        """Copies with so many partitions at a time, until all is done, something failed or `stop` is set.

        Raises the failure that decides. Returns with `stop` set when it was stopped; what is saved is right in every case.
        """
        for name in sorted({progress.planned.destination for progress in self.plan} - set(self._open)):
            await self._finish(name)
        self.crew = crew
        tasks = [asyncio.create_task(self._copier()) for _ in range(min(copiers, len(self.plan)))]
        commits = asyncio.create_task(self._commit_often())
        drain = asyncio.create_task(self._cut_short(tasks))
        try:
            await self._gather(tasks, commits)
        finally:
            await cancel([*tasks, commits, drain])
            await asyncio.gather(*tasks, commits, drain, return_exceptions=True)
            await self._commit()
        if self.errors:
            raise decisive(self.errors)

    async def _gather(self, tasks: Sequence[asyncio.Task[None]], commits: asyncio.Task[None]) -> None:
        """Waits for all copiers, or for a state that cannot be kept any more."""
        copied = asyncio.gather(*tasks)
        try:
            watched: set[asyncio.Future[Any]] = {copied, commits}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if not copied.done():
                await cancel(tasks)
                # heard, or asyncio would report it as an exception that nobody retrieved
                await asyncio.gather(copied, return_exceptions=True)
                await commits
            await copied
        except asyncio.CancelledError:
            if not self.stop.is_set():
                raise

    async def _cut_short(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        await self.stop.wait()
        await asyncio.sleep(DRAIN_SECONDS)
        await cancel(tasks)

    def remaining(self) -> int:
        """Partitions that are not done."""
        return self._open.total()

    @property
    def _ending(self) -> bool:
        return self.stop.is_set() or bool(self.errors)

    async def _copier(self) -> None:
        worker: Worker | None = None
        try:
            worker = await self.crew.join()
            while not self._ending:
                progress = next(self._todo, None)
                if progress is None:
                    break
                worker = await self._copy_partition(worker, progress.planned, progress.checkpoint)
        except DsyncError as error:
            self.errors.append(error)
        finally:
            if worker is not None:
                self.crew.leave(worker)

    async def _copy_partition(self, worker: Worker, planned: PlannedPartition, at: Checkpoint) -> Worker:
        def keep(reached: Checkpoint) -> None:
            nonlocal at
            self.tracker.advance(planned.destination, at, reached)
            self._unsaved[planned.number] = planned, reached
            at = reached

        deaths = 0
        while not at.done and not self._ending:
            worker = self.crew.balance(worker)
            try:
                result = await worker.step(Step(planned=planned, checkpoint=at), keep)
            except WorkerDied:
                deaths += 1
                refuse_deadly(planned, deaths)
                worker = await self.crew.replace(worker)
                continue
            deaths = 0
            keep(result.checkpoint)
            if result.HasField("failure"):
                raise to_error(result.failure)
        if at.done:
            await self._end_partition(planned.destination)
        return worker

    async def _commit_often(self) -> None:
        pause = COMMIT_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            await self._commit()
            took = time.monotonic() - began
            pause = min(max(COMMIT_SECONDS, took / COMMIT_SHARE), SLOWEST_COMMIT_SECONDS)

    async def _commit(self) -> None:
        async with self._committing:
            unsaved, self._unsaved = self._unsaved, {}
            for planned, reached in unsaved.values():
                if planned.destination not in self._seen and any(written.documents for written in reached.written):
                    await self.first_write(planned.destination)
                    self._seen.add(planned.destination)
            if unsaved:
                await self.state.save(self.flow_id, {number: reached for number, (_, reached) in unsaved.items()})

    async def _end_partition(self, name: str) -> None:
        self._open[name] -= 1
        if not self._open[name]:
            await self._finish(name)

    async def _finish(self, name: str) -> None:
        await self._commit()
        await self.finish(name)
        self.tracker.finish(name)


def refuse_deadly(planned: PlannedPartition, deaths: int) -> None:
    """Raises TransientError for a step over which workers keep ending."""
    logger.warning("a worker ended unexpectedly; its steps are taken again elsewhere")
    if deaths >= MOST_DEATHS:
        raise TransientError(
            f"{deaths} workers in a row ended over partition {planned.number} of {planned.partition.namespace!r}",
            remedy="see what ends them, memory above all",
        )
