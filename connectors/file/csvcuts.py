"""Where a CSV file can be cut into partitions: starts of records, found without reading the file from its start.

A line end may stand inside quotes, so from a place in the middle two hypotheses are followed, "this is outside of quotes"
and "this is inside", until one of them breaks the rules. In a sound file the one that is left is true. In one that is not
sound it need not be; that is why each partition proves, by reading it, that it ends exactly where the next one begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from connectors.file.csvsyntax import Dialect

_WINDOW_BYTES = 256 << 10
# Cells that are full of `","` keep both readings alive for long; then the target gets no cut.
_PATIENCE_RUNS = 20_000
_QUOTES = re.compile(rb'"+')

Read = Callable[[int, int], bytes]


def sound_cuts(dialect: Dialect, read: Read, body: int, size: int, targets: Iterable[int], limit: int) -> list[int]:
    """Starts of records after the targets, strictly between `body` and `size`, ascending, each once."""
    search = _Search(dialect, read, size, limit)
    # From the last to the first: what one search found to be free of quotes, the next one need not read again.
    cuts = [search.cut(target) for target in sorted(set(targets), reverse=True) if body < target < size]
    return sorted({cut for cut in cuts if cut is not None and body < cut < size})


class _Run(Struct, frozen=True):
    """Quotes in a row, and whether what stands before lets a cell begin and what stands after lets one end."""

    place: int
    count: int
    may_open: bool
    may_close: bool

    def follow(self, inside: bool | None) -> bool | None:
        """Whether the place after the run is inside of quotes, when the one before it is; None: the rules are broken."""
        # Inside of quotes a pair is an escaped quote; the first one outside opens a cell, the one left over closes it.
        after = inside if inside is None or self.count % 2 == 0 else not inside
        if (inside is False and not self.may_open) or (after is False and not self.may_close):
            return None
        return after


class _Search:
    """Looks for records' starts near places of one file."""

    def __init__(self, dialect: Dialect, read: Read, size: int, limit: int) -> None:
        self._ends = dialect.ends
        self._read = read
        self._size = size
        self._limit = limit
        # A range that is known to hold no quote.
        self._free_from = self._free_to = size

    def cut(self, target: int) -> int | None:
        """The first start of a record after the target; None when it cannot be told or there is none."""
        start = self._beside_quotes(target)
        inside = self._inside(start)
        return None if inside is None else self._record_after(start, inside)

    def _beside_quotes(self, at: int) -> int:
        """The next place whose byte before is no quote: such a one could be half of a pair."""
        while at < self._size and self._read(at - 1, 1) == b'"':
            window = self._read(at, _WINDOW_BYTES)
            at += len(window) - len(window.lstrip(b'"')) + 1
        return min(at, self._size)

    def _inside(self, start: int) -> bool | None:
        """Whether `start` is inside of quotes; None when it cannot be told."""
        # Where each of the two hypotheses about the start has got to.
        from_outside: bool | None = False
        from_inside: bool | None = True
        for seen, run in enumerate(self._runs(start)):
            from_outside, from_inside = run.follow(from_outside), run.follow(from_inside)
            if from_outside is None or from_inside is None:
                return None if from_outside is from_inside else from_outside is None
            if seen == _PATIENCE_RUNS:
                return None
        # The file ends here, or no cell is long enough to reach the next quote: who is outside of quotes now was right.
        return from_outside

    def _record_after(self, at: int, inside: bool) -> int | None:
        for run in self._runs(at):
            if not inside and (end := self._line_end(at, run.place)) is not None:
                return end
            inside ^= bool(run.count % 2)
            at = run.place + run.count
        return None if inside else self._line_end(at, min(self._size, at + self._limit))

    def _line_end(self, at: int, end: int) -> int | None:
        while at < end:
            window = self._read(at, min(_WINDOW_BYTES, end - at))
            newline = window.find(b"\n")
            if newline >= 0:
                return at + newline + 1
            at += len(window) or self._size
        return None

    def _runs(self, start: int) -> Iterator[_Run]:
        """The runs of quotes from `start` on, until there is none for longer than a record may be."""
        at = last = start
        window_bytes = _WINDOW_BYTES
        while at < self._size and at - last <= self._limit:
            if self._free_from <= at < self._free_to:
                at = self._free_to
                continue
            # One byte before and one after, so that what stands around the quotes is seen.
            window = self._read(at - 1, window_bytes + 2)
            ended = at - 1 + len(window) >= self._size
            reached = len(window) if ended else len(window) - 1
            if reached < 2:
                return
            for match in _QUOTES.finditer(window, 1):
                if match.end() >= reached and not ended:
                    reached = match.start()
                    break
                place = at - 1 + match.start()
                if last == start:
                    self._free_from, self._free_to = start, place
                last = place + len(match[0])
                yield self._run(place, window, match)
            # A run that is longer than the window is read again, in a longer one.
            window_bytes = window_bytes * 2 if reached == 1 else _WINDOW_BYTES
            at += reached - 1
        if last == start:
            self._free_from, self._free_to = start, min(at, self._size)

    def _run(self, place: int, window: bytes, match: re.Match[bytes]) -> _Run:
        before, after = window[match.start() - 1], window[match.end() : match.end() + 1]
        return _Run(place, len(match[0]), before in self._ends, not after or after in self._ends)
