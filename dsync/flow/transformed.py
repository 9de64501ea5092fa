"""Batches of what a transform makes of a partition's documents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from dsync import wire
from dsync.connector import Connector
from dsync.flow.made import Made
from dsync.flow.step import Batch, StepSettings, Unadmitted
from dsync.flow.transform import Stage
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Step, Written


async def read_transformed(
    stage: Stage, source: Connector, settings: StepSettings, step: Step, at: Checkpoint
) -> Batch:
    """Whole pages up to a batch's bytes or documents, read or made: the same again whenever the transform repeats itself.

    Raises Unadmitted where it leads to namespaces that the step may not write to.
    """
    planned = step.planned
    cursor, read, size, made = at.cursor, 0, 0, Made()
    while True:
        page = await source.ListData(
            wire.ListDataRequest(partition=planned.partition, type=stage.how.request, cursor=cursor)
        )
        data = list(page.data)  # once: each look at a message copies the documents
        made.add(await stage.documents(planned.destination, data))
        cursor = page.next_cursor
        read += len(data)
        size += sum(map(len, data))
        await asyncio.sleep(0)
        full = max(size, made.bytes) >= settings.batch_bytes or max(read, made.count) >= settings.batch_documents
        if not cursor or full:
            break
    if unadmitted := sorted(made.documents.keys() - set(step.admitted)):
        raise Unadmitted(unadmitted)
    after = Checkpoint(
        cursor=cursor,
        done=not cursor,
        read=at.read + read,
        set_aside=at.set_aside + made.failed,
        filtered=at.filtered + made.filtered,
    )
    written = {each.namespace: each for each in at.written}
    requests = [
        request
        for name, documents in made.documents.items()
        for request in _requests(settings, planned, name, documents, written)
    ]
    after.written.extend(written.values())
    return Batch(requests, max(size, made.bytes), after)


def _requests(
    settings: StepSettings,
    planned: PlannedPartition,
    namespace: str,
    documents: Sequence[bytes],
    written: dict[str, Written],
) -> Iterator[wire.WriteDataRequest]:
    """Requests of a batch's size for a namespace, each under an ordinal of its own; counts them in `written`."""
    for part in _parts(documents, settings):
        known = written.get(namespace, Written(namespace=namespace))
        write_id = f"{settings.flow}/{planned.number:05d}/{known.batches}/{namespace}"
        written[namespace] = Written(
            namespace=namespace,
            batches=known.batches + 1,
            documents=known.documents + len(part),
            bytes=known.bytes + sum(map(len, part)),
            set_aside=known.set_aside,
        )
        yield wire.WriteDataRequest(namespace=namespace, data=part, type=settings.type, write_id=write_id)


def _parts(documents: Sequence[bytes], settings: StepSettings) -> Iterator[Sequence[bytes]]:
    start = size = 0
    for index, document in enumerate(documents):
        if index > start and (size >= settings.batch_bytes or index - start >= settings.batch_documents):
            yield documents[start:index]
            start, size = index, 0
        size += len(document)
    if start < len(documents):
        yield documents[start:]
