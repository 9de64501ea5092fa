"""Two partitions of the same range, one of each side, read abreast: what stands at its place on both is not looked at further."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct, field

from dsync.cancel import together


class Feed(Struct):
    """A partition being read; `rest` are documents that have not been compared yet."""

    pages: AsyncIterator[list[bytes]]
    rest: list[bytes] = field(default_factory=list)
    ended: bool = False

    async def fill(self) -> None:
        """Reads until there is something to compare, or nothing left."""
        while not self.rest and not self.ended:
            page = await anext(self.pages, None)
            self.ended = page is None
            self.rest = page or []

    def pass_by(self, count: int) -> list[bytes]:
        """So many documents, which are compared now."""
        passed, self.rest = self.rest[:count], self.rest[count:]
        return passed


async def abreast(feeds: tuple[Feed, Feed], apart: Callable[[int, Sequence[bytes]], None]) -> None:
    """Reads both to their ends, and hands what has no equal at its place on the other side to `apart(side, documents)`.

    What is not handed over are pairs of the very same bytes, one of each side: the sides differ in what is handed over exactly
    as they differ in all. Pages that are cut otherwise cost little, another order costs what `apart` does.
    """
    one, other = feeds
    while await _filled(one, other):
        if one.rest == other.rest:
            one.rest, other.rest = [], []
            continue
        same = same_at_start(one.rest, other.rest)
        one.pass_by(same)
        other.pass_by(same)
        if _comparable(one, other):
            for side, count in enumerate(apart_until_same(one.rest, other.rest)):
                apart(side, feeds[side].pass_by(count))


async def _filled(one: Feed, other: Feed) -> bool:
    """Reads where nothing is left to compare, on both sides at once where that is so; False at the end of both."""
    empty = [feed.fill() for feed in (one, other) if not feed.rest and not feed.ended]
    if len(empty) == 1:
        await empty[0]
    else:
        await together(empty)
    return bool(one.rest or other.rest)


def _comparable(one: Feed, other: Feed) -> bool:
    """Whether what is left says all that can be known of it: no side waits for its next page."""
    return all(feed.rest or feed.ended for feed in (one, other))


def same_at_start(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int:
    """How many documents at the beginning of both are the same."""
    count = min(len(ours), len(theirs))
    if ours[:count] == theirs[:count]:
        return count
    return next(at for at in range(count) if ours[at] != theirs[at])


def apart_until_same(ours: Sequence[bytes], theirs: Sequence[bytes]) -> tuple[int, int]:
    """How many of each have to go so that both sides are at the same place again: all up to the last one that both have.

    Everything where they have nothing in common.
    """
    both = set(ours).intersection(theirs)
    if not both:
        return len(ours), len(theirs)
    last = next(at for at in reversed(range(len(ours))) if ours[at] in both)
    return last + 1, len(theirs) - theirs[::-1].index(ours[last])
