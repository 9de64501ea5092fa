"""What runs in a Dask worker: it starts a process of dsync beside itself, hands it steps and grants, and ends it.

The steps' work is not done in the Dask worker's own process: one that is stuck could not be stopped there without stopping the
Dask worker. Everything here runs on its event loop and waits. Messages are bytes in `Sealed`, in and out; nothing is raised,
since Dask would log it.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from dsync.flow.ends import Assignment
from dsync.wire.gen.dsync.v1.flow_pb2 import Failure, Step, StepResult
from dsync.workers import ground
from dsync.workers.cipher import PUBLIC_BYTES, Cipher, Half
from dsync.workers.grant import Grant
from dsync.workers.here import NotStarted, WorkerDied, to_failure
from dsync.workers.process import Process
from dsync.workers.sealed import Sealed

# Seconds from a look to the beginning that may follow it.
HALF_SECONDS = 120.0


class Hosted:
    """A process of one run. It ends itself when its grant does; this ends it too, should it not have heard of a grant yet."""

    def __init__(self, name: str, assignment: Assignment, folder: str, grant: Grant, cipher: Cipher) -> None:
        self.name = name
        self.cipher = cipher
        self.process = Process(assignment, folder=folder if Path(folder).is_dir() else None, silent=True)
        self.failure: Failure | None = None
        self.started = False
        self._grant = grant
        self._starting = asyncio.create_task(self._start())
        self._ending: asyncio.Task[None] | None = None
        self._expiry = self._expire_at(grant.until)

    def _expire_at(self, until: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(0, until - time.monotonic()), self.end)

    async def _start(self) -> None:
        try:
            await self.process.start()
        except NotStarted as error:
            self.failure = error.failure
        except WorkerDied:
            self.failure = Failure(kind="DsyncError", message="the process ended while it started")
        except Exception as error:  # noqa: BLE001 - Dask would log what it says
            self.failure = to_failure(error)
        else:
            self.process.grant(self._grant)
            self.started = True

    def renew(self, grant: Grant) -> None:
        """A later end, other measures."""
        self._grant = grant
        self._expiry.cancel()
        self._expiry = self._expire_at(grant.until)
        if self.started:
            self.process.grant(grant)

    def end(self) -> asyncio.Task[None]:
        """Ends the process; the task is done when there is none any more. Repeatable."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        return self._ending

    async def _end(self) -> None:
        self._expiry.cancel()
        self.started = False
        self._starting.cancel()
        await asyncio.gather(self._starting, return_exceptions=True)
        await self.process.close()
        _HOSTED.pop(self.name, None)


# Processes by the names that their coordinators gave them, which never come twice.
_HOSTED: dict[str, Hosted] = {}


# Our part of the agreement with those that have looked and not yet begun.
_HALVES: dict[str, Half] = {}


async def look(request: Sealed) -> Sealed:
    """Our public part (cipher.Half), then this worker's machine, programs and clock (ground.Facts)."""
    half = _HALVES[request.name] = Half()
    asyncio.get_running_loop().call_later(HALF_SECONDS, _HALVES.pop, request.name, None)
    return Sealed(request.name, half.public + (await ground.look(json.loads(request.body))).to_json())


async def begin(request: Sealed) -> Sealed:
    """Starts a process; `renew` tells when it is ready. The request: the caller's public part, then what that enciphers."""
    half = _HALVES.pop(request.name, None)
    if half is None:
        return Sealed(request.name)
    cipher = half.agree(request.body[:PUBLIC_BYTES])
    fields = json.loads(cipher.open(request.body[PUBLIC_BYTES:]))
    assignment = Assignment.from_json(json.dumps(fields["assignment"]).encode())
    _HOSTED[request.name] = Hosted(request.name, assignment, fields["folder"], Grant(**fields["grant"]), cipher)
    return Sealed(request.name)


async def renew(request: Sealed) -> Sealed:
    """Hands the grant on; answers this machine's clock and how the process is: starting, ready, refused (with why) or gone."""
    hosted = _HOSTED.get(request.name)
    answer: dict[str, object] = {"clock": time.monotonic(), "stage": "gone"}
    if hosted is None:
        return Sealed(request.name, json.dumps(answer).encode())
    if hosted.failure is not None:
        failure = hosted.failure
        answer |= {"stage": "refused", "failure": [failure.kind, failure.message, failure.remedy]}
    elif not hosted.process.dead:
        hosted.renew(Grant.from_json(request.body))
        answer["stage"] = "ready" if hosted.started else "starting"
    return Sealed(request.name, json.dumps(answer).encode())


async def take_step(request: Sealed) -> Sealed:
    """The step's result, enciphered as the step was; nothing where the process is gone."""
    hosted = _HOSTED.get(request.name)
    if hosted is None or not hosted.started:
        return Sealed(request.name)
    step = Step.FromString(hosted.cipher.open(request.body))
    try:
        result = await hosted.process.step(step, _ignore)
    except WorkerDied:
        return Sealed(request.name)
    except Exception as error:  # noqa: BLE001 - Dask would log what it says
        result = StepResult(checkpoint=step.checkpoint, failure=to_failure(error))
    return Sealed(request.name, hosted.cipher.close(result.SerializeToString()))


def _ignore(reached: object) -> None:
    """A step's end is soon enough: its result holds the last checkpoint."""


async def end(request: Sealed) -> Sealed:
    """Ends the process; answers whether it is sure that there is none: another worker at this address may have had it."""
    hosted = _HOSTED.get(request.name)
    if hosted is None:
        return Sealed(request.name, b"unknown")
    await hosted.end()
    return Sealed(request.name, b"ended")
