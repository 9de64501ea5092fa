"""A copy holds everything once, whatever fails on the way, and the same command goes on."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from dsync import namespaces, wire
from dsync.cli.copy import judged
from dsync.connector import Connector
from dsync.errors import DataError, DsyncError, GapError, TransientError, UsageError
from dsync.progress import Tracker
from dsync.run import migrate
from dsync.testing.faults import Faulty, delay, fail, lose_answer
from dsync.testing.store import MemoryStore
from dsync.wrap.delegate import Delegate
from tests.engine.driving import connector, contents, documents, settings, store_with

LOST = TransientError("the connection is gone")


async def test_every_document_of_every_namespace_arrives_once() -> None:
    source = store_with(a__one=documents(1000), a__two=documents(7), empty=[])
    target = MemoryStore("target")
    tracker = await migrate(connector(source, partitions=5), connector(target), settings())
    for name in ("a.one", "a.two", "empty"):
        assert contents(target, name) == contents(source, name)
    assert tracker.documents == 1007
    assert tracker.partitions == (11, 11) or tracker.partitions[0] == tracker.partitions[1]
    assert tracker.stage == "done"


async def test_a_sink_without_keys_gets_its_batches_published_in_order() -> None:
    source, target = store_with(a=documents(950)), MemoryStore("target")
    sink = connector(target, keyed=False, preferred_batch_bytes=2000)
    await migrate(connector(source, partitions=3, page_documents=10), sink, settings())
    assert list(target.documents("a")) == list(source.documents("a"))


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("call", range(1, 14))
@pytest.mark.parametrize("method", ["WriteData", "ListData", "FinishNamespace"])
async def test_after_a_failure_anywhere_the_same_command_completes_the_copy(
    tmp_path: Path, method: str, call: int, keyed: bool
) -> None:
    source, target = store_with(a=documents(500), b=documents(40)), MemoryStore("target")
    state = settings(tmp_path / "state.db")
    shape = {"partitions": 4, "page_documents": 30, "preferred_batch_bytes": 3000}
    for fault in (fail, lose_answer):
        faults = [fault(method, call, LOST)]
        reader, writer = connector(source, **shape), connector(target, keyed=keyed, **shape)
        try:
            await migrate(Faulty(reader, faults), Faulty(writer, faults), state)
        except TransientError:
            await migrate(connector(source, **shape), connector(target, keyed=keyed, **shape), state)
        for name in ("a", "b"):
            assert contents(target, name) == contents(source, name)


async def test_a_resumed_copy_does_not_read_again_what_was_checkpointed(tmp_path: Path) -> None:
    source, target = store_with(a=documents(3000)), MemoryStore("target")
    state = settings(tmp_path / "state.db", copiers=1)
    shape = {"partitions": 1, "page_documents": 100, "preferred_batch_bytes": 3000}
    first = Faulty(connector(target, **shape), [fail("WriteData", 25, LOST)])
    with pytest.raises(TransientError):
        await migrate(connector(source, **shape), first, state)
    again = Faulty(connector(source, **shape))
    await migrate(again, connector(target, **shape), state)
    assert again.calls["ListData"] <= 30 - 24 + 2
    assert contents(target, "a") == contents(source, "a")


async def test_a_batch_has_the_same_write_id_and_documents_on_every_try(tmp_path: Path) -> None:
    seen: dict[str, list[bytes]] = {}

    class Recording(Faulty):
        async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
            data = list(request.data)
            assert seen.setdefault(request.write_id, data) == data
            return await super().WriteData(request)

    source, target = store_with(a=documents(700)), MemoryStore("target")
    shape = {"partitions": 1, "page_documents": 13, "preferred_batch_bytes": 1500}
    state = settings(tmp_path / "state.db")
    for call in (5, 4, 3):
        sink = Recording(connector(target, keyed=False, **shape), [lose_answer("WriteData", call, LOST)])
        with pytest.raises(TransientError):
            await migrate(connector(source, **shape), sink, state)
    await migrate(connector(source, **shape), Recording(connector(target, keyed=False, **shape)), state)
    assert contents(target, "a") == contents(source, "a")
    assert sum(map(len, seen.values())) == 700


async def test_transient_failures_are_tried_again() -> None:
    source, target = store_with(a=documents(100)), MemoryStore("target")
    sink = Faulty(connector(target), [fail("WriteData", 1, LOST), fail("FinishNamespace", 1, LOST)])
    await migrate(connector(source), sink, settings(retry_for=20))
    assert contents(target, "a") == contents(source, "a")


async def test_after_a_failure_the_others_end_their_steps_and_nothing_new_begins() -> None:
    source, target = store_with(), MemoryStore("target")
    for number in range(20):
        source.load(f"n{number}", documents(50))
    sink = Faulty(connector(target), [fail("WriteData", 3, DataError("a document is refused"))])
    tracker = Tracker()
    with pytest.raises(DataError, match="a document is refused"):
        await migrate(connector(source, partitions=1), sink, settings(copiers=2), tracker=tracker)
    done, total = tracker.partitions
    assert total == 20
    assert done < 6


async def test_a_failure_while_checkpoints_are_kept_is_the_only_one_that_is_told() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    source, target = store_with(a=documents(200)), MemoryStore("target")
    faults = [fail("GetNamespaceMetadata", 2, LOST), delay("WriteData", 2, 30, calls=100)]
    with pytest.raises(TransientError, match="the connection is gone"):
        await migrate(
            connector(source, partitions=1), Faulty(connector(target, preferred_batch_bytes=500), faults), settings()
        )
    gc.collect()
    assert not told


async def test_a_finished_copy_is_made_anew_by_the_same_command(tmp_path: Path) -> None:
    source, target = store_with(a=documents(30)), MemoryStore("target")
    state = settings(tmp_path / "state.db")
    await migrate(connector(source), connector(target), state)
    source.load("a", documents(20, start=100))
    tracker = await migrate(connector(source), connector(target), state)
    assert contents(target, "a") == contents(source, "a")
    assert tracker.run_documents == 50
    assert not [warning for warning in tracker.warnings if "held" in warning]


async def test_what_a_keyed_destination_held_before_is_counted() -> None:
    source, target = store_with(a=documents(3)), store_with("target", a=documents(5, start=50))
    tracker = await migrate(connector(source), connector(target), settings())
    assert any("a held 5 documents" in warning for warning in tracker.warnings)
    assert len(target.documents("a")) == 8


async def test_a_changed_option_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    source, target = store_with(a=documents(500)), MemoryStore("target")
    state = tmp_path / "state.db"
    shape = {"page_documents": 10, "preferred_batch_bytes": 100}
    with pytest.raises(TransientError):
        await migrate(
            connector(source, **shape),
            Faulty(connector(target, **shape), [fail("WriteData", 4, LOST)]),
            settings(state, flow="f", selection=namespaces.parse(["a"])),
        )
    before = contents(target, "a")
    with pytest.raises(UsageError, match=r"--namespace is 'a:b' now, but the unfinished flow was begun with 'a'"):
        await migrate(
            connector(source), connector(target), settings(state, flow="f", selection=namespaces.parse(["a:b"]))
        )
    assert contents(target, "a") == before
    await migrate(
        connector(source, **shape),
        connector(target, **shape),
        settings(state, flow="f", selection=namespaces.parse(["a:b"]), restart=True),
    )
    assert contents(target, "b") == contents(source, "a")


async def test_a_destination_dropped_under_an_unfinished_flow_is_a_gap(tmp_path: Path) -> None:
    source, target = store_with(a=documents(500)), MemoryStore("target")
    shape = {"page_documents": 10, "preferred_batch_bytes": 100}
    state = settings(tmp_path / "state.db")
    with pytest.raises(TransientError):
        await migrate(
            connector(source, **shape), Faulty(connector(target, **shape), [fail("WriteData", 9, LOST)]), state
        )
    target.drop("a")
    with pytest.raises(GapError, match="--restart"):
        await migrate(connector(source, **shape), connector(target, **shape), state)


async def test_two_namespaces_do_not_become_one_unless_asked_for() -> None:
    source, target = store_with(a=documents(3), b=documents(3, start=10)), MemoryStore("target")
    both = namespaces.parse(["a:c", "b:c"])
    with pytest.raises(UsageError, match="'a' and 'b' would both be written to 'c'"):
        await migrate(connector(source), connector(target), settings(selection=both))
    await migrate(connector(source), connector(target), settings(selection=both, merge_namespaces=True))
    assert len(target.documents("c")) == 6


async def test_documents_that_share_an_id_are_noticed() -> None:
    twice = [*documents(3), *documents(3)]
    source = MemoryStore("source")
    source.collection("a").append(twice)
    reader = Faulty(connector(store_with(a=documents(3), b=documents(3)), partitions=1))
    both = namespaces.parse(["a:c", "b:c"])
    for duplicates, refused in (("fail", True), ("last", False)):
        asked = settings(selection=both, merge_namespaces=True, duplicates=duplicates)
        run = migrate(reader, connector(MemoryStore("target")), asked)
        if refused:
            with pytest.raises(DataError, match="'c' has 3 documents after 6 were written"):
                await run
        else:
            await run


async def test_a_namespace_is_never_copied_onto_itself() -> None:
    store = store_with(a=documents(3))
    with pytest.raises(UsageError, match="'a' would be copied onto itself"):
        await migrate(connector(store), connector(store), settings())
    await migrate(connector(store), connector(store), settings(selection=namespaces.parse(["a:b"])))
    assert contents(store, "b") == contents(store, "a")


async def test_a_stop_saves_what_is_done_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source, target = store_with(a=documents(2000)), MemoryStore("target")
    state = settings(tmp_path / "state.db")
    shape = {"partitions": 2, "page_documents": 10, "preferred_batch_bytes": 100}
    stop = asyncio.Event()
    slow = Faulty(connector(target, **shape), [delay("WriteData", 1, 0.01, calls=10_000)])
    run = asyncio.create_task(migrate(connector(source, **shape), slow, state, stop=stop))
    await asyncio.sleep(0.2)
    stop.set()
    tracker = await run
    assert tracker.stage == "copying"
    assert 0 < tracker.documents < 2000
    tracker = await migrate(connector(source, **shape), connector(target, **shape), state)
    assert contents(target, "a") == contents(source, "a")
    assert 0 < tracker.run_documents < 2000


async def test_pairs_that_cannot_work_are_refused_with_the_reason() -> None:
    reader, writer = connector(store_with(a=documents(1))), connector(MemoryStore("target"))
    for ends, reason in (
        ((connector(MemoryStore("x"), source=False), writer), "cannot be read from"),
        ((reader, connector(MemoryStore("x"), sink=False)), "cannot be written to"),
        ((reader, connector(MemoryStore("x"), types=())), "the destination takes no data type"),
    ):
        with pytest.raises(UsageError, match=reason):
            await migrate(*ends, settings())
    for mode in ("Full", "CDC"):
        with pytest.raises(UsageError, match="takes no updates"):
            await migrate(reader, connector(MemoryStore("x"), keyed=False), settings(mode=mode))
        with pytest.raises(UsageError, match="has no change stream here"):
            await migrate(connector(MemoryStore("x"), updates=False), writer, settings(mode=mode))


async def test_types_that_the_ends_do_not_share_are_converted() -> None:
    source = store_with(a=documents(100))
    for types in ((wire.JSON_ID,), (wire.EXTENDED_JSON,)):
        target = MemoryStore("target")
        await migrate(connector(source, types=(wire.BSON,)), connector(target, types=types), settings())
        back = MemoryStore("back")
        await migrate(connector(target, types=types), connector(back, types=(wire.BSON,)), settings())
        assert contents(back, "a") == contents(source, "a")


async def test_a_defect_in_a_connector_is_not_taken_for_success() -> None:
    class Broken(Faulty):
        async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
            raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, DsyncError)):
        await migrate(connector(store_with(a=documents(5))), Broken(connector(MemoryStore("t"))), settings())


class LateFailure(Delegate):
    """The first batch fails when the second is written."""

    def __init__(self, inner: Connector) -> None:
        super().__init__(inner)
        self.calls = 0
        self.second = asyncio.Event()

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """See Connector."""
        self.calls += 1
        if self.calls == 1:
            await self.second.wait()
            raise LOST
        answer = await self.inner.WriteData(request)
        self.second.set()
        return answer


async def test_what_was_written_beyond_a_batch_that_failed_is_known() -> None:
    source, target = store_with(a=documents(100)), MemoryStore("target")
    shape = {"partitions": 1, "page_documents": 10, "preferred_batch_bytes": 300}
    tracker = Tracker()
    with pytest.raises(TransientError):
        await migrate(connector(source, **shape), LateFailure(connector(target, **shape)), settings(), tracker=tracker)
    assert contents(target, "a") and not tracker.documents
    assert tracker.wrote_beyond and judged(LOST, tracker).exit_status == 5
    nothing = Tracker()
    with pytest.raises(TransientError):
        failing = Faulty(
            connector(MemoryStore("other"), **shape), [fail("WriteData", call, LOST) for call in (1, 2, 3)]
        )
        await migrate(connector(source, **shape), failing, settings(), tracker=nothing)
    assert not nothing.wrote_beyond and judged(LOST, nothing).exit_status == 3
