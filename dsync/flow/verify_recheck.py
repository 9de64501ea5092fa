"""Reads suspects again before anything is said of them: live data may only have been on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from msgspec import Struct

from dsync import wire
from dsync.codec import raw
from dsync.errors import NotFoundError
from dsync.flow.verify_fields import changed_paths
from dsync.flow.verify_listing import IDS_PER_REQUEST, Reading, Side, by_ids, pages
from dsync.flow.verify_report import Difference
from dsync.flow.verify_scope import Pair
from dsync.flow.verify_spill import Record, Suspect, judge
from dsync.flow.verify_window import SOURCE

# Suspects looked at together: by id, or where a side has to be listed as a whole for them; and their documents in bytes.
SUSPECTS_BY_IDS = IDS_PER_REQUEST
SUSPECTS_BY_LISTING = 50_000
MOST_BYTES = 32 << 20

# Types of ids that no query finds by value; 0 is no id at all.
NEVER_ASKED_FOR = frozenset({0, raw.UNDEFINED, raw.REGEX, raw.ARRAY})

# A document with the namespace it was found in.
Placed = tuple[str, bytes]
Found = dict[bytes, list[Placed]]


class Rechecker(Struct, frozen=True):
    """Reads documents again by their ids, or by a second listing where an end cannot do that."""

    pairs: Sequence[Pair]
    sides: Sequence[Side]
    reading: Reading
    any_of: bool
    ignore_extra: bool

    async def confirm(self, suspects: Iterable[Suspect]) -> AsyncIterator[tuple[Suspect, Difference]]:
        """Those that still differ, with how they do now."""
        most = SUSPECTS_BY_IDS if all(side.by_ids for side in self.sides) else SUSPECTS_BY_LISTING
        for chunk in chunks(suspects, most):
            found = await asyncio.gather(*(self._fetch(side, chunk) for side in self.sides))
            for suspect in chunk:
                difference = self._compare(suspect, *(side.get(suspect.record.key, []) for side in found))
                if difference:
                    yield Suspect(suspect.record, difference.kind, suspect.size), difference

    def _compare(self, suspect: Suspect, ours: Sequence[Placed], theirs: Sequence[Placed]) -> Difference | None:
        form = self.reading.form
        kind = judge(
            [form.of(document) for _, document in ours],
            [form.of(document) for _, document in theirs],
            any_of=self.any_of,
        )
        if kind is None or (kind == "extra" and self.ignore_extra):
            return None
        fields = changed_paths(ours[0][1], theirs[0][1], form) if kind == "changed" else []
        pair, record = self.pairs[suspect.record.pair], suspect.record
        name = ours[0][0] if ours else pair.name
        return Difference(name, pair.destination, kind, record.id_kind, record.id_value, tuple(fields))

    async def _fetch(self, side: Side, chunk: Sequence[Suspect]) -> Found:
        """The documents of the suspects' ids by key, as BSON."""
        by_pair: dict[int, list[Suspect]] = {}
        for suspect in chunk:
            by_pair.setdefault(suspect.record.pair, []).append(suspect)
        found: Found = {}
        for number, suspects in by_pair.items():
            asked = [each for each in suspects if side.by_ids and can_be_asked_for(each.record)]
            others = [each for each in suspects if not side.by_ids or not can_be_asked_for(each.record)]
            for name in names_of(self.pairs[number], side):
                await self._fetch_by_ids(side, name, asked, found)
                if others:
                    await self._fetch_by_listing(side, name, others, found)
        return found

    async def _fetch_by_ids(self, side: Side, name: str, suspects: Sequence[Suspect], found: Found) -> None:
        for some in chunks(suspects, IDS_PER_REQUEST):
            records = [suspect.record for suspect in some]
            answers = await by_ids(side, name, [(record.id_kind, record.id_value) for record in records])
            there = [(record.key, data) for record, data in zip(records, answers, strict=True) if data]
            documents = self.reading.to_bson(side, name, [data for _, data in there])
            for (key, _), document in zip(there, documents, strict=True):
                found.setdefault(key, []).append((name, document))

    async def _fetch_by_listing(self, side: Side, name: str, suspects: Sequence[Suspect], found: Found) -> None:
        number = suspects[0].record.pair
        wanted = {suspect.record.key for suspect in suspects}
        for part in await parts_of(side, name):
            async for page in pages(side, part):
                documents = self.reading.to_bson(side, name, page)
                for key, document in zip(self.reading.keys(number, documents), documents, strict=True):
                    if key in wanted:
                        found.setdefault(key, []).append((name, document))


def can_be_asked_for(record: Record) -> bool:
    """Whether a query by id can mean this one: stores take some values for patterns and operators, and find nothing."""
    if record.id_kind in NEVER_ASKED_FOR:
        return False
    return record.id_kind != raw.DOCUMENT or record.id_value[5:6] != b"$"


async def parts_of(side: Side, name: str) -> list[wire.Partition]:
    """The partitions of just this namespace as it is now; none where it is gone."""
    try:
        plan = await side.connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=[name], initial_sync=True))
    except NotFoundError:
        return []
    return [part for part in plan.partitions if part.namespace == name]


def names_of(pair: Pair, side: Side) -> Sequence[str]:
    """What a side calls the pair's namespaces."""
    if side.index == SOURCE:
        return pair.sources
    return [pair.listed] if pair.listed else [pair.destination] if side.by_ids else []


def chunks(suspects: Iterable[Suspect], most: int) -> Iterator[list[Suspect]]:
    """Some at a time: so many, and so many bytes of documents, at the most."""
    chunk: list[Suspect] = []
    size = 0
    for suspect in suspects:
        if chunk and (len(chunk) == most or size + suspect.size > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(suspect)
        size += suspect.size
    if chunk:
        yield chunk
