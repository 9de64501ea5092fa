"""The simulation notices engines that are broken on purpose: each of these within its first 200 worlds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from dsync import wire
from dsync.errors import DsyncError, TransientError
from dsync.flow import step, stream, updates
from dsync.flow.copy import Copy
from dsync.flow.gauge import Gauge
from dsync.flow.step import Batch
from dsync.flow.stream import Applied, Follower, Stream
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Written
from dsync.wrap.retry import Retry
from tests.simulation.test_core import CAUGHT_WITHIN, wrong
from tests.simulation.world import Killed

Patch = pytest.MonkeyPatch


def a_copy_that_saves_before_the_answer(patch: Patch) -> None:
    kept: list[asyncio.Task[Any]] = []

    async def write_later(sink: Any, batch: Batch, gauge: Gauge) -> dict[str, int]:
        async def write() -> None:
            await asyncio.sleep(0.2)
            for request in batch.requests:
                await sink.WriteData(request)

        gauge.leave(batch.bytes)
        if batch.requests:
            kept.append(asyncio.create_task(write()))
        return {}

    patch.setattr(step, "_write", write_later)


def a_stream_that_saves_before_the_answer(patch: Patch) -> None:
    async def save_first(self: Follower) -> None:
        while True:
            answers = await self._ahead.take()
            self._advance(answers, Applied())
            await asyncio.sleep(0.2)
            await self._apply(answers)

    patch.setattr(Follower, "_write", save_first)


def a_stream_that_saves_what_it_has_read(patch: Patch) -> None:
    class Eager(Follower):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "_read_to":
                self.position.cursor = value

    patch.setattr(stream, "Follower", Eager)


def a_stream_that_begins_after_the_copy(patch: Patch) -> None:
    class FromNow(Follower):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._read_to = b""

    patch.setattr(stream, "Follower", FromNow)


def a_stream_that_ends_before_it_has_caught_up(patch: Patch) -> None:
    patch.setattr(Stream, "_caught_up", lambda self, target: True)


def a_stream_that_forgets_what_failed(patch: Patch) -> None:
    apply = Follower._apply_run

    async def careless(self: Follower, *arguments: Any) -> Applied:
        try:
            async with asyncio.timeout(0.05):
                return await apply(self, *arguments)
        except (DsyncError, TimeoutError):
            return Applied()

    patch.setattr(Follower, "_apply_run", careless)


def updates_of_which_the_oldest_wins(patch: Patch) -> None:
    compact = updates.compact
    patch.setattr(updates, "compact", lambda found: compact(reversed(list(found))))


def updates_of_one_id_side_by_side(patch: Patch) -> None:
    def apart(
        namespace: str, data_type: wire.Type, found: Iterable[wire.Update], **how: bool
    ) -> list[wire.WriteUpdatesRequest]:
        return [wire.WriteUpdatesRequest(namespace=namespace, type=data_type, updates=[each]) for each in found]

    patch.setattr(stream, "requests", apart)


def updates_without_deletes(patch: Patch) -> None:
    compact = updates.compact
    kept = (wire.INSERT, wire.UPDATE)
    patch.setattr(updates, "compact", lambda found: compact(each for each in found if each.type in kept))


def checkpoints_of_the_newest_batch_first(patch: Patch) -> None:
    async def newest(writes: deque[tuple[asyncio.Task[Any], Checkpoint]], before: Checkpoint) -> Checkpoint:
        task, after = writes[-1]
        await task
        writes.pop()
        return after

    patch.setattr(step, "_settle_oldest", newest)


def a_lost_answer_taken_for_success(patch: Patch) -> None:
    call = Retry._call

    async def credulous(self: Retry, method: Callable[[Any], Any], request: Any) -> Any:
        if not isinstance(request, wire.WriteDataRequest):
            return await call(self, method, request)
        try:
            return await method(request)
        except TransientError:
            return wire.WriteDataResponse()

    patch.setattr(Retry, "_call", credulous)


def batches_that_all_have_one_write_id(patch: Patch) -> None:
    advanced = step._advanced

    def uncounted(at: Checkpoint, cursor: bytes, written: Written, documents: int, size: int) -> Checkpoint:
        after = advanced(at, cursor, written, documents, size)
        for each in after.written:
            each.batches = min(each.batches, 1)
        return after

    patch.setattr(step, "_advanced", uncounted)


def a_partition_that_is_done_when_it_was_begun(patch: Patch) -> None:
    begin = Copy.__init__

    def forgetful(self: Copy, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        todo = [each for each in self._todo if not each.checkpoint.cursor]
        self._open.clear()
        self._open.update(each.planned.destination for each in todo)
        self._todo = iter(todo)

    patch.setattr(Copy, "__init__", forgetful)


def a_short_batch_taken_for_the_last(patch: Patch) -> None:
    advanced = step._advanced

    def hasty(at: Checkpoint, cursor: bytes, written: Written, documents: int, size: int) -> Checkpoint:
        return advanced(at, b"" if documents < 6 else cursor, written, documents, size)

    patch.setattr(step, "_advanced", hasty)


def a_namespace_that_is_published_too_soon(patch: Patch) -> None:
    async def at_the_first(self: Copy, planned: PlannedPartition, at: Checkpoint) -> None:
        name = planned.destination
        self._open[name] -= 1
        if name not in published:
            published.add(name)
            await self._finish(name)

    published: set[str] = set()
    patch.setattr(Copy, "_end_partition", at_the_first)


def a_namespace_that_is_never_published(patch: Patch) -> None:
    async def nothing(self: Copy, name: str) -> None:
        await self._commit()

    patch.setattr(Copy, "_finish", nothing)


PLANTED = [
    a_copy_that_saves_before_the_answer,
    a_stream_that_saves_before_the_answer,
    a_stream_that_saves_what_it_has_read,
    a_stream_that_begins_after_the_copy,
    a_stream_that_ends_before_it_has_caught_up,
    a_stream_that_forgets_what_failed,
    updates_of_which_the_oldest_wins,
    updates_of_one_id_side_by_side,
    updates_without_deletes,
    checkpoints_of_the_newest_batch_first,
    a_lost_answer_taken_for_success,
    batches_that_all_have_one_write_id,
    a_partition_that_is_done_when_it_was_begun,
    a_short_batch_taken_for_the_last,
    a_namespace_that_is_published_too_soon,
    a_namespace_that_is_never_published,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.replace("_", " "))
def test_a_broken_engine_is_caught(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    assert caught(), f"not noticed within {CAUGHT_WITHIN} seeds"


def caught() -> bool:
    """Whether any of the first seeds shows a difference, or an error that a user would see."""
    for seed in range(CAUGHT_WITHIN):
        try:
            if wrong([seed]):
                return True
        except (TypeError, AttributeError):
            raise  # the bug itself does not fit the engine any more
        except (Exception, Killed):  # noqa: BLE001 - a broken build may break in any way
            return True
    return False
