"""What a state keeps of flows, and what every state can do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from msgspec import Struct, field

from dsync.lifecycle import Opened
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position

Status = Literal["copying", "copied", "following"]


class Flow(Struct):
    """What is known of a flow: two ends, what was asked for, how far it is. No credentials, no documents.

    `settings` are the options whose change makes it another flow; `batch` is how its batches are cut; `namespaces` maps a
    destination namespace to what it was when the flow began: its identity at the first write ("" where the store has none) and
    whether it was empty. A finished copy that is started over is the next `generation`. Times are seconds since the epoch.
    """

    id: str
    name: str
    source: str
    destination: str
    settings: dict[str, Any]
    batch: dict[str, int]
    status: Status = "copying"
    generation: int = 1
    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Seconds for which workers on other machines may write on when this run's process is gone; 0: it has none.
    away: float = 0.0
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)


class Progress(Struct, frozen=True):
    """A partition and how far it is."""

    planned: PlannedPartition
    checkpoint: Checkpoint


class State(Opened, ABC):
    """Keeps flows. Each call is one transaction, durable when it returns.

    Raises StateError where what is kept cannot be read: a damaged state is never taken for an empty one.
    """

    @abstractmethod
    async def open(self) -> None:
        """Creates what is missing, migrates what is older, refuses what is newer."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of everything, locks included."""

    @abstractmethod
    async def lock(self, flow_id: str) -> None:
        """Holds the flow until `close`. Raises HeldError that says which process has it."""

    @property
    def inherited(self) -> tuple[int, ...]:
        """File descriptors that a worker process must keep, so that the flow is held while any of them lives."""
        return ()

    @property
    def valid_until(self) -> float | None:
        """Until when, on the monotonic clock, this process surely holds its flows; None: until `close`."""
        return None

    async def own_namespaces(self) -> dict[str, str]:
        """Namespaces of a store in which this state lives -> their identity, as the store's connector says it.

        Those that will come to be are among them, with "" for their identity.
        """
        return {}

    @abstractmethod
    async def flow(self, flow_id: str) -> Flow | None:
        """The flow; None where it was never begun."""

    @abstractmethod
    async def flows(self) -> list[Flow]:
        """All flows, the one changed last at the end."""

    @abstractmethod
    async def begin(
        self, flow: Flow, partitions: Sequence[PlannedPartition], positions: Sequence[Position] = ()
    ) -> None:
        """Puts the flow in the place of whatever stood under its id, with a plan of which nothing is copied."""

    @abstractmethod
    async def update(self, flow: Flow) -> None:
        """Replaces the flow's own row; its partitions stay."""

    @abstractmethod
    async def partitions(self, flow_id: str) -> list[Progress]:
        """The plan with its checkpoints, by number."""

    @abstractmethod
    async def save(self, flow_id: str, checkpoints: Mapping[int, Checkpoint]) -> None:
        """Replaces the checkpoints of these partitions, by number."""

    @abstractmethod
    async def positions(self, flow_id: str) -> list[Position]:
        """The flow's change streams, by number."""

    @abstractmethod
    async def save_positions(self, flow_id: str, positions: Sequence[Position]) -> None:
        """Replaces these change streams, by number."""

    @abstractmethod
    async def reset(self, flow_id: str) -> bool:
        """Forgets the flow; whether there was one."""


Row = TypeVar("Row", PlannedPartition, Checkpoint, Position)


def parsed(kind: type[Row], data: bytes) -> Row:
    """The message of a row. Raises ValueError where it is damaged."""
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ValueError(f"a row cannot be parsed: {error}") from error
