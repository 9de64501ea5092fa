"""Copies a plan: copiers draw partitions, hand step after step to workers, and keep every checkpoint."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from dsync.cancel import cancel
from dsync.errors import DsyncError, TransientError, decisive
from dsync.flow.leading import Leading
from dsync.flow.targets import Targets
from dsync.progress import Tracker
from dsync.state import Progress, State
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Step
from dsync.workers.here import Crew, Worker, WorkerDied, to_error

logger = logging.getLogger(__name__)

# Seconds: checkpoints are committed together this often, or less often where the state is slow, so that it takes no more than
# this share of the time. A kill costs what was copied since.
COMMIT_SECONDS, SLOWEST_COMMIT_SECONDS, COMMIT_SHARE = 0.02, 0.06, 0.15
# Seconds that steps get to come to their end after a stop was asked for.
DRAIN_SECONDS = 4.0
# Opening both ends once more, in another process, takes longer than to copy so much.
SMALL_BYTES, SMALL_DOCUMENTS = 4 << 20, 10_000
# Workers that may end, one after the other, over one step.
MOST_DEATHS = 5


class Copy:
    """The copy of one plan.

    Namespaces are finished once all partitions that write to them are done, which with a transform can be any. After a failure no
    new step begins, those under way end and are saved.
    """

    def __init__(
        self,
        flow_id: str,
        plan: Sequence[Progress],
        state: State,
        tracker: Tracker,
        stop: asyncio.Event,
        targets: Targets,
        *,
        transforms: bool = False,
    ) -> None:
        self.flow_id = flow_id
        self.plan = plan
        self.state = state
        self.crew: Crew
        self.tracker = tracker
        self.stop = stop
        self.targets = targets
        self.transforms = transforms
        self.errors: list[DsyncError] = []
        self._todo = iter([progress for progress in plan if not progress.checkpoint.done])
        self._open = Counter(self._group(p.planned) for p in plan if not p.checkpoint.done)
        self._seen: set[str] = set()
        self._unsaved: dict[int, tuple[PlannedPartition, Checkpoint]] = {}
        self._leading = None if transforms else Leading(plan)
        self._preparing: set[asyncio.Task[None]] = set()
        self._committing = asyncio.Lock()

    async def run(self, crew: Crew, copiers: int) -> None:
        """Copies with so many partitions at a time, until all is done, something failed or `stop` is set.

        Raises the failure that decides. Returns with `stop` set when it was stopped; what is saved is right in every case.
        """
        for group in sorted({self._group(progress.planned) for progress in self.plan} - set(self._open)):
            await self._finish(group)
        self.crew = crew
        tasks = [asyncio.create_task(self._copier()) for _ in range(min(copiers, len(self.plan)))]
        commits = asyncio.create_task(self._commit_often())
        drain = asyncio.create_task(self._cut_short(tasks))
        try:
            await self._gather(tasks, commits)
        finally:
            beside = [*tasks, commits, drain, *self._preparing]
            await cancel(beside)
            await asyncio.gather(*beside, return_exceptions=True)
            await self._commit()
        if self.errors:
            raise decisive(self.errors)

    async def _gather(self, tasks: Sequence[asyncio.Task[None]], commits: asyncio.Task[None]) -> None:
        """Waits for all copiers, or for a state that cannot be kept any more."""
        copied = asyncio.gather(*tasks)
        copied.add_done_callback(_heard)
        try:
            watched: set[asyncio.Future[Any]] = {copied, commits}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if not copied.done():
                await cancel(tasks)
                await commits
            await copied
        except asyncio.CancelledError:
            if not self.stop.is_set():
                raise

    async def _cut_short(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        await self.stop.wait()
        await asyncio.sleep(DRAIN_SECONDS)
        await cancel(tasks)

    def _group(self, planned: PlannedPartition) -> str:
        """Partitions of one group are through before what they write to is finished."""
        return "" if self.transforms else planned.destination

    def remaining(self) -> int:
        """Partitions that are not done."""
        return self._open.total()

    @property
    def is_small(self) -> bool:
        """Whether what is left when the run begins is known to be little."""
        left = [progress.planned.partition for progress in self.plan if not progress.checkpoint.done]
        if all(each.estimated_bytes for each in left):
            return sum(each.estimated_bytes for each in left) < SMALL_BYTES
        return (
            all(each.estimated_count for each in left) and sum(each.estimated_count for each in left) < SMALL_DOCUMENTS
        )

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
                admitted = self.targets.admitted if self.transforms else ()
                result = await worker.step(Step(planned=planned, checkpoint=at, admitted=admitted), keep)
            except WorkerDied:
                deaths += 1
                refuse_deadly(planned, deaths)
                worker = await self.crew.replace(worker)
                continue
            deaths = 0
            keep(result.checkpoint)
            self.tracker.wrote_beyond |= result.wrote_beyond
            await self.targets.admit(result.unadmitted)
            if result.HasField("failure"):
                raise to_error(result.failure)
        if at.done:
            await self._end_partition(planned, at)
        return worker

    async def _commit_often(self) -> None:
        pause = COMMIT_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(pause)
            began = loop.time()
            await self._commit()
            took = loop.time() - began
            pause = min(max(COMMIT_SECONDS, took / COMMIT_SHARE), SLOWEST_COMMIT_SECONDS)

    async def _commit(self) -> None:
        async with self._committing:
            unsaved, self._unsaved = self._unsaved, {}
            written = {each.namespace for _, reached in unsaved.values() for each in reached.written if each.documents}
            for name in sorted(written - self._seen):
                await self.targets.first_write(name)
                self._seen.add(name)
            if unsaved:
                await self.state.save(self.flow_id, {number: reached for number, (_, reached) in unsaved.items()})

    async def _end_partition(self, planned: PlannedPartition, at: Checkpoint) -> None:
        group = self._group(planned)
        self._open[group] -= 1
        if self._leading is not None:
            self._leading.end(group, planned.number, at)
        if not self._open[group]:
            await self._finish(group)
        elif self._leading is not None and not self._preparing and (reached := self._leading.news(group)):
            # beside everything else, and one word at a time
            task = asyncio.create_task(self.targets.prepare_finish(group, reached))
            self._preparing.add(task)
            task.add_done_callback(self._preparing.discard)

    async def _finish(self, group: str) -> None:
        await self._commit()
        names = [group] if not self.transforms else [n for n, at in self.tracker.namespaces.items() if not at.moved]
        for name in names:
            await self.targets.finish(name)
            self.tracker.finish(name)
        if self.transforms:
            await self.targets.retire()


def refuse_deadly(planned: PlannedPartition, deaths: int) -> None:
    """Raises TransientError for a step over which workers keep ending."""
    logger.warning("a worker ended unexpectedly; its steps are taken again elsewhere")
    if deaths >= MOST_DEATHS:
        raise TransientError(
            f"{deaths} workers in a row ended over partition {planned.number} of {planned.partition.namespace!r}",
            remedy="see what ends them, memory above all",
        )


def _heard(copied: asyncio.Future[Any]) -> None:
    # or asyncio would report it as an exception that nobody retrieved, where the run is cancelled while it waits
    if not copied.cancelled():
        copied.exception()
