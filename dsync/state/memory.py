"""A state that ends with its process: for tests, and for runs that are never resumed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from dsync.errors import HeldError
from dsync.state.store import Flow, Progress, State
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position


class MemoryState(State):
    """Keeps copies, so that what a caller changes later is not kept by accident."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow] = {}
        self._plans: dict[str, dict[int, Progress]] = {}
        self._positions: dict[str, dict[int, Position]] = {}
        self._locked: set[str] = set()

    async def open(self) -> None:
        """See State."""

    async def close(self) -> None:
        """See State; what was kept stays readable through this object."""
        self._locked.clear()

    async def lock(self, flow_id: str) -> None:
        """See State."""
        if flow_id in self._locked:
            raise HeldError(f"the flow {flow_id!r} is held by another run in this process", remedy="wait for its end")
        self._locked.add(flow_id)

    async def flow(self, flow_id: str) -> Flow | None:
        """See State."""
        return copy.deepcopy(self._flows.get(flow_id))

    async def flows(self) -> list[Flow]:
        """See State."""
        return sorted(copy.deepcopy(list(self._flows.values())), key=lambda flow: flow.updated)

    async def begin(
        self, flow: Flow, partitions: Sequence[PlannedPartition], positions: Sequence[Position] = ()
    ) -> None:
        """See State."""
        self._positions[flow.id] = {position.number: position for position in positions}
        await self.update(flow)
        self._plans[flow.id] = {planned.number: Progress(planned, Checkpoint()) for planned in partitions}

    async def update(self, flow: Flow) -> None:
        """See State."""
        self._flows[flow.id] = copy.deepcopy(flow)

    async def partitions(self, flow_id: str) -> list[Progress]:
        """See State."""
        return [self._plans[flow_id][number] for number in sorted(self._plans.get(flow_id, {}))]

    async def save(self, flow_id: str, checkpoints: Mapping[int, Checkpoint]) -> None:
        """See State."""
        plan = self._plans[flow_id]
        for number, checkpoint in checkpoints.items():
            plan[number] = Progress(plan[number].planned, checkpoint)

    async def positions(self, flow_id: str) -> list[Position]:
        """See State."""
        return [position for _, position in sorted(self._positions.get(flow_id, {}).items())]

    async def save_positions(self, flow_id: str, positions: Sequence[Position]) -> None:
        """See State."""
        self._positions.setdefault(flow_id, {}).update({position.number: position for position in positions})

    async def reset(self, flow_id: str) -> bool:
        """See State."""
        self._plans.pop(flow_id, None)
        self._positions.pop(flow_id, None)
        return self._flows.pop(flow_id, None) is not None
