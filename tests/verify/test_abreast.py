"""Two sides that are read abreast: what is equal at its place is passed by, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsync import wire
from dsync.errors import TransientError
from dsync.flow import verify_listing
from dsync.flow.digest import Form
from dsync.flow.verify_abreast import Feed, abreast
from dsync.flow.verify_window import Window
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from tests.verify.planting import NAMESPACE, compared, documents, encoded, plant

SIDE = st.lists(st.integers(0, 9).map(lambda n: b"%d" % n), max_size=40)
PAGE = st.integers(1, 9)
COUNT, PAGE_DOCUMENTS = 1000, 50


def handed_over(
    ours: Sequence[bytes], theirs: Sequence[bytes], page: int, their_page: int
) -> tuple[list[bytes], list[bytes]]:
    apart: tuple[list[bytes], list[bytes]] = ([], [])

    async def pages(documents: Sequence[bytes], size: int) -> AsyncIterator[list[bytes]]:
        for at in range(0, len(documents), size):
            await asyncio.sleep(0)
            yield list(documents[at : at + size])
            yield []

    feeds = Feed(pages(ours, page)), Feed(pages(theirs, their_page))
    asyncio.run(abreast(feeds, lambda side, some: apart[side].extend(some)))
    return apart


@given(SIDE, SIDE, PAGE, PAGE)
def test_sides_differ_in_what_is_handed_over_exactly_as_they_differ_in_all(
    ours: list[bytes], theirs: list[bytes], page: int, their_page: int
) -> None:
    one, other = map(Counter, handed_over(ours, theirs, page, their_page))
    every, others = Counter(ours), Counter(theirs)
    assert (one - other, other - one) == (every - others, others - every)
    assert one <= every and other <= others


@given(SIDE, PAGE, PAGE)
def test_nothing_is_handed_over_of_equal_sides_however_their_pages_are_cut(
    documents: list[bytes], page: int, their_page: int
) -> None:
    assert handed_over(documents, list(documents), page, their_page) == ([], [])


@pytest.mark.parametrize("place", [0, 1, 49, 50, 51, 500, 998, 999])
@pytest.mark.parametrize("kind", ["missing", "extra", "changed"])
def test_after_a_difference_the_sides_are_soon_at_the_same_place_again(place: int, kind: str) -> None:
    ours = [b"%06d" % number for number in range(COUNT)]
    theirs = ours.copy()
    theirs[place : place + (kind != "extra")] = [] if kind == "missing" else [b"other"]
    one, other = handed_over(ours, theirs, PAGE_DOCUMENTS, PAGE_DOCUMENTS)
    assert Counter(one) - Counter(other) == Counter(ours) - Counter(theirs)
    assert Counter(other) - Counter(one) == Counter(theirs) - Counter(ours)
    assert len(one) + len(other) <= 4 * PAGE_DOCUMENTS


def test_the_failure_of_one_side_ends_the_other() -> None:
    cancelled = []

    async def broken() -> AsyncIterator[list[bytes]]:
        yield [b"a"]
        raise TransientError("gone")

    async def waiting() -> AsyncIterator[list[bytes]]:
        yield [b"a"]
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with pytest.raises(TransientError):
        asyncio.run(abreast((Feed(broken()), Feed(waiting())), lambda _side, _documents: None))
    assert cancelled


class Alike(MemoryConnector):
    """A store that cuts its partitions where another one of its kind does, with pages of its own."""

    async def cut_alike(
        self, partitions: Sequence[wire.Partition], like: Sequence[wire.Partition]
    ) -> list[wire.Partition]:
        cursors = [json.loads(part.cursor) for part in like]
        mine = {"namespace": partitions[0].namespace, "documents": self.shape.page_documents}
        return [
            wire.Partition(
                namespace=partitions[0].namespace,
                cursor=self._write("partition", after=cursor["after"], until=cursor["until"], **mine),
            )
            for cursor in cursors
        ]


def alike(name: str, content: list[bytes], **shape: Any) -> Alike:
    store = MemoryStore(name)
    store.load(NAMESPACE, content)
    return Alike(store, Shape(**shape))


class Looked(Window):
    """Counts the documents that are looked at."""

    documents = 0

    def add(self, side: int, page: Sequence[bytes]) -> None:
        Looked.documents += len(page)
        super().add(side, page)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> type[Looked]:
    monkeypatch.setattr(Looked, "documents", 0)
    monkeypatch.setattr(verify_listing, "Window", Looked)
    return Looked


@pytest.mark.parametrize("partitions", [(1, 1), (5, 2), (2, 5), (1, 7)])
async def test_no_document_of_equal_sides_is_looked_at(partitions: tuple[int, int], looked: type[Looked]) -> None:
    content = encoded(documents(3000))
    ours, theirs = (alike(name, content, partitions=count) for name, count in zip("ab", partitions, strict=True))
    verified = await compared(ours, theirs)
    assert verified.outcome.result == "equal" and verified.outcome.namespaces[0].documents == [3000, 3000]
    assert looked.documents == 0


@pytest.mark.parametrize("partitions", [(1, 1), (5, 2), (2, 5)])
@pytest.mark.parametrize("pages", [(100, 100), (70, 90)])
@pytest.mark.parametrize("memory", [None, 100_000])
async def test_planted_differences_are_found_abreast_and_no_others(
    partitions: tuple[int, int], pages: tuple[int, int], memory: int | None
) -> None:
    source = documents(4000)
    planted = plant(source)
    ours = alike("ours", encoded(source), partitions=partitions[0], page_documents=pages[0])
    theirs = alike("theirs", planted.documents, partitions=partitions[1], page_documents=pages[1])
    verified = await compared(ours, theirs, memory_limit=memory)
    assert verified.found == planted.expected
    assert verified.outcome.namespaces[0].documents == [4000, len(planted.documents)]


async def test_what_is_not_compared_by_all_its_bytes_is_the_same_abreast() -> None:
    source = documents(1000)
    moved = [{"text": each["text"], **each} for each in source]
    ours, theirs = alike("ours", encoded(source)), alike("theirs", encoded(moved))
    assert (await compared(ours, theirs, form=Form(ignore_field_order=True))).outcome.result == "equal"
    assert len((await compared(ours, theirs)).lines) == 1000


async def test_parts_of_a_verification_together_find_everything_where_it_could_be_read_abreast() -> None:
    source = documents(1000)
    planted = plant(source)
    ours, theirs = alike("ours", encoded(source)), alike("theirs", planted.documents)
    verified = [await compared(ours, theirs, part=part, parts=3) for part in (1, 2, 3)]
    assert {name: fields for each in verified for name, fields in each.found.items()} == planted.expected
    assert sum(each.outcome.documents(0) or 0 for each in verified) == 1000


@pytest.mark.parametrize("empty", [0, 1])
async def test_an_empty_side_is_compared_abreast(empty: int) -> None:
    sides = [encoded(documents(500)), encoded(documents(500))]
    sides[empty] = []
    verified = await compared(alike("ours", sides[0]), alike("theirs", sides[1]))
    assert {line["kind"] for line in verified.lines} == {("extra", "missing")[empty]}
    assert len(verified.lines) == 500


@given(st.integers(0, 2**32))
def test_random_changes_are_found_abreast(seed: int) -> None:
    chance = random.Random(seed)
    source: list[dict[str, Any]] = [{"_id": number, "a": chance.choice("xy")} for number in range(60)]
    target = [dict(each) for each in source if chance.random() > 0.1]
    for each in target:
        if chance.random() < 0.1:
            each["a"] += "z"
    target += [{"_id": 1000 + number} for number in range(chance.randrange(3))]
    sizes = {"partitions": chance.randrange(1, 6), "page_documents": chance.randrange(1, 20)}
    ours, theirs = alike("ours", encoded(source), **sizes), alike("theirs", encoded(target), page_documents=7)
    before, after = ({each["_id"]: bson.encode(each) for each in side} for side in (source, target))
    expected = {(str(key), "missing") for key in before.keys() - after.keys()}
    expected |= {(str(key), "extra") for key in after.keys() - before.keys()}
    expected |= {(str(key), "changed") for key in before.keys() & after.keys() if before[key] != after[key]}
    assert set(asyncio.run(compared(ours, theirs)).found) == expected
