"""The calls of a program: they take what the command line takes, tell what happens, and are what the command line calls."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dsync
from dsync import endpoint
from dsync.errors import DataError, UsageError
from dsync.testing import samples
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from tests.kit.cli import TOP, Dsync

PEOPLE = str(TOP / "test_data" / "people.csv")
MEMORY = dsync.Settings(metadata="memory:", retry_for=0)


def test_importing_dsync_imports_nothing_else_until_a_name_is_used() -> None:
    code = (
        "import sys, dsync; print(*sorted(n for n in sys.modules if n.partition('.')[0] in {heavy}), dir(dsync) != [])"
    )
    heavy = {"grpc", "bson", "pymongo", "google", "click", "asyncio", "dsync"} - {"dsync"}
    command = [sys.executable, "-c", code.replace("{heavy}", str(heavy))]
    assert subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout == "True\n"


def test_every_name_is_there_and_others_are_not() -> None:
    assert {name for name in dsync.__all__ if getattr(dsync, name) is not None} == set(dsync.__all__) <= set(dir(dsync))
    with pytest.raises(AttributeError, match="no attribute 'migrat'"):
        _ = dsync.migrat  # type: ignore[attr-defined] # that is the point


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (["{people}", "out.jsonl"], "dsync.run.migrate"),
        (["plan", "{people}", "out.jsonl"], "dsync.preview.plan"),
        (["check", "{people}"], "dsync.preview.check"),
        (["verify", "{people}", "{people}"], "dsync.flow.verify.verify"),
        (["repair", "--from", "{people}", "{people}", "{people}"], "dsync.flow.repair.repair"),
        (["serve", "--address", "127.0.0.1:0", "{people}"], "dsync.wire.server.serving"),
    ],
)
def test_a_command_makes_the_call_that_a_program_makes(
    words: list[str], call: str, inline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class CalledError(dsync.errors.DsyncError):
        exit_status = 77

    def called(*_: object, **__: object) -> None:
        raise CalledError("called")

    assert getattr(dsync, call.rpartition(".")[2]).__module__ == call.rpartition(".")[0]
    monkeypatch.setattr(call, called)
    assert inline(*(word.replace("{people}", PEOPLE) for word in words)).status == 77


async def test_a_program_goes_on_with_the_flow_of_the_command_line(command: Dsync) -> None:
    folder = command.folder
    target, state = folder / "people.bson", folder / "state.db"
    command(PEOPLE, "--types", "infer", target, "-m", state)
    settings = dsync.Settings(metadata=str(state))
    again = await dsync.migrate(dsync.Endpoint(PEOPLE, {"types": "infer"}), str(target), settings)
    assert again.complete
    listed = command("-m", state, "state", "list").out.splitlines()
    assert len(listed) == 1
    assert '"generation": 2' in command("-m", state, "state", "show", listed[0].split()[0]).out


async def test_a_string_may_carry_options_as_on_the_command_line() -> None:
    uri = "fakesource://?num-docs-per-partition=7&num_partitions_per_namespace=1"
    assert (await dsync.migrate(uri, "/dev/null", MEMORY)).documents == 7


def test_options_are_converted_and_completed_as_on_the_command_line() -> None:
    given = dsync.Endpoint("/dev/fakesource", {"num_docs_per_partition": "7", "seed": None})
    settled = endpoint.settled(given, "source")
    assert isinstance(settled, dsync.Endpoint)
    names = {option.name for option in endpoint.own_options(settled.spec, "source")}
    assert settled.options.keys() == names
    assert settled.options["num_docs_per_partition"] == 7
    assert endpoint.settled(settled, "source") == settled


@pytest.mark.parametrize(
    ("end", "role", "said"),
    [
        ("mongdb://x", "source", "did you mean 'mongodb'"),
        ("/dev/null", "source", "null cannot be read from; it can be a destination"),
        ("/dev/fakesource", "destination", "cannot be written to"),
        (dsync.Endpoint("/dev/fakesource", {"num_doc": 1}), "source", "has no option 'num_doc' here"),
        (dsync.Endpoint("/dev/fakesource", {"num_docs_per_partition": "many"}), "source", "'many' is not a valid"),
        ("fakesource://?sleeep=1", "source", "did you mean 'sleep'"),
        (dsync.Endpoint("x.csv", {"batch_size": 7}), "destination", "has no option 'batch_size' here"),
    ],
)
def test_what_the_command_line_would_refuse_is_refused(end: Any, role: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        endpoint.settled(end, role)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "full"},
        {"copiers": 0},
        {"writer_batch_size": 0},
        {"retry_for": -1},
        {"max_delete": -1},
        {"duplicates": "x"},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        dsync.Settings(**wrong)


def stores(count: int) -> tuple[MemoryConnector, MemoryConnector]:
    source = MemoryStore("source")
    source.load("shop.orders", samples.documents(count))
    return MemoryConnector(source), MemoryConnector(MemoryStore("target"))


async def test_events_tell_the_story_in_its_order_and_cannot_be_changed() -> None:
    source, target = stores(500)
    told: list[dsync.Event] = []
    settings = dataclasses.replace(MEMORY, until_caught_up=True)
    done = await dsync.migrate(source, target, settings, on_event=told.append)
    assert [event.stage for event in told if isinstance(event, dsync.StageEntered)] == ["copying", "following", "done"]
    copied = [event for event in told if isinstance(event, dsync.Copied)]
    assert [event.documents for event in copied] == sorted(event.documents for event in copied)
    assert (copied[-1].documents, copied[-1].partitions_done, copied[-1].partitions) == (500, 2, 2)
    [finished] = [event for event in told if isinstance(event, dsync.Finished)]
    assert told.index(finished) > told.index(copied[-1])
    assert (finished.namespace, finished.documents) == ("shop.orders", 500)
    assert any(isinstance(event, dsync.Applied) and event.lag_seconds == 0 for event in told)
    with pytest.raises(AttributeError, match="immutable"):
        finished.documents = 1  # type: ignore[misc] # that is the point
    assert (done.complete, done.documents, done.namespaces["shop.orders"].finished) == (True, 500, True)


async def test_warnings_are_events_and_stand_in_the_result() -> None:
    told: list[dsync.Event] = []
    source, target = stores(5)
    target.store.load("shop.orders", samples.documents(3, first=100))
    settings = dataclasses.replace(MEMORY, mode="InitialSync")
    done = await dsync.migrate(source, target, settings, on_event=told.append)
    assert [event.text for event in told if isinstance(event, dsync.Warned)] == list(done.warnings)
    assert any("held 3 documents" in text for text in done.warnings)


async def test_what_a_listener_raises_ends_the_run_and_the_same_call_goes_on(tmp_path: Path) -> None:
    source, target = stores(3000)
    settings = dataclasses.replace(
        MEMORY, metadata=str(tmp_path / "state.db"), mode="InitialSync", writer_batch_size=100
    )

    def enough(event: dsync.Event) -> None:
        if isinstance(event, dsync.Copied) and event.documents >= 500:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await dsync.migrate(source, target, settings, on_event=enough)
    done = await dsync.migrate(MemoryConnector(source.store), MemoryConnector(target.store), settings)
    assert done.complete
    assert done.run_documents < done.documents == 3000


async def test_a_stopped_run_is_not_complete() -> None:
    source, target = stores(10)
    stop = asyncio.Event()

    def show(event: dsync.Event) -> None:
        if isinstance(event, dsync.Applied):
            stop.set()

    done = await dsync.migrate(source, target, MEMORY, on_event=show, stop=stop)
    assert (done.complete, done.stage) == (False, "following")


async def test_plan_and_check_touch_nothing_and_say_what_would_be() -> None:
    source, target = stores(10)
    found = await dsync.plan(source, target, dsync.Settings(selection=dsync.Selection.of("shop:archive")))
    assert [(each.source, each.destination, each.documents) for each in found.namespaces] == [
        ("shop.orders", "archive.orders", 10)
    ]
    assert not target.store.namespaces
    assert (await dsync.check(PEOPLE)).db_type == "file"
    assert (await dsync.check("/dev/null")).capabilities.HasField("sink")


async def test_verify_and_repair_take_paths_and_tell_differences(tmp_path: Path) -> None:
    source, target = stores(100)
    target.store.load("shop.orders", samples.documents(90))
    report, told = tmp_path / "differences.jsonl", list[dsync.Difference]()
    settings = dsync.VerifySettings(recheck=0)
    found = await dsync.verify(source, target, settings, report, on_difference=told.append)
    assert (found.result, dict(found.differences), len(told)) == ("different", {"missing": 10}, 10)
    assert (await dsync.repair(source, target, report)).total == {"written": 10}
    assert (await dsync.verify(source, target, settings)).result == "equal"
    report.write_text('{"kind":"missing"}\n')
    with pytest.raises(DataError, match="line 1 of the report"):
        await dsync.repair(source, target, report)


def test_names_of_a_selection_are_read_as_on_the_command_line() -> None:
    chosen = dsync.Selection.of("shop", "hr.people:archive.staff", exclude="shop.tmp")
    assert chosen.destination("hr.people") == "archive.staff"
    assert chosen.excludes("shop.tmp")


async def test_a_cancelled_run_goes_on(tmp_path: Path) -> None:
    source, target = stores(3000)
    settings = dataclasses.replace(
        MEMORY, metadata=str(tmp_path / "state.db"), mode="InitialSync", writer_batch_size=100
    )
    begun = asyncio.Event()
    run = asyncio.create_task(dsync.migrate(source, target, settings, on_event=lambda event: begun.set()))
    await begun.wait()
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    done = await dsync.migrate(MemoryConnector(source.store), MemoryConnector(target.store), settings)
    assert (done.complete, done.documents) == (True, 3000)
    assert len(target.store.documents("shop.orders")) == 3000


async def test_runs_go_on_side_by_side_and_stand_in_the_state(tmp_path: Path) -> None:
    state = str(tmp_path / "state.db")
    settings = dsync.Settings(metadata=state, mode="InitialSync")
    targets = [str(tmp_path / f"{number}.bson") for number in range(3)]
    done = await asyncio.gather(*(dsync.migrate(PEOPLE, target, settings) for target in targets))
    assert [each.documents for each in done] == [12, 12, 12]
    async with dsync.open_state(state) as opened:
        assert len(await opened.flows()) == 3


async def test_the_counters_are_there_after_a_failure(tmp_path: Path) -> None:
    source, _ = stores(10)
    tracker = dsync.Tracker()
    with pytest.raises(dsync.errors.DsyncError):
        await dsync.migrate(source, "/dev/null/no/such/folder/", MEMORY, tracker=tracker)
    assert tracker.namespaces["shop.orders"].documents == 0
