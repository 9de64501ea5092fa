from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import bson
import pytest

from connectors.testconn import changes, durable
from connectors.testconn.connector import TestconnConnector
from dsync import wire
from dsync.connector import Connector
from dsync.errors import CursorError, DataError, DsyncError, EndpointError, GapError, NotFoundError, UsageError
from tests.small.driving import follow, plan, read_all

Part = wire.FinishNamespaceRequest.Part


def connector(folder: Path, **options: Any) -> Connector:
    return TestconnConnector(f"testconn://{folder}", options)


def bootstrap(folder: Path, content: bytes) -> Connector:
    (folder / "bootstrap.json").write_bytes(content)
    return connector(folder)


def updates(folder: Path, content: bytes) -> Connector:
    (folder / "updates.json").write_bytes(content)
    return connector(folder)


def batch(namespace: str, documents: list[dict[str, Any]], write_id: str = "") -> wire.WriteDataRequest:
    data = [bson.encode(document) for document in documents]
    return wire.WriteDataRequest(namespace=namespace, data=data, type=wire.BSON, write_id=write_id)


def end(namespace: str, count: int, flow: str = "f") -> wire.FinishNamespaceRequest:
    return wire.FinishNamespaceRequest(namespace=namespace, flow=flow, parts=[Part(partition="p", count=count)])


async def ids(source: Connector) -> list[Any]:
    return [bson.decode(document)["_id"] for document in await read_all(source)]


async def test_lines_of_a_hand_are_read(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbf{"_id": 1}\r\n\r\n  {"_id": {"$numberLong": "2"}}\n{"id": "three"}\n{"name": "no id"}'
    assert await ids(bootstrap(tmp_path, text)) == [1, 2, "three", "testconn.docs:5"]
    assert (await read_all(connector(tmp_path), wire.EXTENDED_JSON))[3] == b'{"name": "no id"}'


async def test_lines_of_any_length_are_read_whatever_the_page(tmp_path: Path) -> None:
    documents = [{"_id": number, "text": "x" * size} for number, size in enumerate([0, 300_000, 5, 2_000_000])]
    bootstrap(tmp_path, b"".join(json.dumps(document).encode() + b"\n" for document in documents))
    for size in (1, 100, 1 << 20):
        read = await read_all(connector(tmp_path, page_bytes=size))
        assert [bson.decode(document) for document in read] == documents


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"_id": 1}\n{"_id": \n', "line 2"),
        (b'{"_id": 1}\n\n{"_id": 2} {"_id": 3}\n', "line 3"),
        (b'{"_id": 1}\n[1]\n', "line 2"),
        (b'[{"_id": 1}]', "line 1"),
        (b'{"_id": 1}\n{"_id": "\xff"}\n', "line 2"),
        (b'{"_id": 1}\n{"_id": 2, "_id": 3}\n', "line 2"),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_bad_lines_are_errors_with_file_and_line(tmp_path: Path, text: bytes, place: str, size: int) -> None:
    bootstrap(tmp_path, text)
    with pytest.raises(DataError, match=f"bootstrap.json', {place}"):
        await read_all(connector(tmp_path, page_bytes=size))


async def test_a_file_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    source = bootstrap(tmp_path, b'{"_id": 1}\n')
    [partition] = (await plan(source)).partitions
    bootstrap(tmp_path, b'{"_id": 1}\n{"_id": 2}\n')
    with pytest.raises(CursorError, match="has changed"):
        await source.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))


async def test_a_folder_without_the_files_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"neither bootstrap\.json nor updates\.json"):
        await plan(connector(tmp_path))


async def test_what_is_no_folder_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EndpointError, match="not a folder"):
        await connector(tmp_path / "file").open()
    with pytest.raises(UsageError, match="names no folder"):
        TestconnConnector("testconn://", {})


async def test_the_namespace_can_be_named(tmp_path: Path) -> None:
    bootstrap(tmp_path, b'{"id": 1}\n{}\n')
    named = connector(tmp_path, namespace_name="shop.orders")
    assert [part.namespace for part in (await plan(named, "shop")).partitions] == ["shop.orders"]
    assert await ids(named) == [1, "shop.orders:2"]
    with pytest.raises(NotFoundError, match=r"it has 'shop\.orders'"):
        await plan(named, "testconn.docs")


async def test_a_folder_takes_one_namespace(tmp_path: Path) -> None:
    sink = connector(tmp_path / "new")
    await sink.WriteData(batch("one", [{"_id": 1}]))
    with pytest.raises(UsageError, match="holds namespace 'one', not 'two'"):
        await sink.WriteData(batch("two", [{"_id": 1}]))


async def test_updates_by_hand_are_followed_line_by_line(tmp_path: Path) -> None:
    lines = [
        b'insert\t1\t{"_id": 1, "a": {"$numberLong": "1"}}',
        b'update\t"x"\t{"_id": "x"}',
        b"",
        b'replace\t\t{"_id": null}\r',
        b'delete\t{"$oid": "65a1b2c3d4e5f60718293a4b"}',
        b'partial\t1\t{"id": 5, "$set": 1}\t["b", "c"]',
        b'delete\t[{"shard": 1}, {"_id": 2}]\t',
    ]
    source = updates(tmp_path, b"\n".join(lines) + b"\n")
    [partition] = (await plan(source, updates=True)).updates_partitions
    [message] = await follow(source, 1, partition.cursor)
    assert message.namespace == "testconn.docs"
    kinds = [wire.INSERT, wire.UPDATE, wire.UPDATE, wire.DELETE, wire.PARTIAL_UPDATE, wire.DELETE]
    assert [update.type for update in message.updates] == kinds
    assert [[(value.type, value.name) for value in update.id] for update in message.updates] == [
        [(16, "_id")],
        [(2, "_id")],
        [(10, "_id")],
        [(7, "_id")],
        [(16, "_id")],
        [(16, "shard"), (16, "_id")],
    ]
    partial = message.updates[4]
    assert (bson.decode(partial.data), list(partial.partial_update_unset)) == ({"id": 5, "$set": 1}, ["b", "c"])


@pytest.mark.parametrize(
    "line",
    [
        b"insert",
        b"insert\t1\t",
        b"delete\t\t",
        b"delete\t1\t{}",
        b'upsert\t1\t{"_id": 1}',
        b'insert\t1\t{"a": 1}',
        b"insert\tx\t{}",
        b'insert\t1,"b":2\t{"_id": 1}',
        b"partial\t1\t[1]",
        b'partial\t1\t{"a": 1}\t{}',
        b'partial\t1\t{"a": 1}\t[',
        b"delete\t[]",
        b"delete\t[1]",
    ],
)
async def test_bad_updates_are_errors_with_file_and_line(tmp_path: Path, line: bytes) -> None:
    source = updates(tmp_path, b"delete\t1\n" + line + b"\n")
    [partition] = (await plan(source, updates=True)).updates_partitions
    with pytest.raises(DataError, match=r"updates\.json', line 2"):
        await follow(source, 1, partition.cursor)


async def test_a_line_that_is_still_written_is_waited_for(tmp_path: Path) -> None:
    source = updates(tmp_path, b"delete\t1\ndelete\t1")
    first, second = await follow(source, 2, b'["testconn",1,"updates",0,1]')
    assert (len(first.updates), len(second.updates)) == (1, 0)
    with (tmp_path / "updates.json").open("ab") as file:
        file.write(b"2\ndelete\t3")
    os.utime(tmp_path / "updates.json", (1, 1))
    settled = await follow(source, 3, second.next_cursor)
    assert [update.id[0].data[0] for message in settled for update in message.updates] == [12, 3]
    with (tmp_path / "updates.json").open("ab") as file:
        file.write(b"\ndelete\t4\n")
    [message] = await follow(source, 1, settled[1].next_cursor)
    assert [update.id[0].data[0] for update in message.updates] == [4]


async def test_the_present_is_the_end_of_the_last_whole_line(tmp_path: Path) -> None:
    source = updates(tmp_path, b"delete\t1\n" * 20_000 + b"dele")
    [message] = await follow(source, 1, b"")
    assert message.next_cursor == b'["testconn",1,"updates",180000,20001]'


async def test_a_position_in_another_file_is_a_gap(tmp_path: Path) -> None:
    source = updates(tmp_path, b"delete\t1\n")
    for position in (b'["testconn",1,"updates",3,1]', b'["testconn",1,"updates",300,1]'):
        with pytest.raises(GapError, match="another file"):
            await follow(source, 1, position)


async def test_updates_that_were_written_are_read_back(tmp_path: Path) -> None:
    sink = connector(tmp_path / "new")
    document = bson.encode({"_id": [1, "a\tb\n"], "x": "tab\t", "t": bson.Timestamp(1, 2)})
    one = wire.BsonValue(data=b"\1\0\0\0", type=16, name="_id")
    odd = wire.BsonValue(data=bson.encode({"$oid": "no"}), type=3, name="_id")
    named = wire.BsonValue(data=b"\2\0\0\0", type=16, name="shard")
    written = [
        wire.Update(id=[one], type=wire.INSERT, data=document),
        wire.Update(id=[odd], type=wire.UPDATE, data=document),
        wire.Update(id=[named, one], type=wire.DELETE),
        wire.Update(id=[one], type=wire.PARTIAL_UPDATE, data=bson.encode({"id": 1}), partial_update_unset=["a\tb"]),
    ]
    await sink.WriteUpdates(wire.WriteUpdatesRequest(namespace="n", type=wire.BSON, updates=written))
    [message] = await follow(sink, 1, b'["testconn",1,"updates",0,1]')
    assert list(message.updates) == written


@pytest.mark.parametrize(
    "update",
    [
        wire.Update(type=wire.DELETE),
        wire.Update(id=[wire.BsonValue(data=b"1", type=16)], type=wire.DELETE),
        wire.Update(id=[wire.BsonValue(data=b"\1\0\0\0", type=16)], type=wire.UPDATE),
        wire.Update(id=[wire.BsonValue(data=b"\1\0\0\0", type=16)], type=wire.DELETE, data=bson.encode({"_id": 1})),
        wire.Update(id=[wire.BsonValue(data=b"\1\0\0\0", type=16)], data=bson.encode({"_id": 1})),
    ],
)
async def test_updates_that_make_no_line_are_refused(tmp_path: Path, update: wire.Update) -> None:
    sink = connector(tmp_path)
    with pytest.raises((DataError, GapError)):
        await sink.WriteUpdates(wire.WriteUpdatesRequest(namespace="n", type=wire.BSON, updates=[update]))
    assert not (tmp_path / "updates.json").exists()


async def test_a_new_copy_drops_the_updates_to_the_old_one(tmp_path: Path) -> None:
    sink = connector(tmp_path)
    update = wire.Update(id=[wire.BsonValue(data=b"\1\0\0\0", type=16)], type=wire.DELETE)
    for generation in range(2):
        await sink.WriteData(batch("n", [{"_id": generation}], "f/p/0/n"))
        await sink.FinishNamespace(end("n", 1))
        assert not (tmp_path / "updates.json").exists() or not (tmp_path / "updates.json").read_bytes()
        await sink.WriteUpdates(wire.WriteUpdatesRequest(namespace="n", type=wire.BSON, updates=[update]))
        await sink.FinishNamespace(end("n", 1))
        assert (tmp_path / "updates.json").read_bytes() == b"delete\t1\n"


async def test_an_append_that_never_ended_is_cut_off(tmp_path: Path) -> None:
    file, note = tmp_path / "file", tmp_path / "note"
    durable.append(file, b"one\n", note)
    note.write_bytes(b"4")
    with file.open("ab") as torn:
        torn.write(b"tw")
    assert durable.safe_length(file, note) == 4
    durable.append(file, b"two\n", note)
    assert (file.read_bytes(), note.exists()) == (b"one\ntwo\n", False)


async def test_readers_do_not_see_an_append_that_never_ended(tmp_path: Path) -> None:
    sink = connector(tmp_path)
    await sink.WriteData(batch("n", [{"_id": 1}]))
    (tmp_path / ".testconn" / "bootstrap.json.length").write_bytes(b"10")
    with (tmp_path / "bootstrap.json").open("ab") as torn:
        torn.write(b'{"_id": 2')
    assert await ids(connector(tmp_path)) == [1]
    await sink.WriteData(batch("n", [{"_id": 3}]))
    assert await ids(connector(tmp_path)) == [1, 3]


async def test_documents_are_added_after_a_last_line_without_its_end(tmp_path: Path) -> None:
    sink = bootstrap(tmp_path, b'{"_id": 1}')
    await sink.WriteData(batch("testconn.docs", [{"_id": 2}]))
    assert (tmp_path / "bootstrap.json").read_bytes() == b'{"_id": 1}\n{"_id":2}\n'


async def test_a_publication_that_broke_off_anywhere_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = 0
    while await _breaks_off(tmp_path / str(step), step, monkeypatch):
        again = connector(tmp_path / str(step))
        await again.FinishNamespace(end("n", 3))
        assert await ids(again) == [0, 1, 2]
        assert not list((tmp_path / str(step) / ".testconn" / "staged").iterdir())
        assert not (tmp_path / str(step) / ".testconn" / "done").exists()
        step += 1
    assert step > 8, "hardly a step was broken off at"


async def _breaks_off(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a publication that fails at this of its steps on disk does fail."""
    sink = connector(folder)
    for ordinal in range(3):
        await sink.WriteData(batch("n", [{"_id": ordinal}], f"f/p/{ordinal}/n"))
    calls = [step]
    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "rename"), (Path, "unlink"), (Path, "mkdir")):
            patch.setattr(owner, name, _breaking(getattr(owner, name), calls))
        try:
            await sink.FinishNamespace(end("n", 3))
        except _BrokenOff:
            return True
    return False


class _BrokenOff(Exception):
    pass


def _breaking(call: Any, calls: list[int]) -> Any:
    def broken(*arguments: Any, **named: Any) -> Any:
        calls[0] -= 1
        if calls[0] < 0:
            raise _BrokenOff
        return call(*arguments, **named)

    return broken


@pytest.mark.parametrize("write_id", ["x", "f/p/n", "f/p/one/n", "f/p/0/other", "f/p/-1/n", "f/p/٣/n", "///"])
async def test_what_is_no_write_id_is_refused(tmp_path: Path, write_id: str) -> None:
    with pytest.raises(UsageError, match="write_id"):
        await connector(tmp_path).WriteData(batch("n", [{"_id": 1}], write_id))


async def test_a_write_id_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    sink = connector(folder)
    for flow in ("..", ".", "", "a\0b", "x" * 300):
        await sink.WriteData(batch("../n", [{"_id": 1}], f"{flow}/../0/../n"))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


async def test_a_damaged_marker_is_an_error_that_names_it(tmp_path: Path) -> None:
    sink = connector(tmp_path)
    await sink.WriteData(batch("n", [{"_id": 1}]))
    for content in (b"", b"{}", b"[]", b'{"parts": 3}'):
        (tmp_path / ".testconn" / "marker.json").write_bytes(content)
        with pytest.raises(EndpointError, match=r"marker\.json' is damaged"):
            await plan(sink)


async def test_the_identity_changes_when_the_folder_is_made_anew(tmp_path: Path) -> None:
    identities = set()
    for name in ("one", "two"):
        sink = connector(tmp_path / name)
        for _ in range(2):
            await sink.WriteData(batch("n", [{"_id": 1}], "f/p/0/n"))
            await sink.FinishNamespace(end("n", 1))
            known = await sink.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace="n"))
            identities.add(known.identity)
    assert len(identities) == 2


def test_a_line_is_not_quoted_in_the_errors_about_it() -> None:
    for line in (
        b"insert\tsecret\tsecret",
        b"secret\t1\t{}",
        b'insert\t1\t{"a": "secret"}',
        b'partial\t1\t{}\t"secret"',
    ):
        with pytest.raises(DsyncError) as caught:
            changes.parse(line, wire.BSON)
        assert "secret" not in str(caught.value)
