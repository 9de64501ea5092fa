"""What a worker process does: gets its assignment and steps over its end of a socket pair, and ends when that closes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket

from dsync import garbage, heap
from dsync.flow.ends import Assignment
from dsync.flow.gauge import Gauge
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, Step, StepResult
from dsync.workers import frames
from dsync.workers.grant import Grant, end_at
from dsync.workers.here import Here, Report, to_failure
from dsync.wrap.limit import RateLimit

logger = logging.getLogger(__name__)


async def serve(end: socket.socket) -> None:
    """Answers steps, many at a time, until the coordinator is gone."""
    reader, writer = await frames.open_frames(end)
    _, greeting = await frames.receive(reader)
    assignment = Assignment.from_json(greeting)
    async with contextlib.AsyncExitStack() as ending:
        try:
            source, sink, read = await ending.enter_async_context(assignment.opened())
        except Exception as error:
            logger.debug("the ends cannot be opened", exc_info=error)
            writer.write(frames.pack(frames.GREETING, to_failure(error).SerializeToString()))
            await writer.drain()
            return
        gauge, limit = Gauge(assignment.gauge_bytes), RateLimit(sink, math.inf)
        here = Here(source, limit, assignment.steps, gauge, read)
        writer.write(frames.pack(frames.GREETING, b""))
        steps: set[asyncio.Task[None]] = set()

        async def answer(number: int, body: bytes) -> None:
            def send(result: StepResult) -> None:
                writer.write(frames.pack(number, result.SerializeToString()))

            def report(reached: Checkpoint) -> None:
                send(StepResult(checkpoint=reached, under_way=True))

            send(await take_step(here, Step.FromString(body), report))

        while True:
            try:
                number, body = await frames.receive(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                if steps:
                    os._exit(0)  # at once: nothing may be written any more for a coordinator that is gone
                return
            if number == frames.GREETING:
                if body:
                    obey(Grant.from_json(body), gauge, limit)
                else:
                    here.hand_over()
                continue
            step = asyncio.create_task(answer(number, body))
            steps.add(step)
            step.add_done_callback(steps.discard)


def obey(grant: Grant, gauge: Gauge, limit: RateLimit) -> None:
    """From now on this process ends with the grant, and keeps to its measures."""
    end_at(grant.until)
    gauge.limit_bytes = grant.gauge_bytes
    limit.documents_per_second = grant.documents_per_second or math.inf


async def take_step(here: Here, step: Step, report: Report) -> StepResult:
    """The step's result; a defect becomes a failure too, since the coordinator waits for an answer."""
    try:
        return await here.step(step, report)
    except Exception as error:
        logger.debug("a step failed", exc_info=error)
        return StepResult(checkpoint=step.checkpoint, failure=to_failure(error))


def work(end: socket.socket) -> None:
    """Runs until the pair closes."""
    heap.keep_freed()
    garbage.collect_seldom()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides what Ctrl-C means
    asyncio.run(serve(end))
    garbage.leave_to_the_system()
