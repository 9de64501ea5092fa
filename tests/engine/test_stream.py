"""Changes are applied at least once and in order; a saved position is never ahead of what is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync import namespaces, wire
from dsync.codec import raw
from dsync.errors import ConflictError, GapError, LimitError, SetAsideError, TransientError, UsageError
from dsync.flow.updates import compact, requests
from dsync.progress import Tracker
from dsync.run import migrate
from dsync.settings import Settings
from dsync.testing.faults import Faulty, fail, lose_answer
from dsync.testing.store import MemoryStore
from dsync.wrap.delegate import Delegate
from tests.engine.driving import connector, contents, documents, settings, store_with

LOST = TransientError("the connection is gone")


def following(state: Path | None, **changes: Any) -> Settings:
    return settings(state, mode="Full", until_caught_up=True, save_positions_seconds=0.01, **changes)


def change(store: MemoryStore, start: int, count: int) -> None:
    """Updates, inserts and deletes on a and b."""
    for number in range(start, start + count):
        store.put("a", bson.encode({"_id": number % 40, "version": number}))
        store.put("b", bson.encode({"_id": number, "version": number}))
        if number % 5 == 0:
            store.delete("a", bson.encode({"_id": (number * 7) % 40}))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_changes_during_and_after_the_copy_arrive() -> None:
    source, target = store_with(a=documents(300), b=documents(10)), MemoryStore("target")

    class Changing(Faulty):
        async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
            change(source, self.calls["ListData"] * 10, 10)
            return await super().ListData(request)

    tracker, stop = Tracker(), asyncio.Event()
    reader = Changing(connector(source, page_documents=20))
    run = asyncio.create_task(migrate(reader, connector(target), settings(mode="Full"), tracker=tracker, stop=stop))
    await until(lambda: tracker.stage == "following")
    change(source, 1000, 50)
    await until(
        lambda: contents(target, "a") == contents(source, "a") and contents(target, "b") == contents(source, "b")
    )
    stop.set()
    await run
    assert tracker.stage == "following"
    assert tracker.lag_seconds is not None


async def test_a_run_until_caught_up_ends_with_everything_applied() -> None:
    source, target = store_with(a=documents(30)), MemoryStore("target")

    class Late(Faulty):
        async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
            change(source, 0, 100)
            return await super().FinishNamespace(request)

    tracker = await migrate(connector(source), Late(connector(target)), following(None))
    assert tracker.stage == "done"
    assert contents(target, "a") == contents(source, "a")
    assert contents(target, "b") == contents(source, "b")


@pytest.mark.parametrize("call", range(1, 12))
@pytest.mark.parametrize("method", ["WriteUpdates", "StreamUpdates"])
async def test_after_a_failure_anywhere_in_the_stream_the_same_command_catches_up(
    tmp_path: Path, method: str, call: int
) -> None:
    source, target = store_with(a=documents(10), b=[]), MemoryStore("target")
    state = tmp_path / "state.db"
    await migrate(connector(source), connector(target), following(state))
    for fault in (fail, lose_answer):
        change(source, call * 100, 60)
        faults = [fault(method, call, LOST)]
        try:
            await migrate(Faulty(connector(source), faults), Faulty(connector(target), faults), following(state))
        except TransientError:
            await migrate(connector(source), connector(target), following(state))
        for name in ("a", "b"):
            assert contents(target, name) == contents(source, name)


async def test_a_saved_position_is_never_ahead_of_what_is_durable(tmp_path: Path) -> None:
    source, target = store_with(a=documents(10), b=[]), MemoryStore("target")
    state = tmp_path / "state.db"
    await migrate(connector(source), connector(target), following(state))
    for turn, call in enumerate((1, 2, 1, 2)):
        change(source, turn * 1000, 30)
        # what WriteUpdates has not answered may not be skipped, however much was read ahead
        with pytest.raises(TransientError):
            await migrate(
                connector(source),
                Faulty(connector(target), [fail("WriteUpdates", call, LOST, calls=99)]),
                following(state),
            )
    await migrate(connector(source), connector(target), following(state))
    for name in ("a", "b"):
        assert contents(target, name) == contents(source, name)


async def test_an_initial_sync_leaves_a_position_from_which_cdc_goes_on(tmp_path: Path) -> None:
    source, target = store_with(a=documents(10), b=[]), MemoryStore("target")
    state = tmp_path / "state.db"
    await migrate(connector(source), connector(target), settings(state))
    change(source, 0, 100)
    tracker = await migrate(connector(source), connector(target), settings(state, mode="CDC", until_caught_up=True))
    assert tracker.run_documents == 0
    for name in ("a", "b"):
        assert contents(target, name) == contents(source, name)


async def test_cdc_alone_says_that_it_begins_now() -> None:
    source, target = store_with(a=documents(10)), MemoryStore("target")
    tracker = await migrate(connector(source), connector(target), settings(mode="CDC", until_caught_up=True))
    assert any("only changes from now on" in warning for warning in tracker.warnings)
    assert not target.documents("a")


async def test_a_lost_position_is_a_gap(tmp_path: Path) -> None:
    source, target = store_with(a=documents(10)), MemoryStore("target")
    state = tmp_path / "state.db"
    await migrate(connector(source), connector(target), following(state))
    change(source, 0, 10)
    source.forget_log()
    with pytest.raises(GapError):
        await migrate(connector(source), connector(target), following(state))


async def test_more_deletes_than_allowed_stop_before_they_are_applied(tmp_path: Path) -> None:
    source, target = store_with(a=documents(50)), MemoryStore("target")
    state = tmp_path / "state.db"
    await migrate(connector(source), connector(target), following(state))
    for document in documents(20):
        source.delete("a", document)
    with pytest.raises(LimitError, match="--max-delete 5"):
        await migrate(connector(source), connector(target), following(state, max_delete=5))
    assert len(target.documents("a")) >= 45
    await migrate(connector(source), connector(target), following(state, max_delete=20))
    assert contents(target, "a") == contents(source, "a")


class Unique(Delegate):
    """A sink in which no two documents may have the same `version`; all but the offending ones are written."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(connector(store))
        self.store = store
        self.refusals = 0

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        after = {raw.id_of(each): bson.decode(each).get("version") for each in self.store.documents("a")}
        after |= {raw.id_of(update.data): bson.decode(update.data).get("version") for update in request.updates}
        if len(set(after.values())) < len(after):
            self.refusals += 1
            raise ConflictError("somebody has that version")
        return await super().WriteUpdates(request)


def versions(*pairs: tuple[int, int]) -> list[bytes]:
    return [bson.encode({"_id": number, "version": version}) for number, version in pairs]


async def test_a_unique_value_that_a_later_change_sets_free_is_waited_for(tmp_path: Path) -> None:
    source, target = store_with(a=versions((1, 1), (2, 2))), MemoryStore("target")
    state = tmp_path / "state.db"
    await migrate(connector(source), connector(target), following(state))

    class Ahead(Delegate):
        """Tells of the second document as it is after the change that comes after it, and slowly."""

        async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
            async for answer in self.inner.StreamUpdates(request):
                yield answer
                if answer.updates:
                    await until(lambda: bool(sink.refusals))

    for document in versions((2, 1), (1, 3)):
        source.put("a", document)
    sink = Unique(target)
    tracker = await migrate(Ahead(connector(source)), sink, following(state))
    assert sink.refusals
    assert contents(target, "a") == contents(source, "a")
    assert (tracker.lag_events, tracker.updates) == (0, 2)
    assert (await migrate(connector(source), connector(target), following(state))).updates == 0


async def test_a_unique_value_that_nothing_sets_free_stops_the_run_or_goes_into_the_dead_letters(
    tmp_path: Path,
) -> None:
    source, target = store_with(a=versions((1, 1), (2, 2))), MemoryStore("target")
    state, letters = tmp_path / "state.db", tmp_path / "letters"
    await migrate(connector(source), connector(target), following(state))
    for document in versions((2, 1), (5, 5)):
        source.put("a", document)
    with pytest.raises(ConflictError):
        await migrate(connector(source), Unique(target), following(state))
    with pytest.raises(SetAsideError):
        await migrate(connector(source), Unique(target), following(state, dead_letters=str(letters)))
    assert contents(target, "a") == sorted(versions((1, 1), (2, 2), (5, 5)))
    assert len(letters.read_text().splitlines()) == 1


async def test_deletes_that_are_applied_again_with_a_conflict_count_once(tmp_path: Path) -> None:
    source, target = store_with(a=versions((1, 1), (2, 2), (3, 3))), MemoryStore("target")
    state = tmp_path / "state.db"
    await migrate(connector(source), connector(target), following(state))

    class Refusing(Delegate):
        """Refuses the first two times."""

        refusals = 0

        async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
            self.refusals += 1
            if self.refusals < 3:
                raise ConflictError("taken")
            return await super().WriteUpdates(request)

    source.delete("a", versions((3, 3))[0])
    await migrate(connector(source), Refusing(connector(target)), following(state, max_delete=1))
    assert contents(target, "a") == contents(source, "a")


async def test_an_answer_that_stands_for_nothing_is_not_the_end_of_the_stream() -> None:
    source, target = store_with(a=documents(3)), MemoryStore("target")

    class Gone(Delegate):
        """Changes whose documents are gone come as answers without updates, which say of which namespace they are."""

        async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
            yield wire.StreamUpdatesResponse(namespace="a", next_cursor=request.cursor)
            await asyncio.sleep(0.3)
            async for answer in self.inner.StreamUpdates(request):
                yield answer

    class Late(Delegate):
        async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
            source.put("a", bson.encode({"_id": 1, "late": True}))
            return await super().FinishNamespace(request)

    await migrate(Gone(connector(source)), Late(connector(target)), following(None))
    assert contents(target, "a") == contents(source, "a")


async def test_reverse_leads_back_what_changed_at_the_destination_since(tmp_path: Path) -> None:
    left, right = store_with(a=documents(10)), MemoryStore("target")
    state = tmp_path / "state.db"
    mapped = {"selection": namespaces.parse(["a:b"])}
    with pytest.raises(GapError, match="without --reverse"):
        await migrate(connector(left), connector(right), settings(state, mode=None, reverse=True, **mapped))
    await migrate(connector(left), connector(right), following(state, **mapped))
    for number in range(5, 15):
        right.put("b", bson.encode({"_id": number, "changed": "there"}))
    right.delete("b", documents(1)[0])
    back = settings(state, mode=None, reverse=True, until_caught_up=True, save_positions_seconds=0.01, **mapped)
    for turn in range(2):
        tracker = await migrate(connector(left), connector(right), back)
        assert contents(left, "a") == contents(right, "b")
        assert tracker.updates == (11 if turn == 0 else 0)


async def test_a_way_back_that_cannot_be_kept_does_not_fail_the_way_there(tmp_path: Path) -> None:
    source, target, state = store_with(a=documents(10)), MemoryStore("target"), tmp_path / "state.db"
    silent = Faulty(connector(target), [fail("GeneratePlan", 1, TransientError("no answer"))])
    tracker = await migrate(connector(source), silent, following(state))
    assert "no position was kept for --reverse: no answer" in tracker.warnings
    assert contents(target, "a") == documents(10)
    with pytest.raises(GapError, match="without --reverse"):
        await migrate(connector(source), connector(target), settings(state, mode=None, reverse=True))


async def test_reverse_copies_nothing() -> None:
    ends = connector(store_with(a=documents(1))), connector(MemoryStore("target"))
    with pytest.raises(UsageError, match="--reverse does not copy"):
        await migrate(*ends, settings(reverse=True))


async def test_an_unfinished_copy_between_the_same_ends_is_reported(tmp_path: Path) -> None:
    source, target = store_with(a=documents(100), c=documents(3)), MemoryStore("target")
    state = tmp_path / "state.db"
    with pytest.raises(TransientError):
        await migrate(
            connector(source), Faulty(connector(target), [fail("WriteData", 1, LOST)]), settings(state, flow="first")
        )
    tracker = await migrate(connector(source), connector(target), settings(state, flow="second"))
    assert any("unfinished" in warning and "(first)" in warning for warning in tracker.warnings)


def update(kind: wire.UpdateType.ValueType, number: int, version: int = 0) -> wire.Update:
    document = bson.encode({"_id": number, "version": version})
    id_type, id_bytes = raw.id_of(document)
    data = b"" if kind == wire.DELETE else document
    return wire.Update(id=[wire.BsonValue(data=id_bytes, type=id_type)], type=kind, data=data)


def test_the_newest_full_update_of_an_id_wins_and_partial_ones_after_it_stay_in_order() -> None:
    seen = [
        update(wire.INSERT, 1, 1),
        update(wire.PARTIAL_UPDATE, 1, 2),
        update(wire.UPDATE, 1, 3),
        update(wire.PARTIAL_UPDATE, 1, 4),
        update(wire.PARTIAL_UPDATE, 1, 5),
        update(wire.INSERT, 2, 6),
        update(wire.DELETE, 2),
    ]
    assert compact(seen) == [seen[2:5], seen[6:]]


def test_ids_that_share_bytes_but_not_their_type_are_two() -> None:
    five_as_bytes = bson.encode({"_id": bson.Int64(5)})[9:17]
    as_int64 = wire.Update(id=[wire.BsonValue(data=five_as_bytes, type=18)], type=wire.DELETE)
    as_date = wire.Update(id=[wire.BsonValue(data=five_as_bytes, type=9)], type=wire.DELETE)
    as_int32 = wire.Update(id=[wire.BsonValue(data=five_as_bytes[:4], type=16)], type=wire.DELETE)
    assert len(compact([as_int64, as_date])) == 2
    assert len(compact([as_int64, as_int32])) == 1


def test_no_id_is_in_two_requests_that_are_written_side_by_side() -> None:
    seen = [update(wire.UPDATE if n % 3 else wire.PARTIAL_UPDATE, n % 1700, n) for n in range(6000)]
    made = requests("a", wire.BSON, seen)
    ids = [{u.id[0].data for u in request.updates} for request in made]
    assert len(made) > 1
    assert sum(map(len, ids)) == len(set().union(*ids)) == 1700
