"""The two ends of a run as every process opens them: connectors in their wrappers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from dsync import wire
from dsync.connector import Connector
from dsync.endpoint import Endpoint
from dsync.flow.step import StepSettings
from dsync.wrap.retry import Retry


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What stands between the engine and the connectors."""

    native: wire.Type
    type: wire.Type
    retry_for: float
    # Documents a second for this process; 0: no limit.
    rate: float = 0.0
    # Where refused documents go; "": a refusal fails the run.
    dead_letters: str = ""


def wrap_source(source: Connector, wrapping: Wrapping) -> Connector:
    """The source as the steps see it, around one that tries again."""
    if wrapping.native != wrapping.type:
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


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a worker process needs to know; it travels through a pipe, never through arguments or files."""

    source: Endpoint
    destination: Endpoint
    wrapping: Wrapping
    steps: StepSettings
    gauge_bytes: int

    def to_json(self) -> bytes:
        """The assignment as the pipe carries it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Assignment:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        return cls(
            Endpoint(**fields["source"]),
            Endpoint(**fields["destination"]),
            Wrapping(**fields["wrapping"]),
            StepSettings(**fields["steps"]),
            fields["gauge_bytes"],
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Connector, Connector]]:
        """Source and sink, open and wrapped."""
        async with self.source.create() as source, self.destination.create() as destination:
            wrapping = self.wrapping
            reader, writer = Retry(source, wrapping.retry_for), Retry(destination, wrapping.retry_for)
            yield wrap_source(reader, wrapping), wrap_sink(writer, wrapping)
