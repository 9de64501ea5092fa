"""The workers of a run: this process, and more processes where they pay."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from dsync.workers.here import Here, Worker, WorkerDied
from dsync.workers.process import Process

logger = logging.getLogger(__name__)

# Seconds between two looks at whether another process would pay.
LOOK_SECONDS = 0.03
# Another process pays when this one keeps its core busy, and a core is idle.
BUSY, IDLE_CORES = 0.8, 0.5


class Team:
    """Shares copiers out to workers, evenly; a copier keeps to its worker, whose caches know its partition."""

    def __init__(self, here: Here) -> None:
        self.workers: list[Worker] = [here]
        self._here = here

    async def join(self) -> Worker:
        """See Crew: the one with the fewest copiers."""
        return self._least_loaded()

    def _least_loaded(self) -> Worker:
        worker = min(self.workers, key=lambda worker: worker.load)
        worker.load += 1
        return worker

    def leave(self, worker: Worker) -> None:
        """See Crew."""
        worker.load -= 1
        if self._is_laden(self._here):
            self._here.hand_over()

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

    async def grow(self, most: int, start: Callable[[], Process], remaining: Callable[[], int]) -> None:
        """Adds processes, up to `most` workers, whenever this one is busy, a core is idle and enough partitions remain.

        Runs until cancelled or full. A process that cannot be started ends the growth: the run goes on with those it has.
        """
        while len(self.workers) < most:
            before = _clock()
            await asyncio.sleep(LOOK_SECONDS)
            if remaining() <= len(self.workers) or not _pays(before, _clock()):
                continue
            process = start()
            try:
                await process.start()
            except WorkerDied:
                logger.warning("a worker process did not start; going on with %d", len(self.workers))
                await process.close()
                return
            except BaseException:
                await process.close()
                raise
            self.workers.append(process)
            self._here.hand_over()
            logger.info("%d processes copy now", len(self.workers))


def _clock() -> tuple[float, float, float]:
    """(wall seconds, this process's CPU seconds, idle seconds of all cores)."""
    return time.monotonic(), time.process_time(), _idle_seconds()


def _pays(before: tuple[float, float, float], after: tuple[float, float, float]) -> bool:
    wall, cpu, idle = (late - early for early, late in zip(before, after, strict=True))
    return cpu / wall >= BUSY and idle / wall >= IDLE_CORES


def _idle_seconds() -> float:
    """Idle time of all cores together since boot; where the system does not tell, always enough."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return time.monotonic() * (os.cpu_count() or 1)
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
