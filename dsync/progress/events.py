"""What a program is told while a run goes on, and what it gets at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct


class StageEntered(Struct, frozen=True):
    """The run is "planning", "copying", "following" or "done" from now on."""

    stage: str


class Copied(Struct, frozen=True):
    """More of a namespace has become durable; the numbers are of all runs of the flow together."""

    # As the destination calls it.
    namespace: str
    documents: int
    bytes: int
    partitions_done: int
    partitions: int
    # Documents expected; 0: not known.
    estimated: int


class Finished(Struct, frozen=True):
    """A namespace is complete and published under its name."""

    namespace: str
    documents: int
    bytes: int


class Applied(Struct, frozen=True):
    """More updates have become durable, or a stream without any has told how far it is."""

    # In this run.
    updates: int
    # How far the least durable position is behind the source, by the source's clock; None where that is not known.
    lag_seconds: float | None
    # Changes that are known to be at the source and are not durable yet.
    lag_events: int = 0
    # Everything that the source held when its clock was read last is durable, and nothing has come since.
    safe_to_cut_over: bool = False


class Warned(Struct, frozen=True):
    """A sentence that a person should read."""

    text: str


Event: TypeAlias = StageEntered | Copied | Finished | Applied | Warned
# Called on the run's event loop, so it must not block; what it raises ends the run.
Listener: TypeAlias = Callable[[Event], None]


class NamespaceResult(Struct, frozen=True):
    """A namespace of the destination: all runs of the flow together."""

    source: str
    destination: str
    documents: int
    bytes: int
    # Of the documents: refused, and in the dead letters.
    set_aside: int
    finished: bool


class Result(Struct, frozen=True):
    """What a run came to."""

    # "done", or the stage in which it was stopped.
    stage: str
    # At the destination by this flow, all its runs together.
    documents: int
    bytes: int
    # Copied by this run itself.
    run_documents: int
    run_bytes: int
    # Applied by this run.
    updates: int
    set_aside: int
    # As in Applied, when the run ended.
    lag_seconds: float | None
    lag_events: int
    safe_to_cut_over: bool
    # (done, all).
    partitions: tuple[int, int]
    seconds: float
    namespaces: Mapping[str, NamespaceResult]
    warnings: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether all that the mode says is done; otherwise it was stopped, and the same call goes on."""
        return self.stage == "done"
