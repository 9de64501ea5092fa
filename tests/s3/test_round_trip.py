"""What is written to S3 comes back."""

from __future__ import annotations

import itertools
import json

import bson
import pytest

from connectors.s3 import names
from dsync import wire
from tests.s3.conftest import Open, Store, contents, documents, finish, plan, write

TEXTS = [b'{"_id": %d, "name": "x\xc3\xa9%d", "list": [1, {"a": null}]}' % (i, i) for i in range(10)]

FORMATS = list(itertools.product(["json", "jsonl"], ["none", "gzip", "zstd"]))


@pytest.mark.parametrize(("output_format", "compression"), FORMATS)
async def test_text_comes_back_as_the_same_bytes(s3: Open, store: Store, output_format: str, compression: str) -> None:
    async with s3(output_format=output_format, compression=compression) as connector:
        await write(connector, "shop.orders", [TEXTS[:4], TEXTS[4:]])
        assert await contents(connector) == {"shop.orders": TEXTS}
    extension = f".{output_format}" + {"none": "", "gzip": ".gz", "zstd": ".zst"}[compression]
    assert store.listing() == [
        "data/shop/orders/.metadata.json",
        f"data/shop/orders/part-f1-00000-000000{extension}",
        f"data/shop/orders/part-f1-00000-000001{extension}",
    ]


@pytest.mark.parametrize(("output_format", "compression"), FORMATS)
async def test_bson_comes_back_as_the_same_bytes(s3: Open, output_format: str, compression: str) -> None:
    page = [
        bson.encode(
            {"_id": bson.ObjectId(), "big": bson.Int64(5), "date": bson.DatetimeMS(2**50), "nan": float("nan")}
        ),
        bson.encode({"z": 1, "a": {"$date": 1}, "_id": {"x": b"\x00\xff"}}),
    ]
    async with s3(output_format=output_format, compression=compression) as connector:
        await write(connector, "a.b", [page], data_type=wire.BSON)
        assert await contents(connector, data_type=wire.BSON) == {"a.b": page}


async def test_json_with_id_comes_back_as_the_same_values(s3: Open) -> None:
    page = [b'{"id":7,"_id":"other"}', b'{"a":1,"id":"x"}']
    async with s3() as connector:
        await write(connector, "a", [page], data_type=wire.JSON_ID)
        assert await contents(connector) == {"a": [b'{"_id":7,"id":"other"}', b'{"a":1,"_id":"x"}']}
        found = await contents(connector, data_type=wire.JSON_ID)
    assert [json.loads(text) for text in found["a"]] == [json.loads(text) for text in page]


HOSTILE = ["", ".", "..", "a/b", "a.b", "a..b", "../../x", "a\x00b", "a\nb", "end ", "%", "%41", "é", "e\u0301", "😀"]
HOSTILE += ["x" * 300, ".metadata.json", "a.part-f1-00000-000000.json", "part-f1-00000-000000.json", "A", "&<>\"'?#+="]


async def test_hostile_namespaces_stay_apart_and_come_back(s3: Open, store: Store) -> None:
    async with s3("data/sub") as connector:
        for name in HOSTILE:
            await write(connector, name, [[json.dumps({"_id": name}).encode()]])
        assert await contents(connector) == {name: [json.dumps({"_id": name}).encode()] for name in HOSTILE}
        for name in HOSTILE:
            metadata = await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=name))
            assert (metadata.exists, metadata.count, metadata.flow) == (True, 1, "f1"), name
    assert all(key.startswith("data/sub/") for key in store.listing())


async def test_the_whole_bucket_is_a_prefix_too(s3: Open, store: Store) -> None:
    async with s3("") as connector:
        await write(connector, "shop.orders", [TEXTS])
        assert await contents(connector) == {"shop.orders": TEXTS}
    assert "shop/orders/.metadata.json" in store.listing()


async def test_partitions_and_ordinals_come_back_in_order(s3: Open) -> None:
    async with s3(compression="gzip") as connector:
        for partition, ordinal in itertools.product(range(2), range(12)):
            text = b'{"_id":"%d-%d"}' % (partition, ordinal)
            request = wire.WriteDataRequest(namespace="n", data=[text], type=wire.EXTENDED_JSON)
            request.write_id = f"f1/{partition:05d}/{ordinal}/n"
            await connector.WriteData(request)
        await finish(connector, "n", {"00000": 12, "00001": 12})
        found = await contents(connector)
    expected = [b'{"_id":"%d-%d"}' % pair for pair in itertools.product(range(2), range(12))]
    assert found == {"n": expected}


async def test_a_namespace_without_documents_is_kept(s3: Open) -> None:
    async with s3() as connector:
        await finish(connector, "empty.one", {})
        metadata = await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace="empty.one"))
        assert (metadata.exists, metadata.count, metadata.count_unknown) == (True, 0, False)
        found = await plan(connector)
        assert [partition.namespace for partition in found.partitions] == ["empty.one"]
        assert await documents(connector, found.partitions[0]) == []


async def test_records_over_several_lines_become_lines(s3: Open, store: Store) -> None:
    async with s3(output_format="jsonl") as connector:
        await write(connector, "n", [[b'{\r\n "_id": 1\n}', b'{"_id":2}']])
        assert len(store.get("data/n/part-f1-00000-000000.jsonl").splitlines()) == 2
        found = await contents(connector)
    assert [json.loads(text) for text in found["n"]] == [{"_id": 1}, {"_id": 2}]


def test_names_of_batches_are_one_to_one() -> None:
    fields = ["a", "a-b", "b", "a.b", "%", "~", "é", "x" * 200, "y" * 200, "a-000001", "😀"]
    found = {names.part(f, p, o, ".json") for f in fields for p in fields for o in (0, 1, 1_000_000)}
    assert len(found) == 3 * len(fields) ** 2
    assert all(names.batch_of(names.part(f, "p", 1, ".jsonl.gz")) == (names.field(f), "p", 1) for f in fields)
    assert names.flow_of(names.part("a-b/é", "p", 1, ".json")) == "a-b/é"
