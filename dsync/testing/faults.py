"""Connectors that fail on purpose: the k-th call of a method fails, is lost after it was done, is late, or kills the process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from dsync import wire
from dsync.connector import Connector
from dsync.errors import DsyncError
from dsync.wrap.delegate import Delegate

Request = TypeVar("Request")
Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class Fault:
    """Happens at the k-th call of a method (from 1), for a number of calls; in a stream, messages count as calls.

    `after` lets the call do its work first: the store has done it, the caller never hears.
    """

    method: str
    call: int
    calls: int = 1
    after: bool = False
    error: DsyncError | None = None
    seconds: float = 0.0
    kill: bool = False

    def covers(self, method: str, call: int) -> bool:
        """Whether it is this call's turn."""
        return self.method == method and self.call <= call < self.call + self.calls

    async def happen(self) -> None:
        """Waits, then dies or raises, as far as asked for."""
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.error:
            # A fresh one each time: an exception that is raised again keeps its old traceback.
            raise type(self.error)(self.error.message, remedy=self.error.remedy)


def fail(method: str, call: int, error: DsyncError, calls: int = 1) -> Fault:
    """The call does nothing and raises."""
    return Fault(method, call, calls, error=error)


def lose_answer(method: str, call: int, error: DsyncError, calls: int = 1) -> Fault:
    """The call does its work and raises all the same, like a connection that breaks before the answer."""
    return Fault(method, call, calls, after=True, error=error)


def delay(method: str, call: int, seconds: float, calls: int = 1) -> Fault:
    """The call waits before it does its work."""
    return Fault(method, call, calls, seconds=seconds)


def crash(method: str, call: int, after: bool = False) -> Fault:
    """The process kills itself (SIGKILL), before the call or right after it."""
    return Fault(method, call, after=after, kill=True)


class Faulty(Delegate):
    """A connector with faults; `calls` counts the calls of each method, failed ones too."""

    def __init__(self, inner: Connector, faults: Iterable[Fault] = ()) -> None:
        super().__init__(inner)
        self.faults = list(faults)
        self.calls: Counter[str] = Counter()

    async def _call(self, method: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        name = method.__name__
        due = self._due(name)
        await _happen(due, after=False)
        response = await method(request)
        await _happen(due, after=True)
        return response

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """Each message is a call; one with a fault `after` arrives before the stream breaks."""
        async for response in self._messages("StreamUpdates", self.inner.StreamUpdates(request)):
            yield response

    async def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncIterator[wire.StreamLSNResponse]:
        """Each message is a call; one with a fault `after` arrives before the stream breaks."""
        async for response in self._messages("StreamLSN", self.inner.StreamLSN(request)):
            yield response

    async def _messages(self, name: str, stream: AsyncIterator[Response]) -> AsyncIterator[Response]:
        async for response in stream:
            due = self._due(name)
            await _happen(due, after=False)
            yield response
            await _happen(due, after=True)

    def _due(self, name: str) -> list[Fault]:
        self.calls[name] += 1
        return [fault for fault in self.faults if fault.covers(name, self.calls[name])]


async def _happen(due: list[Fault], after: bool) -> None:
    for fault in due:
        if fault.after == after:
            await fault.happen()
