"""The connection to a Dask scheduler: calls to workers, steps as tasks, and who is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable

from distributed import Client, Future
from distributed.security import Security

from dsync.engine import DaskEngine
from dsync.errors import EndpointError
from dsync.workers import hosted
from dsync.workers.sealed import Sealed

logger = logging.getLogger(__name__)

# Seconds for the scheduler to answer.
CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 3.0

Call = Callable[[Sealed], Awaitable[Sealed]]


class Unreachable(Exception):
    """A worker or the scheduler did not answer; what was asked for may have happened or not."""


class Link:
    """Speaks with a scheduler. Nothing of Dask's own errors and objects comes out of it, but for the futures of steps."""

    def __init__(self, engine: DaskEngine) -> None:
        self.engine = engine
        self._client: Client | None = None

    async def open(self) -> None:
        """Connects, in place of any earlier connection. Raises EndpointError."""
        await self.close()
        client: Client | None = None
        try:
            client = Client(
                self.engine.address,
                asynchronous=True,
                set_as_default=False,
                timeout=CONNECT_SECONDS,
                security=self._security(),
            )
            await client
        except (OSError, TypeError, ValueError, RuntimeError) as error:
            if client is not None:
                await _close(client)
            raise EndpointError(
                f"the Dask scheduler at {self.engine.address} cannot be reached: {type(error).__name__}",
                remedy="check its address, that it runs, and its TLS",
            ) from error
        self._client = client

    def _security(self) -> object:
        """None: what Dask's configuration says."""
        engine = self.engine
        if not (engine.ca or engine.cert):
            return None
        return Security(
            tls_ca_file=engine.ca or None,
            tls_client_cert=engine.cert or None,
            tls_client_key=engine.key or None,
            require_encryption=True,
        )

    async def close(self) -> None:
        """Lets go of the scheduler; repeatable."""
        client, self._client = self._client, None
        if client is not None:
            await _close(client)

    async def workers(self) -> dict[str, int]:
        """The address of each worker that takes tasks -> its threads. Raises Unreachable.

        One that Dask has paused, for its memory, or is about to retire takes none.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found: dict[str, int] = await self._connected().scheduler.ncores_running()
        except Exception as error:
            raise Unreachable(type(error).__name__) from error
        return found

    def _connected(self) -> Client:
        if self._client is None:
            raise Unreachable("not connected")
        return self._client

    async def call(self, function: Call, address: str, message: Sealed, seconds: float) -> Sealed:
        """What the function answers there, beside all tasks. Raises Unreachable; EndpointError where dsync is not installed."""
        try:
            async with asyncio.timeout(seconds):
                answers = await self._connected().run(function, message, workers=[address])
        except ImportError as error:
            raise EndpointError(
                f"the Dask worker {address} has no package {error.name!r}",
                remedy="install the same version of dsync, with the connectors' extras, where the worker runs",
            ) from error
        except Exception as error:
            raise Unreachable(type(error).__name__) from error
        answer: Sealed = answers[address]
        return answer

    async def step(self, address: str, message: Sealed) -> Sealed:
        """What a step came to, as a task of this worker and no other. Raises Unreachable; may never return."""
        future: Future | None = None
        task: asyncio.Task[Sealed] | None = None
        try:
            future = self._connected().submit(
                hosted.take_step,
                message,
                key=f"dsync-step-{uuid.uuid4().hex}",
                workers=[address],
                allow_other_workers=False,
                pure=False,
            )
            task = asyncio.ensure_future(future.result())
            await asyncio.wait(
                [task]
            )  # raises nothing: a task that Dask cancelled must not look like us being cancelled
            if task.cancelled():
                raise Unreachable("cancelled")
            return task.result()
        except Exception as error:
            raise Unreachable(type(error).__name__) from error
        finally:
            if task is not None:
                task.cancel()
            if future is not None:
                with contextlib.suppress(Exception):
                    future.release()


async def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
