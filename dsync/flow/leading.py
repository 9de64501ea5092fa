"""Which partitions a namespace begins with that are done: a destination can put those together while the others are copied."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from dsync.state import Progress
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint

# A word is worth it for so many bytes more, and for so large a share of all: the words of a large plan are long.
LEAST_BYTES, LEAST_SHARE = 8 << 20, 0.2


class Leading:
    """Follows a plan, in which checkpoints of partitions come to their ends in any order."""

    def __init__(self, plan: Sequence[Progress]) -> None:
        self._waiting: dict[str, deque[int]] = defaultdict(deque)
        self._ended: dict[int, Checkpoint] = {}
        self._reached: dict[str, list[tuple[int, Checkpoint]]] = defaultdict(list)
        self._bytes: dict[str, int] = defaultdict(int)
        self._told: dict[str, int] = defaultdict(int)
        for progress in plan:
            self._waiting[progress.planned.destination].append(progress.planned.number)
        for progress in plan:
            if progress.checkpoint.done:
                self.end(progress.planned.destination, progress.planned.number, progress.checkpoint)

    def end(self, namespace: str, number: int, checkpoint: Checkpoint) -> None:
        """A partition is done."""
        self._ended[number] = checkpoint
        waiting = self._waiting[namespace]
        while waiting and waiting[0] in self._ended:
            first = waiting.popleft()
            at = self._ended.pop(first)
            self._reached[namespace].append((first, at))
            self._bytes[namespace] += sum(written.bytes for written in at.written)

    def news(self, namespace: str) -> Sequence[tuple[int, Checkpoint]]:
        """Its first partitions by number, all of them done; empty while there is too little more than the last time."""
        reached = self._bytes[namespace]
        if reached < max(self._told[namespace] + LEAST_BYTES, self._told[namespace] * (1 + LEAST_SHARE)):
            return ()
        self._told[namespace] = reached
        return tuple(self._reached[namespace])
