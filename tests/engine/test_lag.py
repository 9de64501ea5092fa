"""How far a stream is behind, in changes and seconds, and whether the destination could take the source's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import bson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from dsync import wire
from dsync.errors import TransientError
from dsync.flow import lag, stream
from dsync.progress import Tracker
from dsync.progress.text import duration, progress_line, summary
from dsync.run import migrate
from dsync.testing.faults import Faulty, fail
from dsync.testing.store import MemoryStore
from dsync.wrap.delegate import Delegate
from tests.engine.driving import connector, contents, documents, settings, store_with
from tests.engine.test_stream import until


class Gate(Delegate):
    """A sink that holds updates back while it is closed."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(connector(store))
        self.open_now = asyncio.Event()

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        await self.open_now.wait()
        return await super().WriteUpdates(request)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is looked at often, and every stream that is behind is counted."""
    monkeypatch.setattr(lag, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(lag, "COUNT_FROM_SECONDS", 0.01)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("ahead", [10_000, 5])
async def test_what_is_not_durable_is_lag_and_without_any_it_is_safe_to_cut_over(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With little read ahead, the rest is known by the source's own count."""
    monkeypatch.setattr(stream, "AHEAD_UPDATES", ahead)
    source, target = store_with(a=documents(5)), MemoryStore("target")
    tracker, stop, gate = Tracker(), asyncio.Event(), Gate(target)
    run = asyncio.create_task(migrate(connector(source), gate, settings(mode="Full"), tracker=tracker, stop=stop))
    await until(lambda: tracker.safe_to_cut_over)
    assert progress_line(tracker) == "following: 0 updates applied, up to date, safe to cut over"
    for number in range(70):
        source.put("a", bson.encode({"_id": number % 3, "version": number}))
    await until(lambda: tracker.lag_events == 70 and bool(tracker.lag_seconds))
    assert not tracker.safe_to_cut_over
    assert "70 waiting" in progress_line(tracker) and "behind" in progress_line(tracker)
    gate.open_now.set()
    await until(lambda: tracker.safe_to_cut_over)
    assert tracker.lag_events == 0
    assert contents(target, "a") == contents(source, "a")
    stop.set()
    await run
    assert "70 updates applied, up to date, safe to cut over" in list(summary(tracker))


@pytest.mark.usefixtures("often")
async def test_lag_is_that_of_the_least_durable_stream_by_the_sources_clock() -> None:
    class Two(Delegate):
        """Two streams: one comes to second 90 of a source whose clock says 100, the other one to 40."""

        async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
            info = await super().GetInfo(request)
            info.now.FromSeconds(100)
            return info

        async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
            plan = await super().GeneratePlan(request)
            plan.updates_partitions.add(namespaces=["b"], cursor=plan.updates_partitions[0].cursor)
            return plan

        async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
            moment = Timestamp(seconds=40 if list(request.namespaces) == ["b"] else 90)
            yield wire.StreamUpdatesResponse(next_cursor=request.cursor, time=moment)
            await asyncio.Event().wait()

    tracker, stop = Tracker(), asyncio.Event()
    ends = Two(connector(store_with(a=documents(1), b=documents(1)))), connector(MemoryStore("target"))
    run = asyncio.create_task(migrate(*ends, settings(mode="Full"), tracker=tracker, stop=stop))
    await until(lambda: tracker.lag_seconds == 60)
    assert not tracker.safe_to_cut_over
    assert "1 min behind" in progress_line(tracker)
    stop.set()
    await run


@pytest.mark.usefixtures("often")
async def test_a_source_that_cannot_count_its_changes_or_tell_the_time_is_followed_all_the_same() -> None:
    source, target = store_with(a=documents(5)), MemoryStore("target")
    broken = TransientError("gone")
    reader = Faulty(connector(source), [fail("StreamLSN", 1, broken, 999), fail("GetInfo", 4, broken, 999)])
    tracker, stop = Tracker(), asyncio.Event()
    run = asyncio.create_task(migrate(reader, connector(target), settings(mode="Full"), tracker=tracker, stop=stop))
    await until(lambda: tracker.stage == "following")
    source.put("a", documents(1, 9)[0])
    await until(lambda: contents(target, "a") == contents(source, "a"))
    stop.set()
    await run


def test_what_came_since_the_last_look_at_the_clock_may_not_be_all() -> None:
    """A source that is written to all the time is never safe to cut over, however close the stream follows."""
    tracker = Tracker(stage="following")
    tracker.follow(1)
    (progress,) = tracker.streams
    tracker.read_source_time(10)
    progress.came_to(10, idle=True, timed=True)
    assert tracker.safe_to_cut_over
    progress.know_of(1)
    assert not tracker.safe_to_cut_over
    progress.applied(1, 0, 0, 1)
    progress.came_to(11, idle=False, timed=False)
    assert (tracker.lag_seconds, tracker.lag_events, tracker.safe_to_cut_over) == (0, 0, False)
    tracker.read_source_time(11)
    assert tracker.safe_to_cut_over
    tracker.unsettled = ["an index"]
    assert not tracker.safe_to_cut_over


def test_a_source_that_was_not_asked_for_long_is_not_known_to_be_safe() -> None:
    tracker = Tracker(stage="following")
    assert tracker.lag_seconds is None and not tracker.safe_to_cut_over


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.01, "0.1 s"), (59, "59.0 s"), (90, "2 min"), (11_000, "3.1 h"), (864_000, "10.0 days")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
