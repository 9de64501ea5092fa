"""A Dask worker as the coordinator sees it: looked at, given a process, kept alive by grants, and surely ended."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from dsync.errors import DsyncError
from dsync.flow.ends import Assignment
from dsync.wire.gen.dsync.v1.flow_pb2 import Failure, Step, StepResult
from dsync.workers import hosted
from dsync.workers.cipher import PUBLIC_BYTES, Cipher, Half
from dsync.workers.grant import DRIFT, Grant
from dsync.workers.ground import SEEN_SECONDS, Facts, Ground, look
from dsync.workers.here import Report, WorkerDied, to_error
from dsync.workers.link import Link, Unreachable
from dsync.workers.sealed import Sealed
from dsync.workers.shares import Shares

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Seconds between two looks at a process that starts.
START_SECONDS = 0.2
# Of a lease: how often it is renewed, and how long an answer may take.
RENEWALS, PATIENCE = 4, 3
# Seconds for a process to end.
END_SECONDS = 10.0


class ProcessGone(Unreachable):
    """The Dask worker answers, its process is there no more."""


class Job(Struct, frozen=True):
    """What all members of a run share."""

    link: Link
    assignment: Assignment
    ground: Ground
    shares: Shares
    lease: float
    # Until when this process holds the flow (State.valid_until).
    valid_until: Callable[[], float | None]


class Member:
    """A Worker at a Dask worker. Once it is lost it is never used again: its address gets a new one."""

    def __init__(self, job: Job, address: str, slots: int, beside: Callable[[Member], tuple[int, int]]) -> None:
        """`beside` answers how many members there are, and how many of them on this one's machine."""
        self.job = job
        self.address = address
        # Steps at a time: a step is a task, and takes a thread of the Dask worker.
        self.slots = slots
        self.beside = beside
        self.load = 0
        self.ready = False
        self.lost = asyncio.Event()
        # Set when its process surely writes no more.
        self.over = asyncio.Event()
        self.facts: Facts | None = None
        self._name = uuid.uuid4().hex
        self._cipher: Cipher | None = None
        # Its clock as last read, and when that was here at the latest.
        self._clock = self._read = 0.0
        # Until when its process may write, by this machine's clock.
        self._writes_until = 0.0

    async def enlist(self) -> None:
        """Looks whether the worker can take part and starts its process. Raises Unreachable, or a DsyncError that says why not."""
        with self.job.ground.asked() as request:
            mine = await look(request)
            answer = await self._call(hosted.look, json.dumps(request).encode(), 2 * SEEN_SECONDS + END_SECONDS)
            theirs = self.facts = Facts.from_json(answer.body[PUBLIC_BYTES:])
            self._note(theirs.clock)
            self.job.ground.judge(mine, theirs, request, self.address)
        await self._begin(answer.body[:PUBLIC_BYTES])
        while not await self._renew():  # noqa: ASYNC110 - each look is a message
            await asyncio.sleep(START_SECONDS)
        self.ready = True

    async def _begin(self, public: bytes) -> None:
        while (grant := self._grant()) is None:
            await asyncio.sleep(START_SECONDS)
            self._note(json.loads((await self._call(hosted.renew, b"", END_SECONDS)).body)["clock"])
        begin = {"assignment": self._assignment(), "folder": str(Path.cwd()), "grant": asdict(grant)}
        half = Half()
        self._cipher = half.agree(public)
        await self._call(hosted.begin, half.public + self._cipher.close(json.dumps(begin).encode()), END_SECONDS)
        self.job.shares.confirm(self, grant.documents_per_second)

    def _assignment(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.job.assignment.to_json())
        if path := fields["wrapping"]["dead_letters"]:
            # files on a network file system cannot be appended to from two machines at once
            fields["wrapping"]["dead_letters"] = f"{path}.{self._name[:8]}"
        return fields

    async def _call(self, function: Callable[[Sealed], Any], body: bytes, seconds: float) -> Sealed:
        return await self.job.link.call(function, self.address, Sealed(self._name, body), seconds)

    def _note(self, clock: float) -> None:
        self._clock, self._read = clock, time.monotonic()

    def _grant(self) -> Grant | None:
        """The next grant, from the last reading of the worker's clock; None while others have to give up their share first."""
        lease, end = self.job.lease, self.job.valid_until()
        if end is not None:
            lease = min(lease, end - time.monotonic())
        workers, on_machine = self.beside(self)
        rate = self.job.shares.claim(self, workers)
        if rate < 0:
            return None
        assert self.facts is not None
        gauge_bytes = self.job.shares.gauge_bytes(workers, self.facts.memory, on_machine)
        self._writes_until = max(self._writes_until, self._read + lease * DRIFT)
        return Grant(self._clock + lease, gauge_bytes, rate)

    async def _renew(self) -> bool:
        """Whether its process is ready.

        Raises Unreachable where the process is gone, a DsyncError that says why it could not start.
        """
        grant = self._grant()
        assert grant is not None, "whoever has a share keeps one"
        answer = json.loads((await self._call(hosted.renew, grant.to_json(), self.job.lease / PATIENCE)).body)
        self._note(answer["clock"])
        self.job.shares.confirm(self, grant.documents_per_second)
        if answer["stage"] == "refused":
            kind, message, remedy = answer["failure"]
            error = to_error(Failure(kind=kind, message=message, remedy=remedy))
            raise type(error)(f"the Dask worker {self.address} cannot take part: {error.message}", remedy=error.remedy)
        if answer["stage"] == "gone":
            raise ProcessGone("its process ended")
        return bool(answer["stage"] == "ready")

    async def keep(self) -> None:
        """Renews the grant until the member is lost."""
        while not self.lost.is_set():
            try:
                async with asyncio.timeout(self.job.lease / RENEWALS):
                    await self.lost.wait()
            except TimeoutError:
                await self._renew_or_lose()

    async def _renew_or_lose(self) -> None:
        try:
            await self.unless_lost(self._renew())
        except (Unreachable, DsyncError) as error:
            logger.info("no word from the Dask worker %s: %s", self.address, error)
            if isinstance(error, ProcessGone) or time.monotonic() >= self._writes_until:
                self.lose()

    def lose(self) -> None:
        """Takes no steps any more; those under way end with WorkerDied."""
        self.ready = False
        self.lost.set()

    async def unless_lost(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the work comes to. Raises Unreachable where the member is lost before."""
        task, lost = asyncio.ensure_future(work), asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait([task, lost], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Unreachable("it is lost")
            return task.result()
        finally:
            task.cancel()
            lost.cancel()

    async def step(self, step: Step, report: Report) -> StepResult:
        """See Worker; its result is the one report of it."""
        if not self.ready:
            raise WorkerDied
        assert self._cipher is not None
        message = Sealed(self._name, self._cipher.close(step.SerializeToString()))
        try:
            answer = await self.unless_lost(self.job.link.step(self.address, message))
        except Unreachable as error:
            logger.info("a step at the Dask worker %s was lost: %s", self.address, error)
            answer = Sealed(self._name)
        if not answer.body:
            self.lose()
            raise WorkerDied
        return StepResult.FromString(self._cipher.open(answer.body))

    async def close(self) -> None:
        """Returns when its process surely writes no more."""
        self.lose()
        await self.over.wait()

    async def end(self) -> None:
        """Ends its process, or waits until its last grant has ended: then it surely writes no more."""
        self.lose()
        try:
            await self._end()
        finally:
            self.job.shares.give_back(self)
            self.over.set()

    async def _end(self) -> None:
        left = self._writes_until - time.monotonic()
        if left <= 0:
            return
        try:
            answer = await self._call(hosted.end, b"", min(left, END_SECONDS))
        except (Unreachable, DsyncError):
            answer = Sealed(self._name)
        left = self._writes_until - time.monotonic()
        if answer.body != b"ended" and left > 0:
            logger.warning("waiting %.0f s until the Dask worker %s has surely ended", left, self.address)
            await asyncio.sleep(left)
