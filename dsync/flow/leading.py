"""Which partitions a namespace begins with that are done: a destination can put those together while the others are copied."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from dsync.state import Progress
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint

# So much more is worth a word.
LEAST_BYTES = 8 << 20


class Leading:
    """Follows a plan whose partitions come to their ends in any order; keeps little of what was told."""

    def __init__(self, plan: Sequence[Progress]) -> None:
        self._waiting: dict[str, deque[int]] = defaultdict(deque)
        self._ended: dict[int, Checkpoint] = {}
        self._untold: dict[str, list[tuple[int, Checkpoint]]] = defaultdict(list)
        self._bytes: dict[str, int] = defaultdict(int)
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
            self._untold[namespace].append((first, at))
            self._bytes[namespace] += sum(written.bytes for written in at.written)

    def news(self, namespace: str) -> Sequence[tuple[int, Checkpoint]]:
        """The partitions by number that follow those told before, all of them done; empty while they are too little."""
        if self._bytes[namespace] < LEAST_BYTES:
            return ()
        self._bytes[namespace] = 0
        return self._untold.pop(namespace)
