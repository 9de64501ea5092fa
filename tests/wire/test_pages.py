"""Answers of ListData hold several of the connector's pages, and are as reproducible as those."""

from __future__ import annotations

import dataclasses

from dsync import wire
from dsync.testing import samples
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from dsync.testing.subject import pages
from dsync.wire.limits import MOST_BYTES
from dsync.wire.server import ServerSettings
from tests.wire.served import every_page, joined, served

PAGES_OF_TEN = Shape(page_documents=10, partitions=3)


def store_of(documents: list[bytes]) -> MemoryStore:
    store = MemoryStore()
    store.load("a.docs", documents)
    return store


async def test_small_pages_are_merged_and_nothing_is_lost_or_moved() -> None:
    store = store_of(samples.documents(1000))
    async with MemoryConnector(store, PAGES_OF_TEN) as direct:
        small = await every_page(direct)
    async with served(MemoryConnector(store, PAGES_OF_TEN)) as client:
        merged = await every_page(client)
    assert len(merged) < len(small) / 5
    assert joined(merged) == joined(small)


async def test_pages_stay_as_they_are_where_a_page_size_asks_for_it() -> None:
    store = store_of(samples.documents(300))
    async with MemoryConnector(store, PAGES_OF_TEN) as direct:
        small = await every_page(direct)
    async with served(MemoryConnector(store, PAGES_OF_TEN), ServerSettings(page_bytes=1)) as client:
        assert await every_page(client) == small


async def test_a_merged_page_comes_again_from_its_cursor_and_from_any_other_server() -> None:
    store = store_of(samples.documents(1000))
    async with (
        served(MemoryConnector(store, PAGES_OF_TEN)) as one,
        served(MemoryConnector(store, PAGES_OF_TEN)) as other,
        MemoryConnector(store, PAGES_OF_TEN) as direct,
    ):
        [partition, *_] = (await one.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))).partitions
        cursor = b""
        async for page in pages(one, partition, wire.BSON):
            request = wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=cursor)
            assert await one.ListData(request) == page
            assert await other.ListData(request) == page
            assert (await direct.ListData(request)).data[0] == page.data[0], "cursors are the connector's own"
            cursor = page.next_cursor


async def test_merged_pages_of_large_documents_fit_into_a_message() -> None:
    large = samples.documents(12, size=15 << 20)
    store = store_of(large)
    shape = dataclasses.replace(PAGES_OF_TEN, page_documents=1, partitions=1)
    async with served(MemoryConnector(store, shape), ServerSettings(page_bytes=64 << 20)) as client:
        merged = await every_page(client)
    assert joined(merged) == large
    assert max(sum(map(len, page)) for page in merged) < MOST_BYTES
