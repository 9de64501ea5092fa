"""Partitions and pages: complete, in order, from cursors alone, with the right places."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import bson
import pytest
from msgspec.structs import replace

from connectors.file.connector import FileConnector
from connectors.file.cursors import NOT_COUNTED, Mark, read_part, write_part
from dsync import codec, wire
from dsync.codec import compression
from dsync.errors import CursorError, DataError, DsyncError
from tests.file.reading import pages, plan, read

COUNT = 500
DOCUMENTS = [
    json.dumps({"n": number, "text": 'a "quoted" },{ text\n' * (number % 7), "list": [{"x": number}]}).encode()
    for number in range(COUNT)
]


def csv_text() -> bytes:
    return b"n,text\n" + b"".join(b'%d,"a ""quoted"" cell,\nof %d lines"\n' % (number, 2) for number in range(COUNT))


FILES: dict[str, Callable[[], bytes]] = {
    "data.jsonl": lambda: b"\n\n" + b"\n".join(DOCUMENTS) + b"\n",
    "data.json": lambda: b"[" + b" ,\n ".join(DOCUMENTS) + b"]\n",
    "pretty.json": lambda: b"\n".join(json.dumps(json.loads(each), indent=2).encode() for each in DOCUMENTS),
    "data.bson": lambda: b"".join(bson.encode({"n": n, "text": "x" * (n % 50)}) for n in range(COUNT)),
    "data.csv": csv_text,
}


@pytest.fixture(params=list(FILES))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    path.write_bytes(FILES[path.name]())
    return path


async def test_many_partitions_hold_every_document_once_and_in_order(path: Path) -> None:
    whole = await read(path, wire.BSON)
    [documents] = whole.values()
    assert len(documents) == COUNT
    for partition_size in ("200", "1000", "3333", "20000"):
        async with FileConnector(str(path), {"partition_size": partition_size}) as connector:
            partitions = (await plan(connector)).partitions
        assert len(partitions) > 1 or int(partition_size) > path.stat().st_size // 2
        assert await read(path, wire.BSON, partition_size=partition_size) == whole


async def test_made_ids_name_the_line_or_element_in_every_partition(path: Path) -> None:
    [documents] = (await read(path, wire.BSON, partition_size="1000")).values()
    ids = [bson.decode(document)["_id"] for document in documents]
    namespace = path.stem
    if path.name == "data.jsonl":
        assert ids == [f"data:{number + 3}" for number in range(COUNT)]
    elif path.name == "data.csv":
        assert ids == [f"data:{2 * number + 2}" for number in range(COUNT)]
    elif path.name == "pretty.json":
        lines = path.read_bytes().split(b"\n")
        assert ids == [f"pretty:{number}" for number, line in enumerate(lines, 1) if line == b"{"]
    else:
        assert ids == [f"{namespace}:{number + 1}" for number in range(COUNT)]


async def test_estimates_are_near(path: Path) -> None:
    async with FileConnector(str(path), {"partition_size": "1000"}) as connector:
        partitions = (await plan(connector)).partitions
    assert COUNT * 0.8 < sum(partition.estimated_count for partition in partitions) < COUNT * 1.2


@pytest.mark.parametrize("packed", ["none", "gzip", "zstd"])
async def test_a_page_goes_on_from_its_cursor_in_another_process(path: Path, packed: str) -> None:
    stored = path.with_name(path.name + compression.EXTENSIONS[packed])
    stored.write_bytes(compression.compress(packed, path.read_bytes()))
    options = {"partition_size": "9999", "batch_size": 23}
    async with FileConnector(str(stored), options) as connector:
        partitions = list((await plan(connector)).partitions)
        expected = [await pages(connector, partition) for partition in partitions]
    for partition, found in zip(partitions, expected, strict=True):
        cursor = b""
        for page in found:
            async with FileConnector(str(stored), {}) as other:
                request = wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON, cursor=cursor)
                once, again = await other.ListData(request), await other.ListData(request)
            assert list(once.data) == page
            assert once == again
            assert len(page) <= 23
            cursor = once.next_cursor


@pytest.mark.parametrize("change", ["append", "touch", "replace", "remove"])
async def test_a_file_that_changed_since_the_plan_is_an_error_that_names_it(path: Path, change: str) -> None:
    async with FileConnector(str(path), {"partition_size": "9999", "batch_size": 5}) as connector:
        partition = (await plan(connector)).partitions[0]
        request = wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON)
        request.cursor = (await connector.ListData(request)).next_cursor
        content = path.read_bytes()
        if change == "append":
            with path.open("ab") as file:
                file.write(content)
        elif change == "touch":
            os.utime(path, ns=(1, 1))
        else:
            path.rename(path.with_suffix(".old"))
            if change == "replace":
                path.write_bytes(content)
                os.utime(path, ns=(1, 1))
        with pytest.raises(DsyncError, match=path.name):
            await connector.ListData(request)


async def test_a_partition_proves_that_it_ends_where_the_next_one_begins(path: Path) -> None:
    async with FileConnector(str(path), {"partition_size": "3000"}) as connector:
        partition = (await plan(connector)).partitions[0]
        part = read_part(partition.cursor, partition.namespace)
        assert part.end is not None
        for end in (Mark(part.end.offset - 3, part.end.number, part.end.state), replace_number(part.end)):
            partition.cursor = write_part(replace(part, end=end))
            with pytest.raises(DataError, match=path.name):
                await pages(connector, partition)


def replace_number(mark: Mark) -> Mark:
    return mark._replace(number=mark.number + 1)


@pytest.mark.parametrize(
    "cursor",
    [
        b"",
        b"junk",
        b"[]",
        b"{}",
        b"[" * 10_000,
        b'["file",3,"","jsonl none 44",[1,1,1],[0,1,""],null,[1,1]]',
        b'["file",1,"../x.jsonl","jsonl none 44",[1,1,1],[0,1,"lines"],null,[1,1]]',
        b'["file",1,"","jsonl none 44",[1,1],[0,1,"lines"],null,[1,1]]',
        b'["file",1,"","jsonl none 44",[1,1,-1],[0,1,"lines"],null,[1,1]]',
        b'["file",1,"","jsonl none 44",[1,1,1],[9,1,"lines"],[3,1,""],[1,1]]',
        b'["file",1,"","jsonl none 44",[1,1,1],[0,1,"lines"],null,[0,0]]',
        b'["file",1,"","xml none 44",[1,1,1],[0,1,"lines"],null,[1,1]]',
    ],
)
async def test_a_foreign_partition_cursor_is_refused(path: Path, cursor: bytes) -> None:
    async with FileConnector(str(path.parent), {}) as connector:
        request = wire.ListDataRequest(partition=wire.Partition(cursor=cursor), type=wire.EXTENDED_JSON)
        with pytest.raises((CursorError, DsyncError)):
            await connector.ListData(request)


@pytest.mark.parametrize(
    "cursor", [b"junk", b"[]", b'["page",2,[0,1,""],0]', b'["page",1,[99999999,1,""],0]', b'["page",1,[0,1,""],-1]']
)
async def test_a_foreign_page_cursor_is_refused(path: Path, cursor: bytes) -> None:
    async with FileConnector(str(path), {}) as connector:
        partition = (await plan(connector)).partitions[0]
        with pytest.raises(CursorError):
            await connector.ListData(wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON, cursor=cursor))


@pytest.mark.parametrize("data_type", [wire.EXTENDED_JSON, wire.BSON, wire.JSON_ID])
async def test_every_type_holds_the_same_documents(path: Path, data_type: wire.Type) -> None:
    [expected] = (await read(path, wire.BSON)).values()
    [found] = (await read(path, data_type)).values()
    if data_type == wire.EXTENDED_JSON:
        namespace = path.stem
        converted = codec.text_to_bson(found, lambda index: f"{namespace}:{index}")
        assert [{**bson.decode(each), "_id": 0} for each in converted] == [
            {**bson.decode(each), "_id": 0} for each in expected
        ]
    else:
        assert codec.convert(found, data_type, wire.BSON) == expected


async def test_long_records_are_read_with_short_pages(tmp_path: Path) -> None:
    long = b'{"a":"%b"}' % (b"x" * 300_000)
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"a":1}\n' + long + b"\n" + b'{"a":2}\n' * 3)
    assert (await read(path, page_bytes=100))["long"] == [b'{"a":1}', long, *[b'{"a":2}'] * 3]


@pytest.fixture(params=["csv", "jsonl"])
def without_ids(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Rows over several lines, blank lines, CRLF, and no ids."""
    path = tmp_path / f"rows.{request.param}"
    if request.param == "csv":
        texts = ["line\n" * (number % 3) for number in range(3000)]
        rows = [f'"{text}",{number}\r\n{"" if number % 7 else chr(10)}' for number, text in enumerate(texts)]
        path.write_text("text,number\r\n" + "".join(rows), newline="")
    else:
        lines = [f'{{"number":{number}}}' + ("\n" if number % 5 else "\n\n") for number in range(3000)]
        path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("data_type", [wire.BSON, wire.JSON_ID])
async def test_ids_that_are_made_of_lines_are_the_same_however_a_file_is_cut(
    without_ids: Path, data_type: wire.Type
) -> None:
    [whole] = (await read(without_ids, data_type, partition_size="1GB")).values()
    assert len(set(whole)) == 3000
    for backwards in (False, True):
        found = {}
        async with FileConnector(str(without_ids), {"partition_size": "4000", "batch_size": 7}) as connector:
            partitions = list((await plan(connector)).partitions)
            assert len(partitions) > 5
            for number in sorted(range(len(partitions)), reverse=backwards):
                found[number] = [
                    each for page in await pages(connector, partitions[number], data_type) for each in page
                ]
        assert [each for number in sorted(found) for each in found[number]] == whole


async def test_a_cursor_of_version_1_knows_its_line(without_ids: Path) -> None:
    [whole] = (await read(without_ids, wire.JSON_ID, partition_size="1GB")).values()
    async with FileConnector(str(without_ids), {"partition_size": "4000"}) as connector:
        first, second, *_ = (await plan(connector)).partitions
        count = sum(map(len, await pages(connector, first, wire.JSON_ID)))
        part = read_part(second.cursor, second.namespace)
        assert part.start.number == NOT_COUNTED
        line = 1 + without_ids.read_bytes()[: part.start.offset].count(b"\n")
        written = json.loads(write_part(replace(part, start=part.start._replace(number=line))))
        second.cursor = json.dumps([written[0], 1, *written[2:]]).encode()
        found = [each for page in await pages(connector, second, wire.JSON_ID) for each in page]
    assert found == whole[count : count + len(found)]


@pytest.mark.parametrize("data_type", [wire.EXTENDED_JSON, wire.BSON])
async def test_an_error_in_a_later_partition_names_the_line_of_the_file(
    without_ids: Path, data_type: wire.Type
) -> None:
    lines = without_ids.read_bytes().split(b"\n")
    at = next(number for number in range(len(lines) - 100, len(lines)) if b"99" in lines[number])
    lines[at] = b'}broken,"' if without_ids.suffix == ".jsonl" else b'bro"ken,1\r'
    without_ids.write_bytes(b"\n".join(lines))
    async with FileConnector(str(without_ids), {"partition_size": "4000"}) as connector:
        partition = (await plan(connector)).partitions[-1]
        with pytest.raises(DataError, match=rf"line {at + 1}\b"):
            await pages(connector, partition, data_type)
