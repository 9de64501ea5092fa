"""One step of a copy: from a checkpoint, batch after batch, until the budget is spent or the partition ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from msgspec import Struct, field

from dsync import wire
from dsync.cancel import cancel
from dsync.codec.lines import Lines
from dsync.connector import Connector
from dsync.errors import DsyncError
from dsync.flow.gauge import Gauge
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, Step, Written
from dsync.wire.limits import MOST_BATCH_BYTES
from dsync.wire.local import LocalBatch, LocalPage


class StepSettings(Struct, frozen=True):
    """What all steps of a flow have in common. The batch's measures belong to the flow: a resumed run cuts the same batches."""

    flow: str
    type: wire.Type
    batch_bytes: int
    batch_documents: int
    # Pages and batches may be lines of text or no messages at all: both ends are in this process, and nobody between them looks
    # at documents.
    lines: bool = False
    # Batches of one partition that may be under way at once.
    in_flight: int = 2
    # A step ends at the first batch after this many bytes or seconds. Short enough to save often and to stop soon, long enough
    # to cost nothing (measured: from 30 ms up).
    budget_bytes: int = 32 << 20
    budget_seconds: float = 0.5

    @property
    def passes_through(self) -> bool:
        """Whether documents are handed on as the bytes that came, so that the stores are the limit and not this process."""
        return self.lines and self.type == wire.BSON


class Batch(Struct, frozen=True):
    """Documents for the sink, and where the partition goes on after them; `bytes` are what they take on the way."""

    requests: Sequence[wire.WriteDataRequest]
    bytes: int
    after: Checkpoint


# Reads the batch of a step that follows a checkpoint: the same one whenever it is asked for.
Read = Callable[[Connector, StepSettings, Step, Checkpoint], Awaitable[Batch]]
# Documents that were set aside, by namespace.
SetAside = dict[str, int]


class Unadmitted(DsyncError):
    """A batch would write to namespaces that nobody has looked at yet. Nothing of it was written."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the namespaces {', '.join(map(repr, names))} were not admitted")
        self.names = names


class StepFailed(Exception):
    """Carries how far a failed step came, and whether more was written beyond that; `__cause__` is the failure."""

    def __init__(self, reached: Checkpoint, *, wrote_beyond: bool) -> None:
        super().__init__()
        self.reached = reached
        self.wrote_beyond = wrote_beyond


async def run_step(
    source: Connector,
    sink: Connector,
    settings: StepSettings,
    gauge: Gauge,
    step: Step,
    report: Callable[[Checkpoint], None],
    read_next: Read,
    cut: Callable[[], bool] = lambda: False,
) -> Checkpoint:
    """Copies on from the step's checkpoint; everything before the answered checkpoint is durable in the sink.

    `report` is called with the checkpoint after each batch; once `cut` says so, no further one is read. Raises StepFailed,
    caused by the error, with the checkpoint that was reached in spite of it.
    """
    writes: deque[tuple[asyncio.Task[SetAside], Checkpoint]] = deque()
    durable = read = step.checkpoint
    loop = asyncio.get_running_loop()
    end = loop.time() + settings.budget_seconds
    spent = 0
    try:
        while not (read.done or spent >= settings.budget_bytes or loop.time() >= end or cut()):
            batch = await read_next(source, settings, step, read)
            read = batch.after
            spent += batch.bytes
            await gauge.enter(batch.bytes)
            writes.append((asyncio.create_task(_write(sink, batch, gauge)), read))
            while len(writes) >= settings.in_flight:
                durable = await _settle_oldest(writes, durable)
                report(durable)
        while writes:
            durable = await _settle_oldest(writes, durable)
    except DsyncError as error:
        with contextlib.suppress(DsyncError):
            while writes:
                durable = await _settle_oldest(writes, durable)
        raise StepFailed(durable, wrote_beyond=any(map(_was_done, writes))) from error
    finally:
        await _abandon([task for task, _ in writes])
    return durable


def _was_done(write: tuple[asyncio.Task[SetAside], Checkpoint]) -> bool:
    task, _ = write
    return task.done() and not task.cancelled() and task.exception() is None


async def _settle_oldest(writes: deque[tuple[asyncio.Task[SetAside], Checkpoint]], before: Checkpoint) -> Checkpoint:
    """Checkpoints follow in the order of the batches, whichever write ends first."""
    task, after = writes[0]
    set_aside = await task
    for earlier in before.written:
        if earlier.set_aside:
            set_aside[earlier.namespace] = set_aside.get(earlier.namespace, 0) + earlier.set_aside
    for written in after.written:
        written.set_aside = set_aside.get(written.namespace, 0)
    writes.popleft()
    return after


async def _write(sink: Connector, batch: Batch, gauge: Gauge) -> SetAside:
    set_aside: SetAside = {}
    try:
        for request in batch.requests:
            refused = (await sink.WriteData(request)).set_aside
            if refused:
                set_aside[request.namespace] = set_aside.get(request.namespace, 0) + refused
    finally:
        gauge.leave(batch.bytes)
    return set_aside


async def _abandon(tasks: list[asyncio.Task[SetAside]]) -> None:
    await cancel(tasks)
    await asyncio.gather(*tasks, return_exceptions=True)


async def read_batch(source: Connector, settings: StepSettings, step: Step, at: Checkpoint) -> Batch:
    """Whole pages up to the batch's bytes or documents, or the end of the partition: never by time, so always the same batch.

    A batch of more than one page fits into a message of gRPC.
    """
    planned = step.planned
    gathered = Gathered()
    cursor = at.cursor
    while True:
        page = await source.ListData(
            wire.ListDataRequest(partition=planned.partition, type=settings.type, cursor=cursor, lines=settings.lines)
        )
        if not gathered.take(page):
            break  # the page is read again for the next batch
        cursor = page.next_cursor
        # a source and a sink that never suspend must not hold the loop
        await asyncio.sleep(0)
        if not cursor or gathered.size >= settings.batch_bytes or gathered.count >= settings.batch_documents:
            break
    written = _written(at, planned.destination)
    request = gathered.request(
        local=settings.lines,
        namespace=planned.destination,
        type=settings.type,
        write_id=f"{settings.flow}/{planned.number:05d}/{written.batches}/{planned.destination}",
    )
    after = _advanced(at, cursor, written, gathered.count, gathered.size)
    return Batch([request] if gathered.count else [], gathered.size, after)


class Gathered(Struct):
    """The documents of pages, one after the other; as lines as long as all pages are."""

    count: int = 0
    # Of documents, without what stands between them.
    size: int = 0
    _lines: list[bytes] = field(default_factory=list)
    _pages: list[Sequence[bytes]] = field(default_factory=list)

    def take(self, page: wire.ListDataResponse | LocalPage) -> bool:
        """Takes a page's documents; False where they would be too much."""
        lines = page.lines if page.lines_count else b""
        data: Sequence[bytes]
        if lines:
            data = Lines(lines, page.lines_count)
            size = len(lines) - len(data)
        elif isinstance(page, LocalPage):
            data, size = page.data, page.data_bytes
        else:
            data = list(page.data)  # each look into a message's list makes its documents anew
            size = sum(map(len, data))
        if self.size and self.size + size > MOST_BATCH_BYTES:
            return False
        if lines and not self._pages:
            self._lines.append(lines)
        elif data:
            self._pages += filter(len, [self._apart(), data])
        self.count += len(data)
        self.size += size
        return True

    def _apart(self) -> list[bytes]:
        """The documents of the lines so far, which are none then."""
        lines, self._lines = b"".join(self._lines), []
        return lines.split(b"\n")[:-1]

    def request(self, *, local: bool = False, **fields: Any) -> wire.WriteDataRequest:
        """All of it; `local` where the sink takes something else for a message."""
        if self._lines:
            fields |= {"lines": b"".join(self._lines), "lines_count": self.count}
        # a single page stays what it is: it may not be taken apart yet
        data = self._pages[0] if len(self._pages) == 1 else list(itertools.chain.from_iterable(self._pages))
        if local:
            return cast("wire.WriteDataRequest", LocalBatch(data, **fields))
        return wire.WriteDataRequest(data=data, **fields)


def _written(at: Checkpoint, namespace: str) -> Written:
    for written in at.written:
        if written.namespace == namespace:
            return written
    return Written(namespace=namespace)


def _advanced(at: Checkpoint, cursor: bytes, written: Written, documents: int, size: int) -> Checkpoint:
    after = Checkpoint(cursor=cursor, done=not cursor, read=at.read + documents)
    after.written.extend(other for other in at.written if other.namespace != written.namespace)
    after.written.add(
        namespace=written.namespace,
        batches=written.batches + (1 if documents else 0),
        documents=written.documents + documents,
        bytes=written.bytes + size,
    )
    return after
