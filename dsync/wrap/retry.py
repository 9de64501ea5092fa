"""A connector that tries again what may succeed the next time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dsync.connector import Connector
from dsync.errors import TransientError
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
        try:
            return await method(request)
        except TransientError as error:
            if self.retry_for <= 0:
                raise
            return await self._repeat(method, request, error)

    async def _repeat(
        self, method: Callable[[Request], Awaitable[Response]], request: Request, failure: TransientError
    ) -> Response:
        import tenacity  # 40 ms, needed only where something fails

        failures = [failure]

        async def attempt() -> Response:
            if failures:
                raise failures.pop()  # the first attempt has been made
            return await method(request)

        def tell(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            logger.warning("%s; trying again for up to %g s", getattr(error, "message", error), self.retry_for)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=tenacity.stop_after_delay(self.retry_for),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
            before_sleep=tell,
            reraise=True,
        )
        return await retrying(attempt)
