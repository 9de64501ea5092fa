"""The workers of a run on a Dask cluster: who is there takes part, who is lost is waited out and replaced."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from dsync.cancel import cancel
from dsync.engine import DaskEngine
from dsync.errors import DsyncError, EndpointError, TransientError
from dsync.lifecycle import Opened
from dsync.workers.here import Worker, to_error, to_failure
from dsync.workers.link import Unreachable
from dsync.workers.member import Job, Member

logger = logging.getLogger(__name__)

# Seconds between two looks at who is there.
LOOK_SECONDS = 1.0
# Seconds that the first one may take to open its ends.
ENLIST_SECONDS = 60.0


class Cluster(Opened):
    """A Crew of Dask workers: a copier takes a thread of one, the emptiest first, and waits where none is free."""

    def __init__(self, engine: DaskEngine, job: Job, retry_for: float, stop: asyncio.Event) -> None:
        """`stop` ends the wait for first workers: there is nothing to be done any more."""
        self.engine = engine
        self.stop = stop
        self.job = job
        self.retry_for = retry_for
        # Of every member that may still write, by address.
        self.members: dict[str, Member] = {}
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._failure: DsyncError | None = None
        # Whether no worker writes any more.
        self.ended = False
        self._closing = False
        # Addresses of those that do not fit.
        self._left_out: set[str] = set()
        # The first members have been looked at: from now on one that does not fit is left out.
        self._settled = False

    async def open(self) -> None:
        """Connects, waits for workers, checks them. Raises EndpointError where there are none, or one does not fit."""
        await self.job.link.open()
        self._watch = asyncio.create_task(self._watch_workers())
        await self._first_members()

    async def close(self) -> None:
        """Returns when no worker writes any more; repeatable."""
        self._closing = True
        if self._watch is not None:
            await cancel([self._watch])
            await asyncio.gather(self._watch, return_exceptions=True)
        for member in self.members.values():
            member.lose()
        await asyncio.gather(*self._lives.values(), return_exceptions=True)
        self.ended = True
        await self.job.link.close()

    async def _first_members(self) -> None:
        end = time.monotonic() + self.engine.wait
        while not self._ready() and not self._failure and not self.stop.is_set():
            if time.monotonic() >= end + (ENLIST_SECONDS if self.members else 0):
                raise EndpointError(
                    f"the Dask scheduler at {self.engine.address} has no workers{' that answer' if self.members else ''}",
                    remedy=f"start some: dask worker {self.engine.address}",
                )
            await self._change()
        while self._undecided() and not self._failure and not self.stop.is_set():
            await self._change()
        if self._failure:
            raise self._failure
        self._settled = True
        logger.info("%d Dask workers copy", len(self._ready()))

    def _undecided(self) -> bool:
        return any(not (member.ready or member.lost.is_set()) for member in self.members.values())

    async def _change(self) -> None:
        """Waits until something may be otherwise."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _ready(self) -> list[Member]:
        return [member for member in self.members.values() if member.ready]

    def _beside(self, member: Member) -> tuple[int, int]:
        name = member.facts.network if member.facts else ""
        return len(self.members), sum(m.facts is not None and m.facts.network == name for m in self.members.values())

    async def _watch_workers(self) -> None:
        """Takes in who is there, gives up who is not, and connects again; a failure is kept for the copiers."""
        alone_since = time.monotonic()
        try:
            while True:
                try:
                    self._take_in(await self.job.link.workers())
                except Unreachable as error:
                    logger.warning("the Dask scheduler at %s does not answer: %s", self.engine.address, error)
                    await self._reconnect()
                    alone_since = time.monotonic()
                if self._ready() or not self._settled:
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > self.engine.wait and not self.members:
                    raise TransientError(
                        f"the Dask scheduler at {self.engine.address} has no workers any more",
                        remedy="start some",
                    )
                await asyncio.sleep(LOOK_SECONDS)
        except Exception as error:  # noqa: BLE001 - a defect ends the run too
            self._fail(to_error(to_failure(error)))

    def _fail(self, error: DsyncError) -> None:
        self._failure = self._failure or error
        self._wake()

    async def _reconnect(self) -> None:
        """Gives up all members, since they cannot hear of us; tries for as long as a store's connection is tried again."""
        for member in self.members.values():
            member.lose()
        self._wake()
        end = time.monotonic() + self.retry_for
        while True:
            try:
                await self.job.link.open()
            except EndpointError as error:
                if time.monotonic() >= end:
                    raise TransientError(error.message, remedy=error.remedy) from error
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return

    def _take_in(self, found: dict[str, int]) -> None:
        for address, member in self.members.items():
            if address not in found:
                member.lose()
        for address, slots in found.items():
            room = self.job.shares.most is None or len(self.members) < self.job.shares.most
            if room and address not in self.members and address not in self._left_out:
                member = Member(self.job, address, max(1, slots), self._beside)
                self.members[address] = member
                self._lives[address] = asyncio.create_task(self._live(member))

    async def _live(self, member: Member) -> None:
        """A member's life, from the first look to the certainty that it writes no more."""
        try:
            await member.unless_lost(member.enlist())
            self._wake()
            await member.keep()
            if not self._closing:
                logger.warning("the Dask worker %s is lost", member.address)
        except Unreachable as error:
            logger.info("the Dask worker %s does not answer: %s", member.address, error)
        except Exception as error:  # noqa: BLE001 - a defect here is no reason to lose track of a worker
            self._refuse(member, to_error(to_failure(error)))
        finally:
            self._wake()
            await member.end()
            self.members.pop(member.address, None)
            self._lives.pop(member.address, None)
            self._wake()

    def _refuse(self, member: Member, error: DsyncError) -> None:
        self._left_out.add(member.address)
        if self._settled:
            logger.warning("%s; it is left out", error)
        else:
            self._fail(error)

    async def join(self) -> Worker:
        """See Crew."""
        while True:
            if self._failure:
                raise self._failure
            free = [member for member in self._ready() if member.load < member.slots]
            if free:
                member = min(free, key=lambda member: member.load)
                member.load += 1
                return member
            await self._changed.wait()

    def leave(self, worker: Worker) -> None:
        """See Crew."""
        worker.load -= 1
        self._wake()

    def balance(self, worker: Worker) -> Worker:
        """See Crew: another one that has at least two copiers less, and a thread for one."""
        free = [member for member in self._ready() if member.load < member.slots and member.load <= worker.load - 2]
        if not free:
            return worker
        member = min(free, key=lambda member: member.load)
        self.leave(worker)
        member.load += 1
        return member

    async def replace(self, worker: Worker) -> Worker:
        """See Crew."""
        self.leave(worker)
        await worker.close()
        return await self.join()
