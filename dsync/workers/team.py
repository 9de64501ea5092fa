"""The workers of a run: this process, and more processes where they pay."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from dsync.workers import spares
from dsync.workers.cores import Moment
from dsync.workers.here import Here, Near, Worker, WorkerDied
from dsync.workers.process import Process

logger = logging.getLogger(__name__)

# Seconds between two looks at whether another process would pay.
LOOK_SECONDS = 0.03
PATIENT_LOOK_SECONDS = 0.25
# What a copier waits at the most for the process that is about to come: it opens both ends meanwhile.
COMING_SECONDS = 0.25
# Another process pays when this one keeps its core busy, and a core is idle.
BUSY, IDLE_CORES = 0.8, 0.5


class Team:
    """Shares copiers out to workers, evenly; a copier keeps to its worker, whose caches know its partition."""

    def __init__(self, here: Here) -> None:
        self.workers: list[Near] = [here]
        self._here = here
        # Set where a process is on its way, and how many copiers wait for it.
        self._coming: asyncio.Event | None = None
        self._waiting = 0

    async def join(self) -> Near:
        """See Crew: the one with the fewest copiers, be it one that is about to come."""
        if self._coming is not None and self._here.load > self._waiting:
            self._waiting += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._coming.wait(), COMING_SECONDS)
            self._waiting -= 1
        return self._least_loaded()

    def _least_loaded(self) -> Near:
        worker = min(self.workers, key=lambda worker: worker.load)
        worker.load += 1
        return worker

    def leave(self, worker: Worker) -> None:
        """See Crew."""
        worker.load -= 1
        for other in self.workers:
            if self._is_laden(other):
                other.hand_over()

    def _is_laden(self, worker: Worker) -> bool:
        return worker.load - min(worker.load for worker in self.workers) >= 2

    def balance(self, worker: Worker) -> Worker:
        """See Crew: another one where that has at least two copiers less."""
        if not self._is_laden(worker):
            return worker
        worker.load -= 1
        return self._least_loaded()

    async def replace(self, worker: Worker) -> Worker:
        """See Crew: a process that died writes nothing any more."""
        if worker in self.workers and worker is not self._here:
            self.workers.remove(worker)
        self.leave(worker)
        return self._least_loaded()

    async def close(self) -> None:
        """Ends all processes."""
        await asyncio.gather(*(worker.close() for worker in self.workers))

    async def grow(
        self, most: int, start: Callable[[], Process], remaining: Callable[[], int], *, patient: bool = False
    ) -> None:
        """Adds processes, up to `most` workers, whenever this one is busy, a core is idle and enough partitions remain.

        One that stands ready costs so little that an idle core is enough; to be `patient` is to wait for more than that: until the
        work has proven long, and this process its limit.
        Runs until cancelled or full. A process that cannot be started ends the growth: the run goes on with those it has.
        """
        seen = None if patient else spares.ready_since()
        look = PATIENT_LOOK_SECONDS if patient else LOOK_SECONDS
        while len(self.workers) < most:
            if seen is None:
                before = Moment.now()
                await asyncio.sleep(look)
                pays = before.is_busy(BUSY) and before.has_idle(IDLE_CORES)
            else:
                pays, seen = seen.has_idle(IDLE_CORES), None
            if remaining() > len(self.workers) and pays and not await self._add(start()):
                return

    async def _add(self, process: Process) -> bool:
        """Whether the process is one of the workers now."""
        self._coming = asyncio.Event()
        try:
            await process.start()
        except WorkerDied:
            logger.warning("a worker process did not start; going on with %d", len(self.workers))
            await process.close()
            return False
        except BaseException:
            await process.close()
            raise
        else:
            self.workers.append(process)
            if self._here.load - self._waiting >= 2:
                self._here.hand_over()
            logger.info("%d processes copy now", len(self.workers))
            return True
        finally:
            self._coming.set()
            self._coming = None
