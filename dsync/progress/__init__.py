"""What a run has done so far, and views of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dsync.progress.events import (
    Applied,
    Copied,
    Event,
    Finished,
    Listener,
    NamespaceResult,
    Result,
    StageEntered,
    Warned,
)
from dsync.state import Progress
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint


@dataclass(slots=True)
class NamespaceProgress:
    """A destination namespace: all runs of the flow together, except where it says otherwise."""

    source: str
    destination: str
    partitions: int = 0
    partitions_done: int = 0
    # Documents expected; 0 where any partition does not know.
    estimated: int = 0
    read: int = 0
    documents: int = 0
    bytes: int = 0
    # Of the documents: refused, and in the dead letters.
    set_aside: int = 0
    finished: bool = False


@dataclass(slots=True)
class StreamProgress:
    """One change stream in this run."""

    updates: int = 0
    set_aside: int = 0
    # When the last durable update happened at the source, in seconds since the epoch; 0 before the first.
    time: float = 0.0
    # The last answer brought a position and no update: nothing more was there.
    idle: bool = False
    # Called after each change.
    changed: Callable[[], None] | None = None

    def applied(self, updates: int, set_aside: int, moment: float, *, idle: bool) -> None:
        """Counts what has become durable."""
        self.updates += updates
        self.set_aside += set_aside
        self.time = max(self.time, moment)
        self.idle = idle
        if self.changed:
            self.changed()


@dataclass(slots=True)
class Tracker:
    """The counters of a run; views read them whenever they like. All times are of the monotonic clock."""

    namespaces: dict[str, NamespaceProgress] = field(default_factory=dict)
    streams: list[StreamProgress] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # What this run itself has copied; the rest was there before it.
    run_documents: int = 0
    run_bytes: int = 0
    stage: str = "planning"
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    listener: Listener | None = None

    def enter(self, stage: str) -> None:
        """The run has come to another stage."""
        self.stage = stage
        self._tell(StageEntered(stage))

    def follow(self, count: int) -> None:
        """So many change streams are followed from now on."""
        self.streams = [StreamProgress(changed=self._tell_applied) for _ in range(count)]

    def _tell(self, event: Event) -> None:
        if self.listener:
            self.listener(event)

    def _tell_applied(self) -> None:
        if self.listener:
            self.listener(Applied(self.updates, self.lag_seconds))

    def plan(self, partitions: Iterable[Progress]) -> None:
        """Takes over the plan with what earlier runs did."""
        unknown = set()
        for progress in partitions:
            planned, checkpoint = progress.planned, progress.checkpoint
            name = planned.destination
            at = self.namespaces.setdefault(name, NamespaceProgress(planned.partition.namespace, name))
            at.partitions += 1
            at.partitions_done += checkpoint.done
            at.estimated += planned.partition.estimated_count
            if not planned.partition.estimated_count:
                unknown.add(name)
            self._add(name, checkpoint, Checkpoint(), of_this_run=False)
        for name in unknown:
            self.namespaces[name].estimated = 0

    def advance(self, name: str, before: Checkpoint, after: Checkpoint) -> None:
        """Counts what a step did."""
        self.namespaces[name].partitions_done += after.done and not before.done
        self._add(name, after, before, of_this_run=True)
        if self.listener:
            at = self.namespaces[name]
            counts = at.documents, at.bytes, at.partitions_done, at.partitions, at.estimated
            self.listener(Copied(name, *counts))

    def finish(self, name: str) -> None:
        """The namespace is published."""
        at = self.namespaces[name]
        at.finished = True
        self._tell(Finished(name, at.documents, at.bytes))

    def _add(self, name: str, after: Checkpoint, before: Checkpoint, *, of_this_run: bool) -> None:
        at = self.namespaces[name]
        documents = sum(w.documents for w in after.written) - sum(w.documents for w in before.written)
        size = sum(w.bytes for w in after.written) - sum(w.bytes for w in before.written)
        at.read += after.read - before.read
        at.documents += documents
        at.bytes += size
        at.set_aside += after.set_aside - before.set_aside
        if of_this_run:
            self.run_documents += documents
            self.run_bytes += size

    def warn(self, text: str) -> None:
        """Keeps a sentence for the summary, once."""
        if text not in self.warnings:
            self.warnings.append(text)
            self._tell(Warned(text))

    @property
    def seconds(self) -> float:
        """How long the run takes or took."""
        return (self.ended or time.monotonic()) - self.started

    @property
    def documents(self) -> int:
        """Documents at the destination by this flow."""
        return sum(at.documents for at in self.namespaces.values())

    @property
    def set_aside(self) -> int:
        """Documents and updates that the destination refused, and that went into the dead letters."""
        return sum(at.set_aside for at in self.namespaces.values()) + sum(s.set_aside for s in self.streams)

    @property
    def bytes(self) -> int:
        """Bytes of documents at the destination by this flow, as they were handed to it."""
        return sum(at.bytes for at in self.namespaces.values())

    @property
    def updates(self) -> int:
        """Updates that this run has applied."""
        return sum(stream.updates for stream in self.streams)

    @property
    def lag_seconds(self) -> float | None:
        """How far the least durable position is behind; 0 where nothing more was there. None before it is known."""
        behind = [0.0 if s.idle else time.time() - s.time for s in self.streams if s.idle or s.time]
        return max(0.0, *behind) if self.streams and len(behind) == len(self.streams) else None

    @property
    def partitions(self) -> tuple[int, int]:
        """(done, all)."""
        every = self.namespaces.values()
        return sum(at.partitions_done for at in every), sum(at.partitions for at in every)

    def result(self) -> Result:
        """What the run has come to, as it is now."""
        return Result(
            stage=self.stage,
            documents=self.documents,
            bytes=self.bytes,
            run_documents=self.run_documents,
            run_bytes=self.run_bytes,
            updates=self.updates,
            set_aside=self.set_aside,
            partitions=self.partitions,
            seconds=self.seconds,
            namespaces={
                name: NamespaceResult(at.source, name, at.documents, at.bytes, at.set_aside, at.finished)
                for name, at in self.namespaces.items()
            },
            warnings=tuple(self.warnings),
        )
