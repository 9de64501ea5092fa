"""Documents of two sides that have not met yet: equal ones cancel as they come, in whatever order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

SOURCE, DESTINATION = 0, 1
SIDES = (SOURCE, DESTINATION)

# What a small object and its place in a set take beyond its bytes.
OVERHEAD_BYTES = 100


class Window:
    """Pairs of the very same bytes, one from each side, leave; what finds no partner in time is handed to `spill(side, documents)`.

    Two sides that are read in about the same order need little more than this. What is read twice on a side is spilled but for
    the first, so that as many leave on one side as on the other. `budget` are bytes.
    """

    def __init__(self, spill: Callable[[int, Iterable[bytes]], None], budget: int) -> None:
        self._spill = spill
        self._budget = budget
        # By age, then by side: the older ones go first when the budget is spent.
        self._young: tuple[set[bytes], set[bytes]] = (set(), set())
        self._old: tuple[set[bytes], set[bytes]] = (set(), set())
        self._young_bytes = 0
        self._old_bytes = 0
        self.met = 0

    def add(self, side: int, page: Sequence[bytes]) -> None:
        """Takes a page of a side."""
        fresh = set(page)
        if len(fresh) < len(page):
            self._spill(side, (Counter(page) - Counter(fresh)).elements())
        for ages in (self._young, self._old):
            twice = fresh & ages[side]
            if twice:
                self._spill(side, twice)
                fresh -= twice
        self._young_bytes -= self._meet(fresh, self._young[1 - side])
        self._old_bytes -= self._meet(fresh, self._old[1 - side])
        self._young[side].update(fresh)
        self._young_bytes += weight(fresh)
        while self._young_bytes + self._old_bytes > self._budget:
            self._age()

    def _meet(self, fresh: set[bytes], others: set[bytes]) -> int:
        """Removes what is in both; the weight that left `others`."""
        both = fresh & others
        if not both:
            return 0
        fresh -= both
        others -= both
        self.met += len(both)
        return weight(both)

    def _age(self) -> None:
        for side in SIDES:
            self._spill(side, self._old[side])
        self._old, self._old_bytes = self._young, self._young_bytes
        self._young, self._young_bytes = (set(), set()), 0

    def flush(self) -> None:
        """Spills all that is left."""
        self._age()
        self._age()


def weight(documents: set[bytes]) -> int:
    """About the memory that they take."""
    return sum(map(len, documents)) + OVERHEAD_BYTES * len(documents)
