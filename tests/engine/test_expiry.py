"""Changes that the source will not keep long enough are warned about in time; where they are gone, the run stops."""

from __future__ import annotations

import asyncio

import pytest

from dsync import wire
from dsync.errors import GapError, TransientError
from dsync.flow.expiry import Expiry, History, too_many
from dsync.preview import plan as preview
from dsync.progress import NamespaceProgress, Tracker
from dsync.run import migrate
from dsync.testing.faults import Faulty, fail
from dsync.testing.store import MemoryStore
from dsync.wrap.delegate import Delegate
from tests.engine.driving import connector, documents, settings, store_with

# A source's clock that says 1000 and keeps changes for 100 seconds.
HISTORY = History(now=1000, start=900, kept_seconds=100)


class Keeping(Delegate):
    """A source that says how long it keeps changes; positions of its plan are of second 950."""

    start = 900
    kept = 100.0

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        info = await super().GetInfo(request)
        info.now.FromSeconds(1000)
        if request.history:
            info.history_start.FromSeconds(self.start)
            info.history_seconds = self.kept
        return info

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        plan = await super().GeneratePlan(request)
        for partition in plan.updates_partitions:
            partition.time.FromSeconds(950)
        return plan


def watching(*positions: float, remaining: float | None = None) -> Tracker:
    tracker = Tracker()
    expiry = Expiry(Keeping(connector(MemoryStore())), lambda: positions, tracker, lambda: remaining)
    expiry.judge(HISTORY)
    expiry.judge(HISTORY)
    return tracker


def test_a_copy_that_ends_in_time_is_not_warned_about() -> None:
    assert watching(950, remaining=49).warnings == []
    assert watching(0, remaining=9999).warnings == []


def test_a_copy_that_will_end_too_late_is_warned_about_once() -> None:
    (warning,) = watching(950, 999, remaining=600).warnings
    assert "10 min more" in warning and "50.0 s more" in warning and "keep changes for longer" in warning


def test_a_stream_that_falls_far_behind_is_warned_about_once() -> None:
    assert watching(990).warnings == []
    (warning,) = watching(920).warnings
    assert "last 1 min" in warning and "2 min" in warning


@pytest.mark.parametrize("remaining", [None, 10.0])
def test_changes_that_are_gone_stop_the_run_with_both_ways_on(remaining: float | None) -> None:
    with pytest.raises(GapError, match="no longer keeps the changes") as caught:
        watching(899, 950, remaining=remaining)
    assert "--restart" in caught.value.remedy and "InitialSync" in caught.value.remedy


def test_a_plan_too_manys_a_copy_that_will_take_too_long() -> None:
    assert too_many(HISTORY, 400_000) == ""
    assert "10,000,000 documents take 33 min at 5,000 a second" in too_many(HISTORY, 10_000_000)


def test_what_is_left_of_a_copy_is_known_by_its_rate() -> None:
    tracker = Tracker()
    tracker.namespaces["a"] = NamespaceProgress("a", "a", partitions=2, estimated=1000, documents=400)
    assert tracker.remaining_seconds() is None
    tracker.run_documents, tracker.started, tracker.ended = 200, 0.0, 10.0
    assert tracker.remaining_seconds() == 30
    tracker.namespaces["b"] = NamespaceProgress("b", "b")
    assert tracker.remaining_seconds() is None


async def test_a_copy_ends_early_when_the_changes_since_its_beginning_are_gone() -> None:
    class Losing(Keeping):
        """Loses the changes with the second page, and never gives the third one."""

        pages = 0
        start = 949

        async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
            self.pages += 1
            if self.pages == 2:
                self.start = 990
            elif self.pages > 2:
                await asyncio.sleep(0.1)
            return await super().ListData(request)

    source = Losing(connector(store_with(a=documents(3000)), page_documents=10, partitions=1))
    target = MemoryStore("target")
    with pytest.raises(GapError, match="no longer keeps the changes"):
        await migrate(source, connector(target), settings(mode="Full", writer_batch_size=10))
    assert 0 < len(target.documents("a")) < 3000
    source.pages = -9999
    copied = await migrate(source, connector(MemoryStore("target")), settings(writer_batch_size=10_000))
    assert copied.stage == "done"


async def test_a_preview_says_how_long_changes_are_kept_and_warns() -> None:
    source = Keeping(connector(store_with(a=documents(100))))
    found = await preview(source, connector(MemoryStore("target")), settings(mode="Full"))
    assert found.kept_seconds == 100
    source.kept, source.start = 0.001, 1000
    found = await preview(source, connector(MemoryStore("target")), settings(mode="Full"))
    assert any("keep changes for longer" in warning for warning in found.warnings)


async def test_a_source_that_cannot_say_is_asked_again_or_left_alone() -> None:
    broken = fail("GetInfo", 1, TransientError("gone"))
    await Expiry(Faulty(connector(MemoryStore()), []), lambda: [1.0], Tracker()).watch()
    task = asyncio.create_task(Expiry(Faulty(connector(MemoryStore()), [broken]), lambda: [1.0], Tracker()).watch())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
