"""Tasks end when they are cancelled, also where a cancellation gets lost."""

from __future__ import annotations

import asyncio
import contextlib

from dsync import wire
from dsync.cancel import cancel
from dsync.flow.stream import Stream, StreamSettings
from dsync.progress import Tracker
from dsync.state.memory import MemoryState
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from dsync.wire.gen.dsync.v1.flow_pb2 import Position
from tests.engine.driving import connector, documents, store_with


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0)
    await cancel(tasks)
    assert (tasks[0].cancelled(), swallowed) == (True, 3)


async def test_nothing_to_cancel_takes_no_time() -> None:
    await cancel([])


async def test_a_stream_whose_driver_loses_a_cancellation_ends_when_it_is_asked_to() -> None:
    lost = asyncio.Event()

    class Forgetful(MemoryConnector):
        async def StreamUpdates(self, request: wire.StreamUpdatesRequest):  # type: ignore[no-untyped-def]
            with contextlib.suppress(asyncio.CancelledError):
                stop.set()
                await asyncio.sleep(3600)
            lost.set()
            async for answer in super().StreamUpdates(request):
                yield answer

    source, target = store_with(a=documents(3)), MemoryStore("target")
    stop = asyncio.Event()
    plan = await connector(source).GeneratePlan(wire.GeneratePlanRequest(updates=True))
    position = Position(number=0, partition=plan.updates_partitions[0])
    stream = Stream(
        "f",
        Forgetful(source),
        connector(target),
        MemoryState(),
        StreamSettings(type=wire.BSON, retry_for=0),
        [position],
        lambda name: name,
        Tracker(),
    )
    await stream.run(stop, until_caught_up=False)
    assert lost.is_set()
