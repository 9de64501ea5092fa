"""Batches without a write id, as engines send that know none: each is published at once, and nothing of before is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from connectors.file.connector import FileConnector
from dsync import wire
from dsync.errors import DataError, UsageError
from tests.file.reading import batch, files, finish, metadata, read

FORMS: list[dict[str, Any]] = [
    {"format": "jsonl"},
    {"format": "jsonl", "compression": "gzip"},
    {"format": "json", "compression": "zstd"},
    {"format": "json"},
    {"format": "csv"},
    {"format": "csv", "types": "ejson", "compression": "gzip"},
    {"format": "parquet"},
]


def request(*documents: bytes, namespace: str = "people") -> wire.WriteDataRequest:
    return wire.WriteDataRequest(namespace=namespace, data=documents, type=wire.EXTENDED_JSON)


def reading(options: dict[str, Any]) -> dict[str, Any]:
    return {"types": "ejson"} if options.get("types") == "ejson" else {}


@pytest.mark.parametrize("options", FORMS)
async def test_every_batch_is_in_the_file_when_it_is_answered(tmp_path: Path, options: dict[str, Any]) -> None:
    expected = []
    for number in range(4):
        document = b'{"n":"%d","text":"some \\"text\\", more"}' % number
        expected.append(document)
        async with FileConnector(f"{tmp_path}/", options) as connector:
            await connector.WriteData(request(document))
        assert await read(tmp_path, **reading(options)) == {"people": expected}
        assert len(files(tmp_path)) == 2
    found = await metadata(f"{tmp_path}/", "people", **options)
    assert (found.exists, found.count, found.count_unknown, found.flow) == (True, 4, False, "")


@pytest.mark.parametrize("text", [b'{"a":1}\n{"a":2}\n', b'{"a":1}\n{"a":2}', b'\xef\xbb\xbf[{"a":1},\n{"a":2}]'])
@pytest.mark.parametrize("name", ["people.jsonl", "people.json"])
async def test_the_file_of_somebody_else_is_continued(tmp_path: Path, text: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(text)
    async with FileConnector(str(tmp_path / name), {}) as connector:
        await connector.WriteData(request(b'{"a":3}'))
    assert await read(tmp_path) == {"people": [b'{"a":1}', b'{"a":2}', b'{"a":3}']}


async def test_a_column_that_comes_late_is_in_the_header(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_bytes(b"a\r\n1\r\n")
    async with FileConnector(str(tmp_path / "people.csv"), {}) as connector:
        await connector.WriteData(request(b'{"b":"2"}'))
    assert (tmp_path / "people.csv").read_bytes() == b"a,b\n1,\n,2\n"


async def test_batches_that_come_at_once_are_all_there(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as one, FileConnector(f"{tmp_path}/", {}) as other:
        writes = [
            connector.WriteData(request(b'{"n":%d}' % (2 * number + offset)))
            for number in range(5)
            for offset, connector in enumerate((one, other))
        ]
        await asyncio.gather(*writes)
    documents = (await read(tmp_path))["people"]
    assert sorted(documents) == [b'{"n":%d}' % number for number in range(10)]


async def test_a_file_that_cannot_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_bytes(b'[{"a":1},')
    async with FileConnector(str(path), {}) as connector:
        with pytest.raises(DataError, match=r"people\.json"):
            await connector.WriteData(request(b"{}"))
    assert path.read_bytes() == b'[{"a":1},'


async def test_a_single_file_takes_one_namespace(tmp_path: Path) -> None:
    async with FileConnector(str(tmp_path / "people.jsonl"), {}) as connector:
        await connector.WriteData(request(b"{}"))
        with pytest.raises(UsageError, match="'people' and 'others'"):
            await connector.WriteData(request(b"{}", namespace="others"))


async def test_a_named_copy_replaces_what_was_written_without_names(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.WriteData(request(b'{"a":1}'))
        await connector.WriteData(batch("people", 0, [b'{"a":2}'], wire.EXTENDED_JSON))
        assert await read(tmp_path) == {"people": [b'{"a":1}']}
        await connector.FinishNamespace(finish("people", p0=1))
    assert await read(tmp_path) == {"people": [b'{"a":2}']}
