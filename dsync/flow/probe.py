"""Tries a transform on the first documents of a plan, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from dsync import wire
from dsync.connector import Connector
from dsync.errors import UsageError
from dsync.flow.transform import Stage
from dsync.wire.gen.dsync.v1.flow_pb2 import PlannedPartition
from dsync.wrap.setaside import DeadLetters

# Of a plan and of each of its namespaces: enough to see what a transform does, little enough to wait for.
MOST_NAMESPACES, MOST_DOCUMENTS = 50, 100
MOST_PAGES = 5


class Unkept(DeadLetters):
    """Letters of a try: the run itself will write them."""

    def __init__(self) -> None:
        """Needs no file."""

    def add(self, letters: Sequence[dict[str, object]]) -> None:
        """Keeps nothing."""


async def probe(source: Connector, stage: Stage, partitions: Iterable[PlannedPartition]) -> Mapping[str, Sequence[str]]:
    """Planned namespaces of the destination -> what the transform makes of their first documents.

    Raises UsageError for a transform that makes other ids when it is asked again, so that a run that goes on would write
    documents twice; and what the stage raises.
    """
    stage = Stage(stage.transform, stage.how, Unkept() if stage.letters else None)
    firsts: dict[str, PlannedPartition] = {}
    for planned in partitions:
        firsts.setdefault(planned.destination, planned)
    return {name: await _probe(source, stage, first) for name, first in islice(firsts.items(), MOST_NAMESPACES)}


def notes(aims: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A sentence about each planned namespace of which other ones are made."""
    for planned, names in aims.items():
        if list(names) not in ([], [planned]):
            yield f"of the first documents of {planned} the transform makes {', '.join(names)}"


async def _probe(source: Connector, stage: Stage, planned: PlannedPartition) -> Sequence[str]:
    documents = await _first_documents(source, stage, planned)
    made = await stage.documents(planned.destination, documents)
    again = await stage.documents(planned.destination, documents)
    if Counter(stage.keys(made)) != Counter(stage.keys(again)):
        raise UsageError(
            f"the transform does not repeat itself: a document of {planned.partition.namespace!r}, asked for twice, comes with"
            " another id or in another namespace",
            remedy="make ids of what stands in the document, not of chance or the time",
        )
    return list(made.documents)


async def _first_documents(source: Connector, stage: Stage, planned: PlannedPartition) -> list[bytes]:
    cursor = b""
    for _ in range(MOST_PAGES):
        request = wire.ListDataRequest(partition=planned.partition, type=stage.how.request, cursor=cursor)
        page = await source.ListData(request)
        if page.data or not page.next_cursor:
            return list(page.data)[:MOST_DOCUMENTS]
        cursor = page.next_cursor
    return []
