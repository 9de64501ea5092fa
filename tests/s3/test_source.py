"""What is read from S3, whoever wrote it."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest
import zstandard

from dsync import wire
from dsync.errors import CursorError, DataError, NotFoundError, UnimplementedError
from tests.s3.conftest import Open, Store, contents, documents, plan

ONE, TWO, THREE = b'{"_id":1}', b'{"_id":2}', b'{"_id":3}'
MEGABYTE = 1 << 20


async def test_keys_outside_the_prefix_are_never_read(s3: Open, store: Store) -> None:
    store.put("pre/n/a.json", ONE)
    for key in ("prefix/n/a.json", "pre.json", "pre-n/a.json", "pr/n/a.json", "a.json", "x/pre/n/a.json"):
        store.put(key, TWO)
    for path in ("pre", "pre/", "/pre"):
        async with s3(path) as connector:
            assert await contents(connector) == {"n": [ONE]}
    async with s3("", prefix="pre/n") as connector:
        assert await contents(connector) == {"n": [ONE]}


async def test_folders_are_namespaces_however_they_are_named(s3: Open, store: Store) -> None:
    store.put("data/shop/orders/1.json", ONE)
    store.put("data/shop/orders/2.jsonl", TWO)
    store.put("data/shop/orders/archive/3.ndjson.gz", gzip.compress(THREE))
    store.put("data/year=2024/day 1/x.JSON.ZST", zstandard.compress(ONE))
    store.put("data/v1.2/x.json", TWO)
    store.put("data/top.json", THREE)
    async with s3() as connector:
        assert await contents(connector) == {
            "shop.orders": [ONE, TWO],
            "shop.orders.archive": [THREE],
            "year=2024.day 1": [ONE],
            "v1.2": [TWO],
            "data": [THREE],
        }


async def test_objects_at_the_top_of_a_bucket_are_named_after_it(s3: Open, store: Store) -> None:
    store.put("top.json", ONE)
    async with s3("") as connector:
        assert await contents(connector) == {store.name: [ONE]}


async def test_a_single_object_is_named_after_itself(s3: Open, store: Store) -> None:
    store.put("dump/people.jsonl.gz", gzip.compress(ONE + b"\n" + TWO))
    store.put("dump/people.jsonl.gz2/x.json", THREE)
    store.put("dump/export", ONE)
    async with s3("dump/people.jsonl.gz") as connector:
        assert await contents(connector) == {"people": [ONE, TWO]}
        known = await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace="people"))
        assert (known.exists, known.count_unknown) == (True, True)
    async with s3("dump/export") as connector:
        assert await contents(connector) == {"export": [ONE]}


async def test_a_slash_at_the_end_means_the_folder(s3: Open, store: Store) -> None:
    store.put("a", ONE)
    store.put("a/n/x.json", TWO)
    if store.listing("a/") == []:
        pytest.skip("this server cannot hold an object and a folder of one name")
    async with s3("a") as connector:
        assert await contents(connector) == {"a": [ONE]}
    async with s3("a/") as connector:
        assert await contents(connector) == {"n": [TWO]}


async def test_what_is_not_json_is_named_and_left_out(s3: Open, store: Store) -> None:
    store.put("data/n/a.json", ONE)
    store.put("data/n/b.csv", b"a,b\n")
    store.put("data/n/c.parquet", b"PAR1")
    store.put("data/m/_SUCCESS", b"")
    store.put("data/empty/", b"")
    async with s3() as connector:
        found = await plan(connector)
        assert [partition.namespace for partition in found.partitions] == ["n"]
        assert sorted(found.warnings) == [
            f"s3://{store.name}/data/m/: '_SUCCESS' is not JSON: left out",
            f"s3://{store.name}/data/n/: 2 objects are not JSON, such as 'b.csv': left out",
        ]


async def test_names_select_themselves_and_what_is_below(s3: Open, store: Store) -> None:
    for name in ("shop", "shop/orders", "shop/orders/old", "shopping"):
        store.put(f"data/{name}/x.json", ONE)
    async with s3() as connector:
        assert set(await contents(connector, "shop")) == {"shop", "shop.orders", "shop.orders.old"}
        assert set(await contents(connector, "shop.orders", "shopping")) == {
            "shop.orders",
            "shop.orders.old",
            "shopping",
        }
        with pytest.raises(NotFoundError, match=r"'shop.orderz'; there are 'shop', 'shop.orders'"):
            await plan(connector, "shop", "shop.orderz")


async def test_a_prefix_without_objects_is_not_found(s3: Open, store: Store) -> None:
    store.put("database/x.json", ONE)
    async with s3() as connector:
        with pytest.raises(NotFoundError, match=r"no objects of JSON under 's3://.*/data'"):
            await plan(connector)


async def test_two_folders_of_one_namespace_are_refused_by_name(s3: Open, store: Store) -> None:
    store.put("data/a.b/x.json", ONE)
    store.put("data/a/b/x.json", TWO)
    store.put("data/c/x.json", THREE)
    async with s3() as connector:
        with pytest.raises(DataError, match=r"/data/a.b/' and 's3://.*/data/a/b/' are both the namespace 'a.b'"):
            await plan(connector)
        assert await contents(connector, "c") == {"c": [THREE]}


async def test_there_is_no_change_stream(s3: Open) -> None:
    async with s3() as connector:
        with pytest.raises(UnimplementedError):
            await connector.GeneratePlan(wire.GeneratePlanRequest(updates=True))


async def test_content_tells_a_compression_that_no_name_does(s3: Open, store: Store) -> None:
    texts = [b'{"_id":%d}' % i for i in range(40_000)]
    store.put("data/n/gzip.json", gzip.compress(b"\n".join(texts)))
    store.put("data/n/zstd.json", zstandard.compress(b"[" + b",".join(texts) + b"]"))
    async with s3() as connector:
        assert await contents(connector) == {"n": texts + texts}
        [partition] = (await plan(connector)).partitions
    assert await page_by_page(s3, partition) == texts + texts


async def page_by_page(s3: Open, partition: wire.Partition, data_type: wire.Type = wire.EXTENDED_JSON) -> list[bytes]:
    """All of a partition, every page from a new connector."""
    found: list[bytes] = []
    cursor = b""
    while True:
        async with s3() as connector:
            page = await connector.ListData(wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor))
        found += page.data
        cursor = page.next_cursor
        if not cursor:
            return found


def large(count: int, *, form: str, keys: str = '"n": %d, "list": [{"n": 1}, {"n": 2}]', pad: int = 1000) -> bytes:
    """Documents without ids, as lines with some blank ones between, or as an array."""
    records = [("{" + keys % i + ', "pad": "' + "x" * pad + '"}').encode() for i in range(count)]
    return b"\n\n".join(records) + b"\n" if form == "lines" else b"[\n" + b",\n".join(records) + b"\n]\n"


@pytest.mark.parametrize("form", ["lines", "array"])
async def test_a_large_object_is_read_in_parts_with_the_same_ids(s3: Open, store: Store, form: str) -> None:
    store.put("data/n/big.json", large(11_000, form=form))
    async with s3(partition_size=0) as connector:
        assert len((await plan(connector)).partitions) == 1
        whole = await contents(connector, data_type=wire.BSON)
    async with s3(partition_size="4MiB") as connector:
        partitions = (await plan(connector)).partitions
        assert len(partitions) == 3
        in_parts = [text for part in partitions for text in await documents(connector, part, wire.BSON)]
        assert in_parts == whole["n"]
        assert len(set(in_parts)) == 11_000
    async with s3() as connector:
        assert await documents(connector, partitions[1], wire.BSON) == await documents(
            connector, partitions[1], wire.BSON
        )
        assert b"n/big.json:" in (await documents(connector, partitions[2], wire.BSON))[0]


@pytest.mark.parametrize("form", ["lines", "array"])
@pytest.mark.parametrize("bad", [b"\x01", b"\xff", b"]", b'"'])
async def test_damage_is_found_with_its_place_however_the_object_is_cut(
    s3: Open, store: Store, form: str, bad: bytes
) -> None:
    text = bytearray(large(6_500, form=form))
    at = text.index(b'"n": 5500') + 30
    text[at : at + 1] = bad
    store.put("data/n/big.json", bytes(text))
    for size in (0, "4MiB"):
        async with s3(partition_size=size) as connector:
            with pytest.raises(DataError, match=r"data/n/big.json', .*offset \d+: ") as caught:
                await contents(connector)
        place = int(str(caught.value).partition("offset ")[2].partition(":")[0])
        assert -100 < place - at < 1_200
        if not size:
            assert ("line 11001," if form == "lines" else "element 5501,") in str(caught.value)


async def test_a_part_that_was_cut_wrongly_is_an_error_that_helps(s3: Open, store: Store) -> None:
    inner = ",\n".join(f'{{"n": {i}, "pad": "{"y" * 1000}"}}' for i in range(12_000))
    store.put("data/n/deep.json", f'[{{"n": 1}},\n{{"n": 2, "list": [{inner}]}}]'.encode())
    async with s3(partition_size="4MiB") as connector:
        with pytest.raises(DataError, match="read it with --partition-size 0"):
            await contents(connector)
    async with s3(partition_size="0") as connector:
        [_, second] = (await contents(connector))["n"]
    assert len(json.loads(second)["list"]) == 12_000


async def test_many_small_objects_make_few_partitions(s3: Open, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.s3.plan.PARTITION_OBJECTS", 25)
    for i in range(40):
        store.put(f"data/n/{i:03d}.json", b"" if i % 10 == 0 else b'{"_id":%d}' % i)
    async with s3() as connector:
        partitions = (await plan(connector)).partitions
        assert len(partitions) == 2
        found = (await contents(connector))["n"]
    assert found == [b'{"_id":%d}' % i for i in range(40) if i % 10]


async def test_estimates_follow_from_the_marker(s3: Open, store: Store) -> None:
    marker = {"version": 1, "namespace": "n", "flow": "f", "identity": "x", "documents": 1000, "objects": 2}
    store.put("data/n/.metadata.json", json.dumps(marker | {"stored_bytes": 5, "parts": []}).encode())
    for name in ("a", "b"):
        store.put(f"data/n/{name}.json", b" " * (3 * MEGABYTE) + ONE)
    async with s3(partition_size="4MiB") as connector:
        assert [part.estimated_count for part in (await plan(connector)).partitions] == [500, 500]


@pytest.mark.parametrize("size", [100, 9 * MEGABYTE])
async def test_an_object_that_changed_is_an_error_that_names_it(s3: Open, store: Store, size: int) -> None:
    store.put("data/n/a.json", large(size // 1000 + 1, form="lines"))
    async with s3() as connector:
        partition = (await plan(connector)).partitions[-1]
        page = await connector.ListData(wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON))
        store.put("data/n/a.json", large(size // 1000 + 2, form="lines"))
        request = wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON, cursor=page.next_cursor)
    async with s3() as connector:
        with pytest.raises(CursorError, match=r"data/n/a.json' has changed since the copy was planned"):
            await connector.ListData(request)
        store.delete("data/n/a.json")
        with pytest.raises(NotFoundError, match=r"data/n/a.json' is gone since the copy was planned"):
            await connector.ListData(request)


@pytest.mark.parametrize("name", ["a.json.gz", "a.jsonl.zst"])
async def test_a_compressed_object_that_ends_early_is_an_error_that_names_it(s3: Open, store: Store, name: str) -> None:
    packed = gzip.compress(large(50, form="lines")) if name.endswith("gz") else zstandard.compress(b'{"a":1}\n' * 50)
    store.put(f"data/n/{name}", packed[:-6])
    async with s3() as connector:
        with pytest.raises(DataError, match=f"data/n/{name}"):
            await contents(connector)


async def test_a_bomb_is_read_in_bounded_memory(s3: Open, store: Store) -> None:
    blanks = 48 * MEGABYTE
    store.put("data/n/a.json.gz", gzip.compress(ONE + b"\n" + b" " * blanks + b"\n" + TWO, 1))
    store.put("data/n/b.json.zst", zstandard.compress(b"[" + ONE + b"," + b" " * blanks + TWO + b"]"))
    tracemalloc.start()
    try:
        async with s3() as connector:
            assert await contents(connector) == {"n": [ONE, TWO, ONE, TWO]}
        assert tracemalloc.get_traced_memory()[1] < 24 * MEGABYTE
    finally:
        tracemalloc.stop()


async def test_documents_that_cannot_be_bson_are_named_with_their_line(s3: Open, store: Store) -> None:
    store.put("data/n/a.jsonl", b'{"_id":1}\n\n{"_id":2,"a":1,"a":2}\n')
    store.put("data/m/b.json", b'[{"_id":1},{"_id":1e400}]')
    async with s3() as connector:
        with pytest.raises(DataError, match=r"data/n/a.jsonl', line 3: "):
            await contents(connector, "n", data_type=wire.BSON)
        with pytest.raises(DataError, match=r"data/m/b.json', element 2: "):
            await contents(connector, "m", data_type=wire.BSON)
        assert len((await contents(connector, "n"))["n"]) == 2


async def test_ids_are_made_from_namespace_object_and_place(s3: Open, store: Store) -> None:
    store.put("data/shop/o/a.jsonl", b'{"x":1}\n\n{"id":7}\n{"x":2}\n')
    async with s3() as connector:
        found = await contents(connector, data_type=wire.JSON_ID)
    assert [json.loads(text)["id"] for text in found["shop.o"]] == ["shop.o/a.jsonl:1", 7, "shop.o/a.jsonl:4"]


@pytest.mark.parametrize("cursor", ["/etc/passwd", "database/x.json", "dat/x.json", "data", "data.json"])
async def test_a_cursor_never_leads_outside_the_prefix(s3: Open, store: Store, cursor: str) -> None:
    store.put(cursor, ONE)
    forged = json.dumps(["s3", 1, "n", [[cursor, 9, "etag"]], 65536, None]).encode()
    partition = wire.Partition(namespace="n", cursor=forged)
    async with s3("data/") as connector:
        with pytest.raises(CursorError):
            await documents(connector, partition)
