"""What a run has done so far, and views of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from msgspec import Struct, field

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
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, Written

NOTHING = Written()

logger = logging.getLogger(__name__)

# Seconds after which a reading of the source's clock says nothing any more.
CLOCK_SECONDS = 10.0


class NamespaceProgress(Struct):
    """A destination namespace: all runs of the flow together, except where it says otherwise.

    `source` is empty for one that comes to be only by a transform.
    """

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
    # Of those read: the transform made nothing of them, on purpose; it failed on them, and they are in the dead letters.
    filtered: int = 0
    failed: int = 0
    finished: bool = False

    @property
    def moved(self) -> bool:
        """Whether a transform made documents of other namespaces of all that was read for this one."""
        return not self.documents and self.read > self.filtered + self.failed


class StreamProgress(Struct):
    """One change stream in this run."""

    updates: int = 0
    set_aside: int = 0
    # The transform made nothing of them, on purpose.
    filtered: int = 0
    # When the last durable update happened at the source, in seconds since the epoch; 0 where that is not known yet.
    time: float = 0.0
    # The last answer brought a position and no update: nothing more was there.
    idle: bool = False
    # That answer said up to when, so that `time` tells.
    timed: bool = False
    # Changes at the source since this run began: those that are durable, and those that are known of.
    events: int = 0
    seen: int = 0
    # Called after each change.
    changed: Callable[[], None] | None = None

    def applied(self, updates: int, set_aside: int, filtered: int, events: int) -> None:
        """Counts what has become durable."""
        self.updates += updates
        self.set_aside += set_aside
        self.filtered += filtered
        self.events += events

    def came_to(self, moment: float, *, idle: bool, timed: bool) -> None:
        """Everything up to a moment of the source is durable."""
        self.time = max(self.time, moment)
        self.idle, self.timed = idle, timed
        if self.changed:
            self.changed()

    def know_of(self, events: int) -> None:
        """There are so many changes at the source, at the least."""
        self.seen = max(self.seen, events)

    def reached(self, moment: float) -> bool:
        """Whether everything up to a moment of the source's clock, read since this run began, is durable."""
        return self.time >= moment or (self.idle and not self.timed and self.seen <= self.events)


class Tracker(Struct):
    """The counters of a run; views read them whenever they like. All times are of the monotonic clock."""

    namespaces: dict[str, NamespaceProgress] = field(default_factory=dict)
    streams: list[StreamProgress] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # The source's clock as it was read last, in seconds since the epoch, and when; 0 where it was not read yet.
    source_time: float = 0.0
    source_time_read: float = 0.0
    # Changes that were known of then.
    _seen_then: int = 0
    # For how long the source keeps changes, as it was when the run began; 0 where that is not known.
    kept_seconds: float = 0.0
    # What the streams have not caught up with besides changes, a sentence each; nothing can be cut over before.
    unsettled: list[str] = field(default_factory=list)
    # What this run itself has copied; the rest was there before it.
    run_documents: int = 0
    run_bytes: int = 0
    # Documents were written that no checkpoint tells of, since one before them failed.
    wrote_beyond: bool = False
    stage: str = "planning"
    _subjects: set[str] = field(default_factory=set)
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
            self.listener(Applied(self.updates, self.lag_seconds, self.lag_events, self.safe_to_cut_over))

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
        at.read += after.read - before.read
        at.filtered += after.filtered - before.filtered
        at.failed += after.set_aside - before.set_aside
        earlier = {written.namespace: written for written in before.written}
        for written in after.written:
            target = self.namespaces.setdefault(written.namespace, NamespaceProgress("", written.namespace))
            known = earlier.get(written.namespace, NOTHING)
            target.documents += written.documents - known.documents
            target.bytes += written.bytes - known.bytes
            target.set_aside += written.set_aside - known.set_aside
            if of_this_run:
                self.run_documents += written.documents - known.documents
                self.run_bytes += written.bytes - known.bytes

    def warn(self, text: str) -> None:
        """Keeps a sentence for the summary, once."""
        if text not in self.warnings:
            self.warnings.append(text)
            self._tell(Warned(text))

    def warn_once(self, subject: str, text: str) -> None:
        """Logs a warning that cannot wait for the summary, and keeps it; of one subject only the first."""
        if subject not in self._subjects:
            self._subjects.add(subject)
            logger.warning("%s", text)
            self.warn(text)

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
        """Documents and updates that the destination refused or the transform failed on, and that are in the dead letters."""
        copied = sum(at.set_aside + at.failed for at in self.namespaces.values())
        return copied + sum(stream.set_aside for stream in self.streams)

    @property
    def filtered(self) -> int:
        """Updates of this run that the transform made nothing of."""
        return sum(stream.filtered for stream in self.streams)

    @property
    def bytes(self) -> int:
        """Bytes of documents at the destination by this flow, as they were handed to it."""
        return sum(at.bytes for at in self.namespaces.values())

    @property
    def updates(self) -> int:
        """Updates that this run has applied."""
        return sum(stream.updates for stream in self.streams)

    def remaining_seconds(self) -> float | None:
        """When the copy will end at its present rate; None before there is one, and where the whole is not known."""
        whole = sum(at.estimated for at in self.namespaces.values())
        if not (self.run_documents and all(at.estimated for at in self.namespaces.values())):
            return None
        return max(0, whole - self.documents) * self.seconds / self.run_documents

    def read_source_time(self, moment: float) -> None:
        """Takes over the source's clock, just read."""
        self.source_time, self.source_time_read = moment, time.monotonic()
        self._seen_then = self._seen

    @property
    def lag_seconds(self) -> float | None:
        """How far the least durable position is behind the source, by the source's clock. None where that is not known.

        A source that does not answer any more is not known.
        """
        if not self.streams or time.monotonic() - self.source_time_read > CLOCK_SECONDS:
            return None
        if any(not (stream.time or stream.idle) for stream in self.streams):
            return None
        return max(0.0 if s.reached(self.source_time) else self.source_time - s.time for s in self.streams)

    @property
    def lag_events(self) -> int:
        """How many changes are known to be at the source and not durable here; all streams together."""
        return sum(max(0, stream.seen - stream.events) for stream in self.streams)

    @property
    def safe_to_cut_over(self) -> bool:
        """Whether everything that the source held when its clock was read last is durable, and nothing has come since.

        With writes to the source stopped before, the destination can take its place. False where it is not known.
        """
        level = self.lag_seconds == 0 and not self.lag_events and self._seen == self._seen_then
        return level and self.stage in ("following", "done") and not self.unsettled

    @property
    def _seen(self) -> int:
        return sum(stream.seen for stream in self.streams)

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
            lag_seconds=self.lag_seconds,
            lag_events=self.lag_events,
            safe_to_cut_over=self.safe_to_cut_over,
            partitions=self.partitions,
            seconds=self.seconds,
            namespaces={
                name: NamespaceResult(at.source, name, at.documents, at.bytes, at.set_aside, at.finished)
                for name, at in self.namespaces.items()
            },
            warnings=tuple(self.warnings),
        )
