"""A destination hears which partitions its namespaces begin with, as far as those are done."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dsync import migrate, wire
from dsync.flow import leading
from dsync.flow.leading import LEAST_BYTES, Leading
from dsync.state import Progress
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Written
from tests.engine.driving import connector, documents, settings, store_with


def plan(*namespaces: str) -> list[Progress]:
    return [
        Progress(PlannedPartition(number=number, destination=name), Checkpoint())
        for number, name in enumerate(namespaces)
    ]


def done(size: int = LEAST_BYTES, namespace: str = "a") -> Checkpoint:
    return Checkpoint(done=True, written=[Written(namespace=namespace, batches=1, bytes=size)])


def numbers(news: Sequence[tuple[int, Checkpoint]]) -> list[int]:
    return [number for number, _ in news]


def test_only_what_stands_at_the_beginning_is_told() -> None:
    progress = Leading(plan("a", "b", "a", "a"))
    progress.end("a", 2, done())
    assert not progress.news("a")
    progress.end("a", 0, done())
    assert numbers(progress.news("a")) == [0, 2]
    assert not progress.news("a")
    assert not progress.news("b")
    progress.end("a", 3, done())
    assert numbers(progress.news("a")) == [3]


def test_what_an_earlier_run_has_done_counts() -> None:
    found = plan("a", "a")
    found[0] = Progress(found[0].planned, done())
    progress = Leading(found)
    assert numbers(progress.news("a")) == [0]


def test_little_more_is_not_worth_a_word() -> None:
    progress = Leading(plan(*"a" * 100))
    words = 0
    for number in range(100):
        progress.end("a", number, done(LEAST_BYTES // 2))
        words += bool(progress.news("a"))
    assert words == 50


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_each_is_told_once_and_in_its_place(seed: int) -> None:
    chance = random.Random(seed)
    names = [chance.choice("ab") for _ in range(30)]
    progress = Leading(plan(*names))
    order = list(range(30))
    chance.shuffle(order)
    told: dict[str, list[int]] = {"a": [], "b": []}
    for number in order:
        name = names[number]
        assert not progress.news(name)
        progress.end(name, number, done(LEAST_BYTES, name))
        told[name] += numbers(progress.news(name))
    assert told == {name: [each for each in range(30) if names[each] == name] for name in "ab"}


class Preparing(MemoryConnector):
    """Remembers what it was told ahead."""

    words: list[wire.FinishNamespaceRequest]
    finished: list[wire.FinishNamespaceRequest]

    async def prepare_finish(self, request: wire.FinishNamespaceRequest) -> None:
        self.words.append(request)

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        self.finished.append(request)
        return await super().FinishNamespace(request)


async def test_a_copy_tells_its_destination_ahead_what_it_says_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "LEAST_BYTES", 1)
    source = connector(store_with(shop__a=documents(400)), partitions=8)
    sink = Preparing(MemoryStore("sink"), replace(connector(MemoryStore("x")).shape, keyed=False))
    sink.words, sink.finished = [], []
    await migrate(source, sink, settings(copiers=1))
    [end] = sink.finished
    assert sink.words
    assert {(word.namespace, word.flow) for word in sink.words} == {(end.namespace, end.flow)}
    told = [part for word in sink.words for part in word.parts]
    assert told == list(end.parts)[: len(told)]
    assert len(told) >= 4
