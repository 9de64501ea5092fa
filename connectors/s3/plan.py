"""Partitions: small objects together, large ones in ranges that are cut between records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from connectors.s3 import names
from connectors.s3.bucket import Bucket, Entry
from connectors.s3.cursors import Part, Range
from dsync.codec import compression, jsontext
from dsync.codec.jsontext import Position, Rest, TextError

# What a page costs besides its documents hardly counts at this size.
PAGE_BYTES = 256 << 10

# So that a cursor stays small.
PARTITION_OBJECTS = 256

# What a compressed object is taken to be once it is not.
COMPRESSION_RATIO = 5

# How much of an object is looked at to see what it holds, and where a cut of lines is looked for, at first.
HEAD_BYTES = 64 << 10

# A cut of an array has to be followed by this much of nothing but elements.
PROOF_BYTES = 1 << 20


class Planned(Struct, frozen=True):
    """A partition and about how many bytes of text it has."""

    part: Part
    weight: int


async def partitions(bucket: Bucket, namespace: str, entries: Sequence[Entry]) -> list[Planned]:
    """Every document of these objects once; at least one partition."""
    target = bucket.settings.partition_bytes
    large = [entry for entry in entries if target and _may_split(entry) and 2 * entry.size > 3 * target]
    ranges = await asyncio.gather(*(_ranges(bucket, entry, target) for entry in large))
    split = {entry.key for entry, spans in zip(large, ranges, strict=True) if spans}
    groups = _groups([entry for entry in entries if entry.key not in split], target)
    found = [Planned(Part(namespace, tuple(group), PAGE_BYTES), sum(map(_weight, group))) for group in groups]
    for entry, spans in zip(large, ranges, strict=True):
        parts = [Part(namespace, (entry,), PAGE_BYTES, span) for span in spans]
        found += [Planned(part, span.end - span.position.offset) for part, span in zip(parts, spans, strict=True)]
    return found or [Planned(Part(namespace, (), PAGE_BYTES), 0)]


def _weight(entry: Entry) -> int:
    return entry.size if _may_split(entry) else entry.size * COMPRESSION_RATIO


def _may_split(entry: Entry) -> bool:
    return names.compression_of(entry.name) in (None, compression.NONE)


def _groups(entries: Sequence[Entry], target: int) -> Iterable[list[Entry]]:
    """Neighbours, up to the size of a partition together."""
    group: list[Entry] = []
    weight = 0
    for entry in entries:
        if group and (weight + _weight(entry) > target or len(group) == PARTITION_OBJECTS):
            yield group
            group, weight = [], 0
        group.append(entry)
        weight += _weight(entry)
    if group:
        yield group


async def _ranges(bucket: Bucket, entry: Entry, target: int) -> list[Range]:
    """The ranges of a large object; none where it is to be read as a whole."""
    head = await bucket.get(entry, 0, min(HEAD_BYTES, entry.size))
    if compression.of_content(head) != compression.NONE:
        return []
    try:
        at = jsontext.start(head)
    except TextError:  # whoever reads it will say what is wrong
        return []
    find = await _finder(bucket, entry, head, at) if at else None
    if at is None or find is None:
        return []
    guesses = range(target, entry.size - target // 2, target)
    cuts = sorted({cut for cut in await asyncio.gather(*map(find, guesses)) if cut is not None})
    bounds = list(pairwise([at.offset, *cuts, entry.size]))
    positions = [at, *(Position(at.form, cut) for cut in cuts)]
    spans = [Range(where, end, True) for where, (_, end) in zip(positions, bounds, strict=True)]
    return [*spans[:-1], replace(spans[-1], is_cut=False)] if len(spans) > 1 else []


async def _finder(
    bucket: Bucket, entry: Entry, head: bytes, at: Position
) -> Callable[[int], Awaitable[int | None]] | None:
    """What finds a cut at or after a place in an object; None: there are none to be found."""
    if at.form == "lines":
        return lambda guess: _lines_cut(bucket, entry, guess)
    mark = jsontext.array_mark(head, at)
    if mark is None:
        mark = jsontext.array_mark(await bucket.get(entry, 0, min(PROOF_BYTES, entry.size)), at)
    if mark is None:
        return None
    return lambda guess: _array_cut(bucket, entry, guess, mark)


async def _lines_cut(bucket: Bucket, entry: Entry, guess: int) -> int | None:
    size = HEAD_BYTES
    while True:
        end = min(guess + size, entry.size)
        cut = jsontext.lines_cut(await bucket.get(entry, guess, end))
        if cut is not None:
            return guess + cut
        if end == entry.size or size >= bucket.settings.partition_bytes:
            return None
        size *= 4


async def _array_cut(bucket: Bucket, entry: Entry, guess: int, mark: bytes) -> int | None:
    end = min(guess + PROOF_BYTES, entry.size)
    window = await bucket.get(entry, guess, end)
    cut = jsontext.array_cut(window, mark, Rest.END if end == entry.size else Rest.MORE)
    return None if cut is None else guess + cut
