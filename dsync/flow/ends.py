"""The two ends of a run as every process opens them: connectors in their wrappers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from dsync import wire
from dsync.cancel import together
from dsync.connector import Connector
from dsync.endpoint import Endpoint, settled_transform
from dsync.flow.step import Read, StepSettings, read_batch
from dsync.wrap.retry import Retry

if TYPE_CHECKING:
    from dsync.flow.transform import Stage, Transforming
    from dsync.transform import Transform


class Wrapping(Struct, frozen=True):
    """What stands between the engine and the connectors."""

    native: wire.Type
    type: wire.Type
    retry_for: float
    # Documents a second for this process; 0: no limit.
    rate: float = 0.0
    # Where refused documents go; "": a refusal fails the run.
    dead_letters: str = ""
    transforming: Transforming | None = None


def wrap_source(source: Connector, wrapping: Wrapping) -> Connector:
    """The source as the steps see it, around one that tries again."""
    wanted = wrapping.transforming.request if wrapping.transforming else wrapping.type
    if wrapping.native != wanted:
        from dsync.wrap.convert import Convert

        source = Convert(source, wrapping.native)
    return source


def wrap_sink(sink: Connector, wrapping: Wrapping) -> Connector:
    """The sink as the steps see it, around one that tries again."""
    if wrapping.dead_letters:
        from dsync.wrap.setaside import DeadLetters, SetAside

        sink = SetAside(sink, DeadLetters(wrapping.dead_letters))
    if wrapping.rate > 0:
        from dsync.wrap.limit import RateLimit

        sink = RateLimit(sink, wrapping.rate)
    return sink


def retrying(end: Endpoint | Connector, retry_for: float) -> Connector:
    """The connector of an end, not yet open, around which calls are tried again."""
    return Retry(end.create() if isinstance(end, Endpoint) else end, retry_for)


@asynccontextmanager
async def opened_together(*connectors: Connector) -> AsyncIterator[Sequence[Connector]]:
    """All of them, open: side by side, since what takes time is mostly the network.

    Raises the error of the first that cannot be opened; none is open then.
    """
    async with AsyncExitStack() as stack:
        yield await together(stack.enter_async_context(each) for each in connectors)


@asynccontextmanager
async def opened_transform(transform: str | Endpoint | Transform | None) -> AsyncIterator[Transform | None]:
    """The transform of a run, open; None where there is none."""
    end = settled_transform(transform)
    if end is None:
        yield None
        return
    async with end.create_transform() if isinstance(end, Endpoint) else end as opened:
        yield opened


def make_stage(transform: Transform, wrapping: Wrapping) -> Stage:
    """The open transform at work, around one that tries again."""
    from dsync.flow.transform import Stage
    from dsync.wrap.retry import RetryTransform
    from dsync.wrap.setaside import DeadLetters

    assert wrapping.transforming is not None
    letters = DeadLetters(wrapping.dead_letters) if wrapping.dead_letters else None
    return Stage(RetryTransform(transform, wrapping.retry_for), wrapping.transforming, letters)


def reader(stage: Stage | None) -> Read:
    """How batches are read: as they are, or through the transform."""
    if stage is None:
        return read_batch
    from dsync.flow.transformed import read_transformed

    return partial(read_transformed, stage)


class Assignment(Struct, frozen=True):
    """All that a worker process needs to know; it travels through a pipe, never through arguments or files."""

    source: Endpoint
    destination: Endpoint
    wrapping: Wrapping
    steps: StepSettings
    gauge_bytes: int

    def to_json(self) -> bytes:
        """The assignment as the pipe carries it."""
        return json.dumps(to_builtins(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Assignment:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(
            Endpoint(**fields["source"]),
            Endpoint(**fields["destination"]),
            _wrapping(fields["wrapping"]),
            StepSettings(**fields["steps"]),
            fields["gauge_bytes"],
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Connector, Connector, Read]]:
        """Source and sink, open and wrapped, and how batches are read."""
        async with AsyncExitStack() as stack:
            wrapping = self.wrapping
            ends = (retrying(end, wrapping.retry_for) for end in (self.source, self.destination))
            source, sink = await stack.enter_async_context(opened_together(*ends))
            stage = None
            if wrapping.transforming and wrapping.transforming.endpoint:
                transform = await stack.enter_async_context(wrapping.transforming.endpoint.create_transform())
                stage = make_stage(transform, wrapping)
            yield wrap_source(source, wrapping), wrap_sink(sink, wrapping), reader(stage)


def _wrapping(fields: dict[str, Any]) -> Wrapping:
    transforming = fields.pop("transforming")
    if transforming is None:
        return Wrapping(**fields)
    from dsync.flow.transform import Transforming

    endpoint = transforming.pop("endpoint")
    closed = tuple(transforming.pop("closed"))
    return Wrapping(**fields, transforming=Transforming(Endpoint(**endpoint), closed=closed, **transforming))
