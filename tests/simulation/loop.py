"""An event loop with a clock of its own and a seeded order of tasks: hours pass in milliseconds, and a seed repeats a run."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
# Of simulated time; a sound history takes seconds, with faults a few minutes.
LONGEST_SECONDS = 3600.0


class _Instant(selectors.SelectSelector):
    """Waits for nothing: time passes instead."""

    loop: SimulatedLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("the simulation waits for something that never comes")
        self.loop.now += timeout
        if self.loop.now > self.loop.end:
            self.loop.end = float("inf")  # what was begun may end now
            raise AssertionError("the simulation does not come to an end")
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready in an order that follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.end = LONGEST_SECONDS
        self._chance = random.Random(seed)
        selector = _Instant()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]  # what CPython's loops keep their callbacks in
        if len(ready) > 1:
            mixed = list(ready)
            self._chance.shuffle(mixed)
            ready.clear()
            ready.extend(mixed)
        super()._run_once()  # type: ignore[misc]  # likewise


def simulate(seed: int, main: Coroutine[Any, Any, Result]) -> Result:
    """Runs the coroutine in simulated time."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(seed)) as runner:
        return runner.run(main)
