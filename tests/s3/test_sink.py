"""Objects that writing leaves, and those that it leaves alone."""

from __future__ import annotations

import asyncio
import json

import pytest

from dsync import wire
from dsync.errors import DataError, NotFoundError, UsageError
from tests.s3.conftest import Open, Store, contents, finish, plan, write

BATCHES = [[b'{"_id":%d}' % (10 * batch + i) for i in range(5)] for batch in range(4)]
DOCUMENTS = [text for batch in BATCHES for text in batch]


async def metadata(connector: object, namespace: str = "n") -> wire.GetNamespaceMetadataResponse:
    return await connector.GetNamespaceMetadata(  # type: ignore[attr-defined, no-any-return]  # any connector
        wire.GetNamespaceMetadataRequest(namespace=namespace)
    )


async def test_a_repeated_run_leaves_the_same_objects(s3: Open, store: Store) -> None:
    async with s3(compression="gzip") as connector:
        await write(connector, "n", BATCHES)
        before = {key: store.get(key) for key in store.listing()}
    async with s3(compression="gzip") as connector:
        await write(connector, "n", BATCHES)
    assert {key: store.get(key) for key in store.listing()} == before


async def test_what_is_not_of_the_flow_is_never_touched(s3: Open, store: Store) -> None:
    others = [
        "data/n/report.csv",
        "data/n/orders.json",
        "data/n/part-f2-00000-000000.json",
        "data/n/part-f1x-00000-000000.json",
        "data/n/part-f1-00000-000009.json.bak",
        "data/n/part-f1.json",
        "data/n/sub/part-f1-00000-000009.json",
        "data/part-f1-00000-000009.json",
        "data2/n/part-f1-00000-000009.json",
        "data/n2/part-f1-00000-000009.json",
        "part-f1-00000-000009.json",
    ]
    for key in others:
        store.put(key, b"[]")
    store.put("data/n/part-f1-00000-000009.json", b"[]")
    store.put("data/n/part-f1-00000-000000.jsonl.gz", b"")
    async with s3() as connector:
        await write(connector, "n", BATCHES[:1])
    own = ["data/n/.metadata.json", "data/n/part-f1-00000-000000.json"]
    assert store.listing() == sorted(others + own)


async def test_a_shorter_run_and_another_format_replace_the_longer_one(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES)
    async with s3(output_format="jsonl", compression="zstd") as connector:
        await write(connector, "n", BATCHES[:2])
        assert await contents(connector) == {"n": BATCHES[0] + BATCHES[1]}
    assert store.listing("data/n/part") == [f"data/n/part-f1-00000-00000{i}.jsonl.zst" for i in range(2)]


async def test_a_flow_that_replaces_another_removes_what_that_published(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES, flow="f1")
        store.put("data/n/part-f3-00000-000000.json", b"[]")
        await write(connector, "n", BATCHES[:1], flow="f2")
        assert (await metadata(connector)).flow == "f2"
        assert await contents(connector) == {"n": BATCHES[0]}
    assert store.listing("data/n/part") == ["data/n/part-f2-00000-000000.json", "data/n/part-f3-00000-000000.json"]


async def test_the_marker_says_what_is_there(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES)
    said = json.loads(store.get("data/n/.metadata.json"))
    assert len(said.pop("identity")) == 32
    assert said == {
        "version": 1,
        "namespace": "n",
        "flow": "f1",
        "documents": 20,
        "objects": 4,
        "stored_bytes": sum(len(store.get(key)) for key in store.listing("data/n/part")),
        "parts": [{"partition": "00000", "count": 4}],
    }


async def test_another_process_can_end_a_copy(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES)
    store.delete("data/n/.metadata.json")
    async with s3() as connector:
        await finish(connector, "n", {"00000": 4})
        assert (await metadata(connector)).count == 20


async def test_an_object_knows_its_documents_and_its_flow(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES[:1], flow="f/1 é".replace("/", "-"))
    [key] = store.listing("data/n/part")
    head = store.client.head_object(Bucket=store.name, Key=key)
    assert head["Metadata"] == {"documents": "5", "flow": "f-1%20%C3%A9"}
    assert head["ContentType"] == "application/json"


async def test_an_object_that_is_not_as_it_was_written_is_not_found(s3: Open, store: Store) -> None:
    store.put("data/n/part-f1-00000-000000.json", b"[]")
    async with s3() as connector:
        with pytest.raises(NotFoundError, match="part-f1-00000-000000"):
            await finish(connector, "n", {"00000": 1})


async def test_a_missing_batch_is_named_and_nothing_is_removed(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES[:2])
        before = store.listing()
        for parts in ({"00000": 3}, {"00001": 1}, {"00000": 2**62}):
            with pytest.raises(NotFoundError, match=r"part-f1-0000\d-00000\d.json' is not there"):
                await finish(connector, "n", parts)
    assert store.listing() == before


async def test_the_identity_lasts_until_the_folder_is_emptied(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES)
        first = (await metadata(connector)).identity
        await write(connector, "n", BATCHES[:1])
        assert (await metadata(connector)).identity == first != ""
        for key in store.listing():
            store.delete(key)
        assert not (await metadata(connector)).exists
        await write(connector, "n", BATCHES)
        assert (await metadata(connector)).identity != first


async def test_a_count_is_unknown_where_objects_came_or_went(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES)
        assert (await metadata(connector)).count == 20
        store.put("data/n/more.json", b'{"_id":1}')
        assert ((await metadata(connector)).count_unknown, (await metadata(connector)).count) == (True, 0)
        store.delete("data/n/more.json")
        store.delete("data/n/part-f1-00000-000002.json")
        assert (await metadata(connector)).count_unknown


async def test_what_others_left_is_seen_before_it_is_written_to(s3: Open, store: Store) -> None:
    store.put("data/a/x.json", b'{"_id":1}')
    store.put("data/b/x.csv", b"a,b\n")
    store.put("data/c/part-f1-00000-000000.json", b"[]")
    store.put("data/d%65/x.json", b'{"_id":1}')
    store.put("data/deep/er/x.json", b'{"_id":1}')
    async with s3() as connector:
        assert ((await metadata(connector, "a")).exists, (await metadata(connector, "a")).flow) == (True, "")
        assert ((await metadata(connector, "b")).exists, (await metadata(connector, "b")).flow) == (True, "")
        assert ((await metadata(connector, "c")).exists, (await metadata(connector, "c")).flow) == (True, "f1")
        assert (await metadata(connector, "de")).exists
        assert not (await metadata(connector, "deep")).exists
        assert (await metadata(connector, "deep.er")).count_unknown


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"version": 2}', b"\xff", b"[" * 100_000])
async def test_a_marker_that_is_not_ours_says_nothing(s3: Open, store: Store, content: bytes) -> None:
    store.put("data/n/.metadata.json", content)
    store.put("data/n/x.json", b'{"_id":1}')
    async with s3() as connector:
        found = await metadata(connector)
        assert (found.exists, found.count_unknown, found.flow, found.identity) == (True, True, "", "")
        assert await contents(connector) == {"n": [b'{"_id":1}']}


async def test_a_batch_without_a_name_is_there_at_once_and_once(s3: Open, store: Store) -> None:
    request = wire.WriteDataRequest(namespace="n", data=BATCHES[0], type=wire.EXTENDED_JSON)
    async with s3() as connector:
        for _ in range(2):
            await connector.WriteData(request)
        assert await contents(connector) == {"n": BATCHES[0]}
        await write(connector, "n", BATCHES[1:2])
        assert await contents(connector) == {"n": BATCHES[1] + BATCHES[0]}
    assert len(store.listing("data/n/data-")) == 1


async def test_many_writes_at_once_are_all_kept(s3: Open) -> None:
    async with s3() as connector:
        requests = [
            wire.WriteDataRequest(namespace=f"n{i % 3}", data=[b'{"_id":%d}' % i], type=wire.EXTENDED_JSON)
            for i in range(60)
        ]
        for i, request in enumerate(requests):
            request.write_id = f"f1/{i % 5:05d}/{i // 15}/n{i % 3}"
        await asyncio.gather(*map(connector.WriteData, requests))
        await asyncio.gather(*(finish(connector, f"n{n}", {f"{p:05d}": 4 for p in range(5)}) for n in range(3)))
        found = await contents(connector)
    assert {int(json.loads(text)["_id"]) for texts in found.values() for text in texts} == set(range(60))
    assert sum(map(len, found.values())) == 60


@pytest.mark.parametrize(
    "write_id", ["f/p/0/other", "f/p/0", "f/p/x/n", "f//0/n", "/p/0/n", "f/p/-1/n", "f/p/²/n", "x"]
)
async def test_a_write_id_that_is_none_is_refused(s3: Open, store: Store, write_id: str) -> None:
    request = wire.WriteDataRequest(namespace="n", data=BATCHES[0], type=wire.EXTENDED_JSON, write_id=write_id)
    async with s3() as connector:
        with pytest.raises(UsageError):
            await connector.WriteData(request)
    assert store.listing() == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a":"secret"', "it ends too early"),
        (b'{"a":"secret"} {}', "something follows"),
        (b'{"a":1},{"secret":2}', "something follows"),
        (b'["secret"]', "not a JSON object"),
        (b"", "empty"),
        (b'{"a":"secret\xff"}', "not UTF-8"),
        (b'{"a":secret}', "not valid JSON"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested too deeply"),
    ],
)
async def test_what_is_no_document_is_refused_with_its_place(s3: Open, store: Store, text: bytes, reason: str) -> None:
    request = wire.WriteDataRequest(namespace="n", data=[b'{"b":1}', text], type=wire.EXTENDED_JSON)
    async with s3() as connector:
        with pytest.raises(DataError, match=f"document 2 of a batch for 'n': {reason}") as caught:
            await connector.WriteData(request)
    assert "secret" not in str(caught.value)
    assert store.listing() == []


async def test_documents_that_only_together_are_json_are_refused(s3: Open) -> None:
    for data in ([b'{"a":1', b'"b":2}'], [b'{"a":1', b'"b":2},{"c":3}'], [b'{"a":1},', b'{"b":2}']):
        async with s3() as connector:
            with pytest.raises(DataError, match="document 1"):
                await connector.WriteData(wire.WriteDataRequest(namespace="n", data=data, type=wire.EXTENDED_JSON))


async def test_a_namespace_too_long_for_s3_is_a_usage_error(s3: Open, store: Store) -> None:
    async with s3() as connector:
        with pytest.raises(UsageError, match="longer than the 1024 bytes"):
            await write(connector, "x" * 900, BATCHES)
    assert store.listing() == []


async def test_a_copy_that_has_not_ended_is_read_with_a_warning(s3: Open, store: Store) -> None:
    async with s3() as connector:
        await write(connector, "n", BATCHES[:2])
        store.put("data/n/part-f2-00000-000000.json", b'[{"_id":"other"}]')
        found = await plan(connector)
        assert list(found.warnings) == [f"s3://{store.name}/data/n/: 1 objects of a copy that has not ended: left out"]
        assert await contents(connector) == {"n": BATCHES[0] + BATCHES[1]}
        store.delete("data/n/.metadata.json")
        [warning] = (await plan(connector)).warnings
        assert "has not ended" in warning
