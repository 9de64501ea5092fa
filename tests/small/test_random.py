from __future__ import annotations

from typing import Any

import bson
import pytest

from connectors.random.documents import LARGEST_BYTES
from connectors.random.varied import VariedSource
from dsync import codec, wire
from dsync.codec import raw
from dsync.connector import Connector
from tests.small.driving import follow_updates, plan, read_all


def source(**options: Any) -> Connector:
    return VariedSource("/dev/random", {"stream_tick": 0, **options})


async def test_documents_have_every_common_type() -> None:
    kinds: set[int] = set()

    def collect(buffer: bytes) -> None:
        for kind, _, start, end in raw.elements(buffer):
            kinds.add(kind)
            if kind in (raw.DOCUMENT, raw.ARRAY):
                collect(buffer[start:end])

    documents = await read_all(source())
    for document in documents:
        collect(document)
    wanted = {raw.DOUBLE, raw.STRING, raw.DOCUMENT, raw.ARRAY, raw.BINARY, raw.OBJECT_ID, raw.BOOLEAN, raw.DATE}
    assert kinds >= wanted | {raw.NULL, raw.INT32, raw.INT64, raw.DECIMAL128}


async def test_documents_do_not_depend_on_how_they_are_read() -> None:
    assert await read_all(source(batch_size=7)) == await read_all(source(batch_size=1000))


async def test_documents_are_as_small_as_pages_take_them_to_be() -> None:
    documents = await read_all(source(num_docs_per_partition=3000))
    assert max(map(len, documents)) < LARGEST_BYTES
    assert max(map(len, codec.bson_to_text(documents))) < LARGEST_BYTES


async def test_partitions_and_namespaces_have_documents_of_their_own() -> None:
    documents = await read_all(source(num_namespaces=2, num_partitions_per_namespace=3, num_docs_per_partition=50))
    assert len({bson.decode(document)["_id"] for document in documents}) == 300


@pytest.mark.parametrize("documents", [0, 1, 2, 5, 300])
@pytest.mark.parametrize("streams", [1, 3])
async def test_streams_update_and_delete_only_what_is_there(documents: int, streams: int) -> None:
    varied = source(num_docs_per_partition=documents, num_update_partitions_per_namespace=streams)
    there = {raw.id_of(document)[1] for document in await read_all(varied)}
    seen = set()
    for partition in (await plan(varied, updates=True)).updates_partitions:
        for update in await follow_updates(varied, 500, partition.cursor):
            identity = update.id[0].data
            assert (identity in there) == (update.type != wire.INSERT)
            if update.type == wire.DELETE:
                there.remove(identity)
            else:
                assert raw.id_of(update.data) == (raw.OBJECT_ID, identity)
                there.add(identity)
            seen.add(update.type)
    assert seen == {wire.INSERT, wire.UPDATE, wire.DELETE}


async def test_the_stream_is_the_same_on_every_run() -> None:
    assert await follow_updates(source(), 200) == await follow_updates(source(update_batch_size=3), 200)


async def test_an_inserted_document_is_not_found_by_its_id() -> None:
    varied = source(num_docs_per_partition=1)
    inserted = next(update for update in await follow_updates(varied, 50) if update.type == wire.INSERT)
    answer = await varied.GetByIds(
        wire.GetByIdsRequest(namespace="random.docs1", type=wire.BSON, ids=[{"id": inserted.id}])  # type: ignore[list-item] # as protobuf takes it
    )
    assert [item.data for item in answer.data] == [b""]
