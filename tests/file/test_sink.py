from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, ObjectId, Timestamp

from connectors.file.connector import FileConnector
from dsync import codec, wire
from dsync.errors import DataError, EndpointError, NotFoundError, UsageError
from tests.file.reading import FLOW, batch, data_files, files, finish, metadata, plan, read, write

FORMATS = ("jsonl", "json", "bson", "csv", "parquet")
COMPRESSIONS = ("none", "gzip", "zstd")


def sample(count: int = 40) -> list[bytes]:
    """BSON documents of many types; columns that come late, are missing, null or empty; types that change."""
    documents: list[dict[str, Any]] = []
    for number in range(count):
        document: dict[str, Any] = {
            "_id": ObjectId(f"{number:024x}"),
            "text": f'é "{number}", \n{{}}' if number % 3 else "",
            "small": number,
            "long": Int64(number),
            "large": 1 << 40,
            "double": number / 3 if number % 4 else float("nan") if number % 8 else float("-inf"),
            "flag": number % 2 == 0,
            "date": bson.datetime_ms.DatetimeMS(1_700_000_000_123 + number if number % 5 else -12345),
            "nested": {"list": [1, {"a": None}, []], "b": Int64(7)},
            "binary": b"\0\xff" * number,
            "uuid": Binary(bytes(range(16)), 4),
            "decimal": Decimal128("1.10"),
            "mixed": [number, str(number), None, 1.5, {"a": 1}][number % 5],
            "none": None,
        }
        if number % 7 == 3:
            document["late"] = [None, "x", ""][number % 3]
        if number % 11 == 5:
            document |= {"max": MaxKey(), "stamp": Timestamp(5, number), "a.b,c\n": "odd name", "$dollar": 1}
        documents.append(document)
    return [bson.encode(document) for document in documents]


def without_order(documents: Sequence[bytes]) -> list[dict[bytes, tuple[int, bytes]]]:
    """Each document's fields as type and bytes: tables give all rows one order of columns."""
    return [
        {key: (kind, document[start:end]) for kind, key, start, end in codec.raw.elements(document)}
        for document in documents
    ]


def options_of(data_format: str, packed: str = "none") -> dict[str, Any]:
    types = {"types": "ejson"} if data_format == "csv" else {}
    return {"format": data_format, "compression": packed, **types}


def chunks(documents: Sequence[bytes], size: int) -> list[Sequence[bytes]]:
    return [documents[at : at + size] for at in range(0, len(documents), size)]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("packed", COMPRESSIONS)
async def test_every_format_gives_back_what_was_written(tmp_path: Path, data_format: str, packed: str) -> None:
    documents = sample()
    options = options_of(data_format, packed)
    for size in (7, 100):
        folder = tmp_path / str(size)
        await write(f"{folder}/", "shop.orders", chunks(documents, size), wire.BSON, **options)
        [name] = data_files(folder)
        assert name.startswith(f"shop/orders.{data_format}")
        for batch_size in (3, 1000):
            reading: dict[str, Any] = {"types": "ejson"} if data_format == "csv" else {}
            back = await read(folder, wire.BSON, batch_size=batch_size, **reading)
            if data_format in ("csv", "parquet"):
                assert without_order(back["shop.orders"]) == without_order(documents)
            else:
                assert back == {"shop.orders": documents}


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("data_type", [wire.EXTENDED_JSON, wire.JSON_ID])
async def test_every_data_type_is_written(tmp_path: Path, data_format: str, data_type: wire.Type) -> None:
    documents = sample()
    batches = chunks(codec.convert(documents, wire.BSON, data_type), 9)
    await write(f"{tmp_path}/", "people", batches, data_type, **options_of(data_format))
    reading: dict[str, Any] = {"types": "ejson"} if data_format == "csv" else {}
    assert without_order((await read(tmp_path, wire.BSON, **reading))["people"]) == without_order(documents)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("packed", COMPRESSIONS)
async def test_an_empty_namespace_is_an_empty_file(tmp_path: Path, data_format: str, packed: str) -> None:
    await write(f"{tmp_path}/", "people", [], **options_of(data_format, packed))
    assert len(data_files(tmp_path)) == 1
    assert await read(tmp_path) == {"people": []}
    found = await metadata(f"{tmp_path}/", "people", **options_of(data_format, packed))
    assert (found.exists, found.count, found.count_unknown, found.flow) == (True, 0, False, FLOW)


async def test_text_is_laid_out_a_document_a_line(tmp_path: Path) -> None:
    texts = [b'{"a": 1}', b'{\n "b":\r\n 2 }']
    await write(tmp_path / "people.jsonl", "people", [texts, [b"{}"]])
    assert (tmp_path / "people.jsonl").read_bytes() == b'{"a": 1}\n{  "b":   2 }\n{}\n'
    await write(tmp_path / "people.json", "people", [texts[:1], [], [b"{}"]])
    assert (tmp_path / "people.json").read_bytes() == b'[\n{"a": 1},\n{}\n]\n'
    await write(tmp_path / "none.json", "people", [])
    assert (tmp_path / "none.json").read_bytes() == b"[]\n"


async def test_batches_are_put_in_the_order_of_partitions_and_ordinals(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        for partition, ordinal in (
            ("b", 1),
            ("a", 0),
            ("b", 0),
            ("a", 10),
            *(("a", number) for number in range(9, 0, -1)),
        ):
            text = b'{"at":"%b%d"}' % (partition.encode(), ordinal)
            await connector.WriteData(batch("people", ordinal, [text], wire.EXTENDED_JSON, partition))
        await connector.FinishNamespace(finish("people", pb=2, pa=11))
    expected = ["b0", "b1", *(f"a{number}" for number in range(11))]
    assert (tmp_path / "people.jsonl").read_text() == "".join(f'{{"at":"{each}"}}\n' for each in expected)


async def test_a_write_under_the_same_id_replaces_the_first(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        for text in (b'{"a":1}', b'{"a":2}', b'{"a":3}'):
            await connector.WriteData(batch("people", 0, [text], wire.EXTENDED_JSON))
        await connector.FinishNamespace(finish("people", p0=1))
    assert (tmp_path / "people.jsonl").read_bytes() == b'{"a":3}\n'


async def test_nothing_is_seen_under_the_final_name_before_the_end(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.WriteData(batch("people", 0, [b"{}"], wire.EXTENDED_JSON))
        assert data_files(tmp_path) == []
        found = await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace="people"))
        assert (found.exists, found.count, found.flow) == (False, 0, "")
        await connector.FinishNamespace(finish("people", p0=1))
    assert files(tmp_path) == [".dsync/people%2Ejsonl.json", "people.jsonl"]


async def test_batches_that_are_not_named_are_removed(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        for partition, ordinal in (("0", 0), ("0", 1), ("1", 0)):
            await connector.WriteData(batch("people", ordinal, [b'{"a":1}'], wire.EXTENDED_JSON, partition))
        await connector.FinishNamespace(finish("people", p0=1))
    assert (tmp_path / "people.jsonl").read_bytes() == b'{"a":1}\n'
    assert files(tmp_path) == [".dsync/people%2Ejsonl.json", "people.jsonl"]


async def test_a_batch_that_is_missing_is_named(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.WriteData(batch("people", 0, [b"{}"], wire.EXTENDED_JSON))
        with pytest.raises(NotFoundError, match="0/1"):
            await connector.FinishNamespace(finish("people", p0=2))
        with pytest.raises(NotFoundError, match="x/0"):
            await connector.FinishNamespace(finish("others", px=1))
        assert data_files(tmp_path) == []
        await connector.WriteData(batch("people", 1, [b"{}"], wire.EXTENDED_JSON))
        await connector.FinishNamespace(finish("people", p0=2))
    assert (tmp_path / "people.jsonl").read_bytes() == b"{}\n{}\n"


async def test_the_end_can_be_repeated_by_anyone(tmp_path: Path) -> None:
    await write(f"{tmp_path}/", "people", [[b"{}"]])
    before = (tmp_path / "people.jsonl").stat()
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.FinishNamespace(finish("people", p0=1))
        with pytest.raises(NotFoundError):
            await connector.FinishNamespace(finish("people", p0=2))
        with pytest.raises(NotFoundError):
            await connector.FinishNamespace(finish("people", flow="flow-2", p0=1))
    after = (tmp_path / "people.jsonl").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_an_end_is_not_taken_for_done_when_its_batches_were_lost(tmp_path: Path) -> None:
    await write(f"{tmp_path}/", "people", [[b'{"a":1}']])
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.WriteData(batch("people", 0, [b'{"a":2}'], wire.EXTENDED_JSON))
        [staged] = (tmp_path / ".dsync").rglob("*.part")
        staged.unlink()
        staged.parent.rmdir()
        with pytest.raises(NotFoundError):
            await connector.FinishNamespace(finish("people", p0=1))


async def test_a_damaged_batch_is_refused(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.WriteData(batch("people", 0, [b"{}"], wire.EXTENDED_JSON))
        [staged] = (tmp_path / ".dsync").rglob("*.part")
        os.truncate(staged, staged.stat().st_size - 1)
        with pytest.raises(DataError, match="damaged"):
            await connector.FinishNamespace(finish("people", p0=1))
    assert data_files(tmp_path) == []


async def test_another_generation_replaces_the_file_and_keeps_its_identity(tmp_path: Path) -> None:
    await write(f"{tmp_path}/", "people", [[b'{"a":1}'], [b'{"a":2}']])
    first = await metadata(f"{tmp_path}/", "people")
    await write(f"{tmp_path}/", "people", [[b'{"a":3}']])
    second = await metadata(f"{tmp_path}/", "people")
    assert (tmp_path / "people.jsonl").read_bytes() == b'{"a":3}\n'
    assert (first.count, second.count) == (2, 1)
    assert first.identity == second.identity != ""


async def test_a_file_of_somebody_else_has_no_flow(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_bytes(b'{"a":1}\n')
    found = await metadata(f"{tmp_path}/", "people")
    assert (found.exists, found.flow, found.count_unknown) == (True, "", True)
    await write(f"{tmp_path}/", "people", [[b"{}"]])
    path.write_bytes(b'{"a":2}\n')
    found = await metadata(f"{tmp_path}/", "people")
    assert (found.exists, found.flow, found.count_unknown) == (True, "", True)


async def test_a_file_in_another_form_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "shop.people.csv").write_bytes(b"a\n1\n")
    found = await metadata(f"{tmp_path}/", "shop.people")
    assert (found.exists, found.count_unknown) == (True, True)
    found = await metadata(f"{tmp_path}/", "shop")
    assert (found.exists, found.count, found.count_unknown) == (False, 0, False)


async def test_a_removed_folder_is_seen_by_its_identity(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    await write(f"{folder}/", "people", [[b"{}"]])
    first = await metadata(f"{folder}/", "people")
    folder.rename(tmp_path / "old")
    assert (await metadata(f"{folder}/", "people")).identity == ""
    await write(f"{folder}/", "people", [[b"{}"]])
    assert (await metadata(f"{folder}/", "people")).identity not in ("", first.identity)


async def test_a_damaged_marker_is_nobodys(tmp_path: Path) -> None:
    await write(f"{tmp_path}/", "people", [[b"{}"]])
    [marker] = (tmp_path / ".dsync").glob("*.json")
    for content in (b"", b"junk", b"[]", b'{"version":9}', b'{"version":1,"namespace":"people"}'):
        marker.write_bytes(content)
        found = await metadata(f"{tmp_path}/", "people")
        assert (found.exists, found.flow) == (True, "")
    await write(f"{tmp_path}/", "people", [[b"{}"]])
    assert (await metadata(f"{tmp_path}/", "people")).flow == FLOW


async def test_a_single_file_takes_one_namespace_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "new" / "people.json"
    await write(path, "shop.customers", [[b"{}"]])
    assert files(path.parent) == [".dsync/people%2Ejson.json", "people.json"]
    async with FileConnector(str(path), {}) as connector:
        await connector.WriteData(batch("shop.customers", 0, [b"{}"], wire.EXTENDED_JSON))
        with pytest.raises(UsageError, match=r"'shop\.customers' and 'shop\.orders'"):
            await connector.WriteData(batch("shop.orders", 0, [b"{}"], wire.EXTENDED_JSON))
        with pytest.raises(UsageError, match=r"'shop\.customers' and 'shop\.orders'"):
            await connector.FinishNamespace(finish("shop.orders"))
        await connector.FinishNamespace(finish("shop.customers", p0=1))
        with pytest.raises(UsageError, match=r"'shop\.customers' and 'shop\.orders'"):
            await connector.WriteData(batch("shop.orders", 0, [b"{}"], wire.EXTENDED_JSON))


async def test_another_flow_may_write_another_namespace_to_a_single_file(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    await write(path, "one", [[b"{}"]])
    async with FileConnector(str(path), {}) as connector:
        request = wire.WriteDataRequest(
            namespace="two", data=[b'{"a":2}'], type=wire.EXTENDED_JSON, write_id="flow-2/0/0/two"
        )
        await connector.WriteData(request)
        await connector.FinishNamespace(finish("two", flow="flow-2", p0=1))
    assert path.read_bytes() == b'{"a":2}\n'


@pytest.mark.parametrize(
    ("destination", "options", "expected"),
    [
        ("out", {}, "out/people.jsonl"),
        ("out/", {"format": "csv", "compression": "gzip"}, "out/people.csv.gz"),
        ("out", {"format": "csv", "delimiter": "tab"}, "out/people.tsv"),
        ("out.d/", {"format": "bson", "compression": "zstd"}, "out.d/people.bson.zst"),
        ("folder.json/", {}, "folder.json/people.jsonl"),
        ("x.csv", {}, "x.csv"),
        ("X.NDJSON.GZ", {}, "X.NDJSON.GZ"),
        ("x.json", {"format": "jsonl"}, "x.json"),
        ("x.gz", {"format": "json"}, "x.gz"),
        ("x.parquet", {"compression": "zstd"}, "x.parquet"),
    ],
)
async def test_the_destination_tells_whether_it_is_a_file(
    tmp_path: Path, destination: str, options: dict[str, Any], expected: str
) -> None:
    await write(f"{tmp_path}/{destination}", "people", [[b'{"_id":"x"}']], **options)
    assert data_files(tmp_path) == [expected]
    reading = {name: value for name, value in options.items() if name != "compression"}
    assert [*(await read(tmp_path / expected, **reading)).values()] == [[b'{"_id":"x"}']]


@pytest.mark.parametrize("destination", ["people.gz", "people.zst", "people.parquet.gz", "existing"])
async def test_a_destination_that_tells_no_format_is_a_usage_error(tmp_path: Path, destination: str) -> None:
    (tmp_path / "existing").write_text("x")
    with pytest.raises(UsageError, match=destination):
        await write(tmp_path / destination, "people", [[b"{}"]])


async def test_an_existing_folder_is_a_folder_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "dump.json").mkdir()
    await write(tmp_path / "dump.json", "people", [[b"{}"]])
    assert data_files(tmp_path) == ["dump.json/people.jsonl"]


HOSTILE = [
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a.b",
    "a..b",
    "",
    ".",
    ".dsync",
    ".dsync.people",
    "nul\0byte",
    "new\nline",
    "emoji \N{GRINNING FACE}",
    "caf\u00e9",
    "cafe\u0301",
    "space ",
    " space",
    "%",
    "%2E%2E",
    "x" * 300,
    "\u00e9" * 300,
    "x" * 300 + ".y",
    "con",
    "people.csv",
    "people~",
    "a%2Fb",
]


@pytest.mark.parametrize("data_format", ["jsonl", "csv"])
async def test_every_name_has_a_file_of_its_own_under_the_root(tmp_path: Path, data_format: str) -> None:
    folder = tmp_path / "deep" / "out"
    async with FileConnector(f"{folder}/", {"format": data_format}) as connector:
        for number, namespace in enumerate(HOSTILE):
            await connector.WriteData(batch(namespace, 0, [b'{"n":"%d"}' % number], wire.EXTENDED_JSON))
        for namespace in HOSTILE:
            await connector.FinishNamespace(finish(namespace, p0=1))
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert len(data_files(folder)) == len(HOSTILE)
    back = await read(folder)
    assert back == {namespace: [b'{"n":"%d"}' % number] for number, namespace in enumerate(HOSTILE)}


@pytest.mark.parametrize("part", ["..", "a b", "x" * 250, "", "é", "%", "00001-7"])
async def test_flows_and_partitions_of_any_name_stay_under_the_folder(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "out"
    async with FileConnector(f"{folder}/", {}) as connector:
        write_id = f"{part or 'flow'}/{part or '0'}/0/people"
        request = wire.WriteDataRequest(namespace="people", data=[b"{}"], type=wire.EXTENDED_JSON, write_id=write_id)
        await connector.WriteData(request)
        [staged] = (path for path in tmp_path.rglob("*.part"))
        assert staged.is_relative_to(folder / ".dsync")
        parts = [wire.FinishNamespaceRequest.Part(partition=part or "0", count=1)]
        await connector.FinishNamespace(
            wire.FinishNamespaceRequest(namespace="people", flow=part or "flow", parts=parts)
        )
    assert data_files(folder) == ["people.jsonl"]


@pytest.mark.parametrize(
    "write_id", ["x", "flow/0/0/others", "flow/0/x/people", "flow/0/-1/people", "/0/0/people", "f//0/people"]
)
async def test_a_write_id_that_names_no_batch_of_the_namespace_is_refused(tmp_path: Path, write_id: str) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        with pytest.raises(UsageError, match="write id"):
            await connector.WriteData(
                wire.WriteDataRequest(namespace="people", data=[b"{}"], type=wire.EXTENDED_JSON, write_id=write_id)
            )
    assert files(tmp_path) == []


async def test_a_folder_that_leads_out_by_a_link_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "shop").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EndpointError, match="symbolic link"):
        await write(f"{tmp_path}/out/", "shop.orders", [[b"{}"]])
    assert files(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("kind", ["folder", "fifo"])
async def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "people.jsonl"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(EndpointError, match="no regular file"):
        await write(f"{tmp_path}/", "people", [[b"{}"]])


async def test_a_destination_under_a_file_is_an_endpoint_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EndpointError):
        await write(f"{tmp_path}/file/out/", "people", [[b"{}"]])


async def test_text_without_an_identity_does_not_become_bson(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="document 2 of the batch"):
        await write(tmp_path / "x.bson", "people", [[b'{"_id":1}', b'{"a":1}']])
    async with FileConnector(str(tmp_path / "x.bson"), {}) as connector:
        info = await connector.GetInfo(wire.GetInfoRequest())
    assert wire.EXTENDED_JSON not in info.capabilities.sink.supported_data_types
    assert info.capabilities.source.supported_data_types[0] == wire.BSON


async def test_a_namespace_is_planned_again_from_what_was_written(tmp_path: Path) -> None:
    await write(f"{tmp_path}/", "shop.orders", [[b"{}"]])
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        planned = await plan(connector)
    assert ([part.namespace for part in planned.partitions], list(planned.warnings)) == (["shop.orders"], [])
