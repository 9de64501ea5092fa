"""Documents that go through a process as lines are the documents that go as documents, and stay within the process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dsync import wire
from dsync.codec.lines import Lines
from dsync.connector import Connector
from dsync.endpoint import Endpoint
from dsync.errors import UsageError
from dsync.flow.step import Gathered
from dsync.run import migrate
from dsync.testing.faults import Faulty
from dsync.wire.local import LocalBatch, LocalPage
from tests.engine.driving import settings
from tests.wire.served import served

# The third page has cells that do not look the same in every line.
ROWS = b"".join(b"%d,name %d\n" % (number, number) for number in range(9000))
HARD = b'20000,"two\nlines"\n20001,"a ""quote"""\n'


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(b"id,name\n" + ROWS + HARD + ROWS.replace(b"name", b"other"))
    return path


def page(lines: bytes = b"", data: tuple[bytes, ...] = ()) -> wire.ListDataResponse:
    return wire.ListDataResponse(lines=lines, lines_count=lines.count(b"\n"), data=data)


def test_lines_are_a_sequence_of_documents() -> None:
    lines = Lines(b'{"a":1}\n{"a":2}\n', 2)
    assert (len(lines), lines[1], lines[:], list(lines)) == (2, b'{"a":2}', [b'{"a":1}', b'{"a":2}'], lines[0:2])
    assert not Lines(b"", 0)[:]
    assert lines.part(slice(0, 5)) is lines
    assert (lines.part(slice(1, 2)).text, len(lines.part(slice(1, 2)))) == (b'{"a":2}\n', 1)


def test_pages_of_lines_become_one_text_and_any_other_page_takes_them_apart() -> None:
    gathered = Gathered()
    assert gathered.take(page(b"1\n2\n")) and gathered.take(page(b"3\n"))
    assert (gathered.count, gathered.size) == (3, 3)
    assert gathered.request().lines == b"1\n2\n3\n"
    assert gathered.take(page(data=(b"[\n4]",))) and gathered.take(page(b"5\n")) and gathered.take(page())
    request = gathered.request()
    assert (list(request.data), request.lines, gathered.count, gathered.size) == (
        [b"1", b"2", b"3", b"[\n4]", b"5"],
        b"",
        5,
        8,
    )


async def pages(connector: Connector, *, lines: bool) -> AsyncIterator[wire.ListDataResponse]:
    plan = await connector.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))
    for partition in plan.partitions:
        cursor = b""
        while True:
            request = wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON, cursor=cursor, lines=lines)
            answer = await connector.ListData(request)
            yield answer
            cursor = answer.next_cursor
            if not cursor:
                break


@pytest.mark.parametrize("batch_size", [100, 5000])
async def test_a_page_of_lines_is_the_same_page(table: Path, batch_size: int) -> None:
    async with Endpoint(str(table), {"batch_size": batch_size}).create() as source:
        plain = [answer async for answer in pages(source, lines=False)]
        in_lines = [answer async for answer in pages(source, lines=True)]
    assert [answer.next_cursor for answer in plain] == [answer.next_cursor for answer in in_lines]
    apart = [list(each.data) or Lines(each.lines, each.lines_count)[:] for each in in_lines]
    assert [list(answer.data) for answer in plain] == apart
    assert all(answer.lines for answer in in_lines)


class Watched(Faulty):
    """Remembers in which form batches came."""

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        self.calls["lines" if request.lines else "data"] += 1
        return await super().WriteData(request)


class Deaf(Watched):
    """Does not say that it takes lines."""

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        info = await super().GetInfo(request)
        info.capabilities.sink.lines = False
        return info


@pytest.mark.parametrize(("name", "options"), [("a.jsonl", {}), ("a.json", {}), ("a.jsonl.gz", {}), ("a.csv", {})])
async def test_a_destination_is_the_same_whichever_way_it_was_written(
    tmp_path: Path, table: Path, name: str, options: dict[str, Any]
) -> None:
    written = {}
    for kind in (Watched, Deaf):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        sink = kind(Endpoint(str(folder / name), options).create())
        # the same batches, each of which is compressed on its own
        await migrate(Endpoint(str(table)), sink, settings(writer_batch_size=4000))
        assert (sink.calls["lines"] > 0) == (kind is Watched and name != "a.csv")
        written[kind] = (folder / name).read_bytes()
    assert written[Watched] == written[Deaf]


async def test_dead_letters_need_documents(tmp_path: Path, table: Path) -> None:
    sink = Watched(Endpoint(str(tmp_path / "a.jsonl")).create())
    aside = settings(dead_letters=str(tmp_path / "dead"))
    await migrate(Endpoint(str(table)), sink, aside)
    assert not sink.calls["lines"]


async def test_other_processes_are_neither_given_lines_nor_taken_at_their_word(tmp_path: Path, table: Path) -> None:
    async with served(Endpoint(str(table)).create()) as client:
        assert not (await client.GetInfo(wire.GetInfoRequest())).capabilities.source.lines
        assert not any([answer.lines async for answer in pages(client, lines=True)])
    async with served(Endpoint(str(tmp_path / "a.jsonl")).create()) as client:
        assert not (await client.GetInfo(wire.GetInfoRequest())).capabilities.sink.lines
        with pytest.raises(UsageError, match="lines are not taken"):
            await client.WriteData(
                wire.WriteDataRequest(namespace="a", type=wire.EXTENDED_JSON, lines=b"no json\n", lines_count=1)
            )
    assert not (tmp_path / "a.jsonl").exists()


def test_documents_go_without_messages_around_them_where_the_sink_takes_that() -> None:
    gathered = Gathered()
    assert gathered.take(LocalPage([b"1", b"2"], 2, b"next")) and gathered.take(page(data=(b"3",)))
    batch = gathered.request(local=True, namespace="n", type=wire.BSON, write_id="f/0/0/n")
    assert isinstance(batch, LocalBatch)
    assert (list(batch.data), batch.namespace, batch.lines_count, gathered.size) == ([b"1", b"2", b"3"], "n", 0, 3)
    message = gathered.request(namespace="n", type=wire.BSON, write_id="f/0/0/n")
    assert list(message.data) == list(batch.data)


def test_a_single_page_is_handed_on_as_it_came() -> None:
    documents = (b"1", b"2")
    gathered = Gathered()
    assert gathered.take(LocalPage((), 0, b"first")) and gathered.take(LocalPage(documents, 2, b"next"))
    batch = gathered.request(local=True, namespace="n", type=wire.BSON, write_id="f/0/0/n")
    assert isinstance(batch, LocalBatch)
    assert batch.data is documents


def test_an_empty_page_leaves_lines_what_they_are() -> None:
    gathered = Gathered()
    assert gathered.take(LocalPage((), 0, b"next", b"{}\n{}\n", 2)) and gathered.take(LocalPage((), 0, b""))
    batch = gathered.request(local=True, namespace="n", type=wire.EXTENDED_JSON, write_id="f/0/0/n")
    assert (batch.lines, batch.lines_count, list(batch.data), gathered.size) == (b"{}\n{}\n", 2, [], 4)
