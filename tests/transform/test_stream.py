"""Changes through a transform: what is left of a document at the destination follows from the document, whatever came before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync import wire
from dsync.codec import raw
from dsync.errors import DataError, GapError, LimitError, SetAsideError, UsageError
from dsync.progress import Tracker
from dsync.progress.text import stream_line
from dsync.run import migrate
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from tests.engine.driving import connector, settings, store_with
from tests.transform.driving import found, function, numbered


class Run:
    """A source whose changes are followed through a function, one run after the other."""

    def __init__(self, folder: Path, name: str, count: int = 8) -> None:
        self.source, self.target = store_with(a=numbered(range(count))), MemoryStore("target")
        self.tracker = Tracker()
        self.settings = settings(
            folder / "state.db", transform=function(name), mode="Full", until_caught_up=True, restart=False
        )
        self.reader: Callable[[MemoryStore], MemoryConnector] = connector

    async def __call__(self) -> dict[str, list[Any]]:
        self.tracker = Tracker()
        await migrate(self.reader(self.source), connector(self.target), self.settings, tracker=self.tracker)
        return found(self.target)

    def put(self, identity: int, number: int) -> None:
        self.source.put("a", bson.encode({"_id": identity, "number": number, "text": "new"}))

    def delete(self, identity: int) -> None:
        self.source.delete("a", bson.encode({"_id": identity}))


async def test_inserts_updates_and_deletes_arrive_changed(tmp_path: Path) -> None:
    run = Run(tmp_path, "mark", 3)
    await run()
    run.put(1, 100)
    run.put(9, 9)
    run.delete(0)
    assert await run() == {"a": [1, 2, 9]}
    documents = {document["_id"]: document for document in map(bson.decode, run.target.documents("a"))}
    assert documents[1] == {"_id": 1, "number": 100, "text": "new", "marked": True}
    assert documents[9]["marked"]


async def test_a_document_that_moves_to_another_namespace_leaves_the_one_it_was_in(tmp_path: Path) -> None:
    run = Run(tmp_path, "by_parity", 4)
    assert await run() == {"a_even": [0, 2], "a_odd": [1, 3]}
    run.put(0, 5)
    run.put(7, 7)
    run.delete(3)
    assert await run() == {"a_even": [2], "a_odd": [0, 1, 7]}


async def test_a_document_that_is_filtered_out_now_goes_and_one_that_is_no_more_comes(tmp_path: Path) -> None:
    run = Run(tmp_path, "even", 4)
    assert await run() == {"a": [0, 2]}
    run.put(0, 1)
    run.put(3, 4)
    assert await run() == {"a": [2, 3]}
    assert run.tracker.filtered == 1
    assert "2 updates applied, 1 filtered out" in stream_line(run.tracker)


async def test_parts_that_a_document_no_longer_has_go(tmp_path: Path) -> None:
    run = Run(tmp_path, "split", 4)
    assert await run() == {"a_parts": ["1/0", "2/0", "2/1", "3/0", "3/1", "3/2"]}
    run.put(3, 1)
    run.put(1, 2)
    run.delete(2)
    assert await run() == {"a_parts": ["1/0", "1/1", "3/0"]}


async def test_of_several_versions_at_once_only_the_last_ones_parts_stay(tmp_path: Path) -> None:
    run = Run(tmp_path, "split", 1)
    await run()
    for number in (3, 2, 1):
        run.put(5, number)
    run.put(6, 3)
    run.delete(6)
    assert await run() == {"a_parts": ["5/0"]}


@pytest.mark.parametrize("name", ["split_anyhow", "forget_deletes"])
async def test_a_function_whose_deletes_do_not_name_what_it_made_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    run = Run(tmp_path, name)
    with pytest.raises(UsageError, match="does not name when the document is deleted") as refused:
        await run()
    assert "InitialSync" in refused.value.remedy
    assert not found(run.target)
    run.settings = settings(transform=function(name))
    assert await run()


async def test_it_is_refused_in_the_copy_where_the_first_documents_did_not_show_it(tmp_path: Path) -> None:
    run = Run(tmp_path, "late_split", 2000)
    with pytest.raises(UsageError, match="does not name when the document is deleted"):
        await run()


async def test_it_is_refused_in_the_stream_where_the_copy_did_not_show_it(tmp_path: Path) -> None:
    run = Run(tmp_path, "late_split")
    await run()
    run.put(5, 1990)
    for _ in range(2):  # the position stays before it
        with pytest.raises(UsageError, match="does not name when the document is deleted"):
            await run()
    run.put(5, 5)
    assert await run() == {"a": list(range(8))}


async def test_two_documents_that_become_one_are_refused_where_changes_are_followed(tmp_path: Path) -> None:
    run = Run(tmp_path, "half")
    with pytest.raises(UsageError, match="one document of two of 'a'"):
        await run()


async def test_updates_that_the_function_fails_on_are_set_aside_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    run = Run(tmp_path, "raises", 4)
    await run()
    run.settings = settings(
        tmp_path / "state.db", transform=function("raises"), mode="Full", until_caught_up=True, dead_letters=str(path)
    )
    run.put(1, 17)
    run.put(2, 22)
    with pytest.raises(SetAsideError, match="1 documents"):
        await run()
    kept = {document["_id"]: document["number"] for document in map(bson.decode, run.target.documents("a"))}
    assert kept == {0: 0, 1: 1, 2: 22, 3: 3}
    (letter,) = map(json.loads, path.read_text().splitlines())
    assert (letter["id"], letter["update"]) == ([{"_id": 1}], "UPDATE_TYPE_UPDATE")
    assert letter["document"]["number"] == 17


async def test_a_failure_stops_the_stream_and_the_same_command_goes_on_there(tmp_path: Path) -> None:
    run = Run(tmp_path, "raises", 4)
    await run()
    run.put(1, 17)
    for _ in range(2):
        with pytest.raises(DataError, match="ValueError"):
            await run()


async def test_deletes_of_the_source_count_for_the_most_that_may_be_deleted(tmp_path: Path) -> None:
    run = Run(tmp_path, "split")
    await run()
    run.settings = settings(
        tmp_path / "state.db", transform=function("split"), mode="Full", until_caught_up=True, max_delete=1
    )
    run.put(3, 1)
    run.delete(2)
    await run()
    run.delete(5)
    run.delete(6)
    with pytest.raises(LimitError):
        await run()


class Partially(MemoryConnector):
    """Sends what is put as a partial update."""

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> Any:
        async for answer in super().StreamUpdates(request):
            for update in answer.updates:
                if update.type != wire.DELETE:
                    update.type, update.data = wire.PARTIAL_UPDATE, bson.encode({"number": 77})
            yield answer


class Blindly(Partially):
    """And does not read again."""

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        raise self._lacks("GetByIds")


async def test_partial_updates_are_read_again_where_the_source_can(tmp_path: Path) -> None:
    run = Run(tmp_path, "mark", 3)
    run.reader = Partially
    await run()
    run.put(1, 50)
    run.put(2, 60)
    run.delete(2)
    await run()
    documents = {document["_id"]: document for document in map(bson.decode, run.target.documents("a"))}
    assert documents.keys() == {0, 1}
    assert documents[1] == {"_id": 1, "number": 50, "text": "new", "marked": True}


async def test_partial_updates_stop_the_run_where_it_cannot(tmp_path: Path) -> None:
    run = Run(tmp_path, "mark", 3)
    run.reader = Blindly
    await run()
    run.put(1, 50)
    with pytest.raises(GapError, match="partial updates, which cannot go through a transform"):
        await run()


async def test_a_dropped_namespace_stops_the_run() -> None:
    from dsync.flow.updates import whole_updates

    with pytest.raises(GapError, match="'a' was dropped"):
        await whole_updates(connector(MemoryStore("s")), "a", [wire.Update(type=wire.DROP)], wire.BSON)


async def test_another_transform_is_refused_for_the_stream_too(tmp_path: Path) -> None:
    run = Run(tmp_path, "mark")
    await run()
    run.settings = settings(tmp_path / "state.db", transform=function("keep"), mode="Full", until_caught_up=True)
    with pytest.raises(UsageError, match="the transform is"):
        await run()


async def test_changes_are_not_led_back_through_a_transform(tmp_path: Path) -> None:
    run = Run(tmp_path, "mark")
    await run()
    run.settings = settings(transform=function("mark"), mode=None, reverse=True)
    with pytest.raises(UsageError, match="--reverse cannot lead changes back through a transform"):
        await run()


def test_ids_are_told_apart_as_stores_do() -> None:
    one, same, other = ({"_id": value} for value in (1, bson.Int64(1), "1"))
    keys = [raw.id_key(*raw.id_of(bson.encode(each))) for each in (one, same, other)]
    assert keys[0] == keys[1] != keys[2]
