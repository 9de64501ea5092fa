"""A connector that tries again what may succeed the next time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from dsync import wire
from dsync.connector import Connector
from dsync.errors import TransientError
from dsync.transform import Transform
from dsync.wrap.delegate import Delegate

Request = TypeVar("Request")
Response = TypeVar("Response")

logger = logging.getLogger(__name__)

# Seconds: pauses are random up to a bound that doubles from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 16.0


class Retry(Delegate):
    """Repeats calls that failed with a TransientError, for at most `retry_for` seconds a call.

    Every method of the contract may be repeated safely. Streams are handed on as they are: where to go on is known only to
    whoever keeps the positions.
    """

    def __init__(self, inner: Connector, retry_for: float) -> None:
        super().__init__(inner)
        self.retry_for = retry_for

    async def _call(self, method: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        return await insist(method, request, self.retry_for)

    async def cut_alike(
        self, partitions: Sequence[wire.Partition], like: Sequence[wire.Partition]
    ) -> list[wire.Partition]:
        """See Connector."""
        return await insist(lambda wanted: self.inner.cut_alike(partitions, wanted), like, self.retry_for)


class RetryTransform(Transform):
    """Hands calls to `inner`, which is open already, and repeats those that failed with a TransientError likewise."""

    def __init__(self, inner: Transform, retry_for: float) -> None:
        self.inner = inner
        self.retry_for = retry_for

    async def GetTransformInfo(self, request: wire.GetTransformInfoRequest) -> wire.GetTransformInfoResponse:
        """See Transform."""
        return await insist(self.inner.GetTransformInfo, request, self.retry_for)

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        """See Transform."""
        return await insist(self.inner.GetTransform, request, self.retry_for)


async def insist(method: Callable[[Request], Awaitable[Response]], request: Request, retry_for: float) -> Response:
    """The call's answer; one that fails with a TransientError is repeated for so many seconds."""
    try:
        return await method(request)
    except TransientError as error:
        if retry_for <= 0:
            raise
        return await _repeat(method, request, error, retry_for)


async def _repeat(
    method: Callable[[Request], Awaitable[Response]], request: Request, failure: TransientError, retry_for: float
) -> Response:
    import tenacity  # 40 ms, needed only where something fails

    failures = [failure]

    async def attempt() -> Response:
        if failures:
            raise failures.pop()  # the first attempt has been made
        return await method(request)

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        logger.warning("%s; trying again for up to %g s", getattr(error, "message", error), retry_for)

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_delay(retry_for),
        wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
        before_sleep=tell,
        reraise=True,
    )
    return await retrying(attempt)
