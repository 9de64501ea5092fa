"""Copies through a transform: whatever it makes arrives once, what it leaves out is counted, what it fails on is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync.errors import DataError, SetAsideError, TransientError, UsageError
from dsync.progress import Tracker
from dsync.progress.text import summary
from dsync.run import migrate
from dsync.testing.faults import Fault, Faulty
from dsync.testing.store import MemoryStore
from tests.engine.driving import connector, settings, store_with
from tests.transform.driving import found, function, numbered

EITHER = pytest.mark.parametrize("keyed", [True, False], ids=["keyed", "staged"])


async def copied(name: str, keyed: bool = True, count: int = 300, **changes: Any) -> tuple[MemoryStore, Tracker]:
    """What a copy of numbered documents through a function leaves, and its counters."""
    target, tracker = MemoryStore("target"), Tracker()
    source = connector(store_with(a=numbered(range(count))))
    asked = settings(transform=function(name), writer_batch_size=50, **changes)
    await migrate(source, connector(target, keyed=keyed), asked, tracker=tracker)
    return target, tracker


@EITHER
async def test_documents_are_changed_on_their_way(keyed: bool) -> None:
    target, tracker = await copied("mark", keyed)
    assert found(target) == {"a": sorted(range(300), key=str)}
    assert all(bson.decode(document)["marked"] for document in target.documents("a"))
    assert tracker.documents == 300


@EITHER
async def test_documents_go_to_other_namespaces_and_the_one_they_all_left_is_not_made(keyed: bool) -> None:
    target, tracker = await copied("by_parity", keyed)
    assert {name: len(ids) for name, ids in found(target).items()} == {"a_odd": 150, "a_even": 150}
    assert "a" not in target.namespaces
    lines = "\n".join(summary(tracker))
    assert "  a_even: 150 documents" in lines
    assert "  a:" not in lines


@EITHER
async def test_one_document_becomes_many(keyed: bool) -> None:
    target, tracker = await copied("split", keyed)
    expected = sorted(f"{n}/{part}" for n in range(300) for part in range(n % 4))
    assert found(target) == {"a_parts": expected}
    assert tracker.documents == len(expected)


@EITHER
async def test_what_is_left_out_on_purpose_is_counted(keyed: bool) -> None:
    target, tracker = await copied("even", keyed)
    assert found(target) == {"a": sorted(range(0, 300, 2), key=str)}
    assert tracker.namespaces["a"].filtered == 150
    assert any("150 filtered out" in line for line in summary(tracker))


async def test_a_namespace_of_which_nothing_is_left_is_published_empty() -> None:
    target, tracker = MemoryStore("target"), Tracker()
    source = connector(store_with(a=numbered(range(1, 20, 2))))
    await migrate(source, connector(target, keyed=False), settings(transform=function("even")), tracker=tracker)
    assert "a" in target.namespaces
    assert not target.documents("a")
    assert tracker.namespaces["a"].filtered == 10


@EITHER
async def test_documents_that_the_function_fails_on_are_set_aside(tmp_path: Path, keyed: bool) -> None:
    path = tmp_path / "letters"
    target, tracker = MemoryStore("target"), Tracker()
    asked = settings(transform=function("raises"), dead_letters=str(path), writer_batch_size=50)
    with pytest.raises(SetAsideError, match="30 documents"):
        source = connector(store_with(a=numbered(range(300))))
        await migrate(source, connector(target, keyed=keyed), asked, tracker=tracker)
    bad = set(range(7, 300, 10))
    assert set(found(target)["a"]) == set(range(300)) - bad
    letters = [json.loads(line) for line in path.read_text().splitlines()]
    assert {letter["document"]["_id"] for letter in letters} == bad
    assert len(letters) == len(bad), "a try before the copy writes no letters"
    assert "ValueError at line" in letters[0]["reason"]
    assert any("30 that the transform failed on set aside" in line for line in summary(tracker))


async def test_without_dead_letters_a_failure_stops_the_run() -> None:
    with pytest.raises(DataError, match=r'"_id":\d*7 of'):
        await copied("raises")


@EITHER
async def test_a_run_that_goes_on_ends_with_the_same_as_one_that_was_never_stopped(tmp_path: Path, keyed: bool) -> None:
    whole, _ = await copied("split", keyed)
    source, target = store_with(a=numbered(range(300))), MemoryStore("target")
    asked = settings(tmp_path / "state.db", transform=function("split"), writer_batch_size=50)
    for call in (2, 3, 2):
        fault = Fault("WriteData", call, calls=100, after=True, error=TransientError("lost"))
        with pytest.raises(TransientError):
            await migrate(connector(source), Faulty(connector(target, keyed=keyed), [fault]), asked)
    await migrate(connector(source), connector(target, keyed=keyed), asked)
    assert found(target) == found(whole)
    assert not target.staged


async def test_a_name_is_mapped_before_the_transform_sees_it() -> None:
    from dsync.namespaces import parse

    target, _ = await copied("by_parity", selection=parse(["a:b"]))
    assert set(found(target)) == {"b_odd", "b_even"}


async def test_other_ids_on_another_try_are_refused_before_anything_is_written() -> None:
    with pytest.raises(UsageError, match="does not repeat itself"):
        await copied("random_ids")


async def test_an_unfinished_copy_refuses_another_transform_by_name(tmp_path: Path) -> None:
    source, target = store_with(a=numbered(range(300))), MemoryStore("target")
    asked = settings(tmp_path / "state.db", transform=function("mark"), writer_batch_size=50)
    with pytest.raises(TransientError):
        fault = Fault("WriteData", 2, calls=100, error=TransientError("lost"))
        await migrate(connector(source), Faulty(connector(target), [fault]), asked)
    for other in (function("keep"), None):
        with pytest.raises(UsageError, match=r"the transform is .*'python:tests.transform.functions:mark'"):
            changed = settings(tmp_path / "state.db", transform=other, writer_batch_size=50)
            await migrate(connector(source), connector(target), changed)


async def test_somebody_elses_namespace_is_refused_before_it_is_written_to_even_when_it_comes_late() -> None:
    target = MemoryStore("target")
    target.load("a_odd", numbered([1]))
    source = connector(store_with(a=numbered([*range(0, 1000, 2), 1001])), partitions=1)
    with pytest.raises(UsageError, match="already has 'a_odd'"):
        asked = settings(transform=function("by_parity"), writer_batch_size=50)
        await migrate(source, connector(target, keyed=False), asked)
    assert found(target) == {"a_odd": [1]}
    assert not [name for name in target.staged if name.endswith("a_odd")]


async def test_a_transform_cannot_write_to_what_is_read() -> None:
    store = store_with(a=numbered(range(10)), a_even=[])
    with pytest.raises(UsageError, match="'a_even'"):
        await migrate(connector(store), connector(store), settings(transform=function("by_parity")))
    assert len(store.documents("a")) == 10
    assert not store.documents("a_even")


async def test_two_documents_with_one_id_are_found_out_in_a_namespace_that_came_to_be() -> None:
    source = store_with(a=numbered(range(10)), b=numbered(range(5)))
    with pytest.raises(DataError, match="'all' has 10 documents after 15 were written"):
        await migrate(connector(source), connector(MemoryStore("target")), settings(transform=function("together")))


def test_worker_processes_get_the_transform() -> None:
    from dsync import wire
    from dsync.endpoint import Endpoint
    from dsync.flow.ends import Assignment, Wrapping
    from dsync.flow.step import StepSettings
    from dsync.flow.transform import Transforming

    how = Transforming(function("mark"), wire.BSON, wire.BSON, wire.BSON, True, True, ("a", "b"))
    wrapping = Wrapping(native=wire.BSON, type=wire.BSON, retry_for=0, transforming=how)
    steps = StepSettings(flow="f", type=wire.BSON, batch_bytes=1, batch_documents=1)
    assignment = Assignment(Endpoint("/dev/fakesource"), Endpoint("/dev/null"), wrapping, steps, 1)
    assert Assignment.from_json(assignment.to_json()) == assignment


async def test_a_copy_made_anew_leaves_nothing_of_what_the_last_one_made(tmp_path: Path) -> None:
    source, target = store_with(a=numbered(range(10))), MemoryStore("target")
    target.load("other", numbered([1]))
    asked = settings(tmp_path / "state.db", transform=function("by_parity"))
    await migrate(connector(source), connector(target, keyed=False), asked)
    for number in range(1, 10, 2):
        source.delete("a", bson.encode({"_id": number}))
    await migrate(connector(source), connector(target, keyed=False), asked)
    assert found(target) == {"a_even": [0, 2, 4, 6, 8], "other": [1]}
    assert "a_odd" in target.namespaces


async def test_what_the_last_copy_made_and_somebody_replaced_since_is_left_alone(tmp_path: Path) -> None:
    source, target = store_with(a=numbered(range(10))), MemoryStore("target")
    asked = settings(tmp_path / "state.db", transform=function("by_parity"))
    await migrate(connector(source), connector(target, keyed=False), asked)
    del target.namespaces["a_odd"]
    target.load("a_odd", numbered([77]))
    with pytest.raises(UsageError, match="already has 'a_odd'"):
        await migrate(connector(source), connector(target, keyed=False), asked)
    for number in range(1, 10, 2):
        source.delete("a", bson.encode({"_id": number}))
    await migrate(
        connector(source),
        connector(target, keyed=False),
        settings(tmp_path / "state.db", transform=function("by_parity"), restart=True),
    )
    assert found(target)["a_odd"] == [77]


async def test_a_worker_process_finds_the_function_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsync import wire
    from dsync.endpoint import Endpoint
    from dsync.flow.ends import Assignment, Wrapping
    from dsync.flow.step import StepSettings
    from dsync.flow.transform import Transforming
    from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Step
    from dsync.workers.process import Process

    monkeypatch.chdir(tmp_path)
    (tmp_path / "beside.py").write_text("def f(namespace, document, id):\n    yield 'here', {'_id': id}\n")
    (tmp_path / "a.jsonl").write_text('{"_id":1}\n{"_id":2}\n')
    how = Transforming(Endpoint("python:beside:f"), wire.EXTENDED_JSON, wire.EXTENDED_JSON, wire.EXTENDED_JSON, True)
    wrapping = Wrapping(native=wire.EXTENDED_JSON, type=wire.EXTENDED_JSON, retry_for=0, transforming=how)
    steps = StepSettings(flow="f", type=wire.EXTENDED_JSON, batch_bytes=1 << 20, batch_documents=100)
    source = Endpoint(str(tmp_path / "a.jsonl"))
    async with source.create() as reader:
        plan = await reader.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))
    planned = PlannedPartition(number=0, partition=plan.partitions[0], destination="a")
    worker = Process(Assignment(source, Endpoint("/dev/null"), wrapping, steps, 64 << 20))
    await worker.start()
    try:
        asked = await worker.step(Step(planned=planned, checkpoint=Checkpoint()), lambda at: None)
        assert (list(asked.unadmitted), asked.checkpoint.read) == (["here"], 0)
        done = await worker.step(Step(planned=planned, checkpoint=Checkpoint(), admitted=["here"]), lambda at: None)
    finally:
        await worker.close()
    assert done.checkpoint.done
    assert [(each.namespace, each.documents) for each in done.checkpoint.written] == [("here", 2)]
