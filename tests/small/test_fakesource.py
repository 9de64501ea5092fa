from __future__ import annotations

from itertools import pairwise
from typing import Any

import bson
import orjson
import pytest

from connectors.random.fakesource import FakeSource
from dsync import codec, wire
from dsync.connector import Connector
from dsync.errors import CursorError, NotFoundError, UnimplementedError, UsageError
from tests.small.driving import follow, follow_updates, plan, read_all


def source(**options: Any) -> Connector:
    return FakeSource("/dev/fakesource", {"stream_tick": 0, **options})


async def test_documents_do_not_depend_on_how_they_are_read() -> None:
    by_page = await read_all(source(num_docs_per_partition=2500, num_partitions_per_namespace=2, batch_size=1))
    at_once = await read_all(source(num_docs_per_partition=2500, num_partitions_per_namespace=2, batch_size=9999))
    assert by_page == at_once
    assert len({bson.decode(document)["_id"] for document in at_once}) == 5000


async def test_another_seed_makes_other_documents() -> None:
    first, second = await read_all(source()), await read_all(source(seed=2))
    assert not set(first) & set(second)


async def test_all_types_say_the_same() -> None:
    options = {"num_docs_per_partition": 3, "payload": "ä%s\0", "payload_json": '{"a%d": [1, {"$numberLong": "2"}]}'}
    documents, texts, jsons = [
        await read_all(source(**options), kind) for kind in (wire.BSON, wire.EXTENDED_JSON, wire.JSON_ID)
    ]
    assert codec.bson_to_text(documents) == texts
    assert codec.bson_to_json_id(documents) == jsons
    assert codec.text_to_bson(texts) == documents
    assert bson.decode(documents[0])["payload"] == "ä%s\0"


async def test_a_payload_that_is_a_number_is_padding() -> None:
    [document] = await read_all(source(num_docs_per_partition=1, payload="400"))
    assert bson.decode(document)["payload"] == "x" * 400


async def test_pages_of_large_documents_are_small() -> None:
    large = source(num_docs_per_partition=30, payload="1000000", batch_size=1000)
    [partition] = (await plan(large)).partitions
    page = await large.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))
    assert len(page.data) == 8
    assert len(await read_all(large)) == 30


async def test_a_resumed_partition_keeps_the_page_size_of_its_plan() -> None:
    [partition] = (await plan(source(batch_size=10))).partitions
    page = await source(batch_size=70).ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))
    assert len(page.data) == 10


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_namespaces": 0}, "--num-namespaces"),
        ({"batch_size": "many"}, "--batch-size"),
        ({"sleep": -1}, "--sleep"),
        ({"payload_json": "{"}, "not JSON"),
        ({"payload_json": "[1]"}, "not an object"),
        ({"payload_json": '{"n": 1}'}, "'n'"),
        ({"payload_json": '{"a": {"$oid": "x"}}'}, "--payload-json"),
        ({"payload_json": '{"a": 1, "a": 2}'}, "--payload-json"),
        ({"payload": "99999999999"}, "--payload"),
        ({"payload": "\udce4"}, "UTF-8"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        source(**options)


async def test_cursors_belong_to_the_options_that_made_them() -> None:
    [partition] = (await plan(source())).partitions
    with pytest.raises(CursorError, match="other options"):
        await source(seed=5).ListData(wire.ListDataRequest(partition=partition, type=wire.BSON))


async def test_cursors_belong_to_their_partition() -> None:
    fake = source(num_partitions_per_namespace=2, batch_size=10)
    first, second = (await plan(fake)).partitions
    page = await fake.ListData(wire.ListDataRequest(partition=first, type=wire.BSON))
    with pytest.raises(CursorError, match="another partition"):
        await fake.ListData(wire.ListDataRequest(partition=second, type=wire.BSON, cursor=page.next_cursor))


async def test_namespaces_are_numbered_and_chosen_by_name_or_prefix() -> None:
    fake = source(num_namespaces=3, namespace_prefix="shop.orders")
    assert [part.namespace for part in (await plan(fake)).partitions] == [f"shop.orders{n}" for n in (1, 2, 3)]
    assert len((await plan(fake, "shop")).partitions) == 3
    assert [part.namespace for part in (await plan(fake, "shop.orders2")).partitions] == ["shop.orders2"]
    with pytest.raises(NotFoundError, match=r"'shop\.orders1' to 'shop\.orders3'"):
        await plan(fake, "shop.orders")


async def test_without_update_partitions_there_is_no_stream() -> None:
    with pytest.raises(UnimplementedError, match="--num-update-partitions-per-namespace"):
        await plan(source(), updates=True)
    with pytest.raises(UnimplementedError):
        await follow(source(), 1, b"")


async def test_update_partitions_share_out_the_documents() -> None:
    fake = source(num_docs_per_partition=50, num_update_partitions_per_namespace=3)
    owned = [
        {update.id[0].data for update in await follow_updates(fake, 400, partition.cursor)}
        for partition in (await plan(fake, updates=True)).updates_partitions
    ]
    assert all(not a & b for a, b in pairwise([*owned, owned[0]]))
    ids = {bson.decode(document)["_id"].encode() for document in await read_all(fake)}
    assert {data[4:-1] for data in set().union(*owned)} == ids


async def test_an_update_is_the_document_with_another_version() -> None:
    fake = source(num_docs_per_partition=5, num_update_partitions_per_namespace=1, payload="pay")
    before = {document["_id"]: document for document in map(bson.decode, await read_all(fake))}
    for update in await follow_updates(fake, 40):
        after = bson.decode(update.data)
        assert after.keys() == before[after["_id"]].keys()
        assert after["v"] > 0
        assert after["n"] != before[after["_id"]]["n"]


async def test_after_its_duration_a_stream_falls_silent_at_the_same_position() -> None:
    fake = source(num_update_partitions_per_namespace=2, update_duration=5, max_updates_per_tick=30)
    one_by_one = source(
        num_update_partitions_per_namespace=2, update_duration=5, max_updates_per_tick=30, update_batch_size=1
    )
    messages = await follow(fake, 11, b"")
    assert [bool(message.updates) for message in messages] == [True] * 10 + [False]
    assert messages[-1].next_cursor == messages[-2].next_cursor
    count = sum(len(message.updates) for message in messages)
    others = await follow(one_by_one, count + 1, b"")
    assert [u for m in others for u in m.updates] == [u for m in messages for u in m.updates]
    assert others[-1].next_cursor == messages[-1].next_cursor


async def test_updates_of_a_stream_that_ends_are_of_the_past() -> None:
    fake = source(num_update_partitions_per_namespace=1, update_duration=2)
    *past, present = await follow(fake, 3, b"")
    assert all(message.time.ToSeconds() < present.time.ToSeconds() for message in past)


async def test_an_update_stream_without_documents_only_moves() -> None:
    fake = source(num_docs_per_partition=0, num_update_partitions_per_namespace=1)
    first, second = await follow(fake, 2, b"")
    assert not first.updates
    assert first.next_cursor != second.next_cursor


async def test_an_id_of_another_form_is_not_found() -> None:
    fake = source(num_docs_per_partition=10)
    request = wire.GetByIdsRequest(namespace="fakesource.docs1", type=wire.EXTENDED_JSON)
    for text in ("000000-000000000003", "0-3", "000000-000000000010", "000001-000000000003", "", "٣٣٣٣٣٣-٣٣٣٣٣٣٣٣٣٣٣٣"):
        encoded = bson.encode({"_id": text})
        request.ids.add(id=[wire.BsonValue(data=encoded[9:-1], type=2)])
    request.ids.add(id=[wire.BsonValue(data=b"\3\0\0\0", type=16)])
    request.ids.add(id=[])
    found = [item.data for item in (await fake.GetByIds(request)).data]
    assert orjson.loads(found[0])["_id"] == "000000-000000000003"
    assert found[1:] == [b""] * 7
