"""What each worker of a cluster may take of what a run has: memory, and documents a second."""

from __future__ import annotations

from dsync.flow import budget


class Shares:
    """Equal shares for those who hold one. A share that shrinks is free for others only when its holder has heard of it."""

    def __init__(self, memory_limit: int | None, rate: float, most: int | None) -> None:
        """`memory_limit` covers this process and all workers; None: each machine decides. `most`: workers at a time."""
        self.memory_limit = memory_limit
        self.rate = rate
        # Workers that there is room for, whatever their number.
        self.most = most if memory_limit is None else min(most or 1 << 30, _fitting(memory_limit))
        self._granted: dict[object, float] = {}

    def gauge_bytes(self, workers: int, machine_bytes: int, on_machine: int) -> int:
        """Bytes of documents that may be under way at a worker, beside so many and so many on its own machine."""
        if self.memory_limit is None:
            return budget.gauge_bytes(machine_bytes, max(1, on_machine))
        return budget.gauge_bytes(self.memory_limit, workers + 1)

    def claim(self, holder: object, workers: int) -> float:
        """Documents a second for the holder from now on, to be confirmed once it has heard; 0 where there is no limit.

        Negative: no share yet, others have to give up of theirs first.
        """
        if not self.rate:
            return 0.0
        fair = self.rate / max(1, workers)
        left = self.rate - sum(rate for other, rate in self._granted.items() if other is not holder)
        mine = min(fair, left)
        if holder not in self._granted and mine < fair / 2:
            return -1.0
        # until it has heard, it may still go by the old one
        self._granted[holder] = max(mine, self._granted.get(holder, 0.0))
        return mine

    def confirm(self, holder: object, rate: float) -> None:
        """The holder goes by its new share."""
        if self.rate:
            self._granted[holder] = rate

    def give_back(self, holder: object) -> None:
        """The holder writes nothing any more."""
        self._granted.pop(holder, None)


def _fitting(memory_limit: int) -> int:
    each = budget.PROCESS_BYTES + budget.COPIES * budget.LEAST_UNDER_WAY
    return max(1, (memory_limit - budget.PROCESS_BYTES) // each)
