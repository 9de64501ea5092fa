"""A lossy world around the engine: calls take their time, fail before or after their work, and the process is killed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import bson

from dsync import wire
from dsync.connector import Connector
from dsync.errors import TransientError
from dsync.settings import Settings
from dsync.state.memory import MemoryState
from dsync.state.store import Flow
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position
from dsync.wrap.delegate import Delegate

Request = TypeVar("Request")
Response = TypeVar("Response")

# Seconds of simulated time after which a run has no excuse any more.
PATIENCE = 100_000.0


class Killed(BaseException):
    """The process is gone: nothing that it still tries has an effect."""


class Passers:
    """Wakes whoever waits to kill the process, once as many as it waits for have passed by."""

    def __init__(self) -> None:
        self._awaited = 0
        self._met = asyncio.Event()

    async def wait_for(self, number: int) -> None:
        self._awaited = number
        self._met.clear()
        await self._met.wait()

    def pass_by(self) -> None:
        self._awaited -= 1
        if self._awaited == 0:
            self._met.set()


class World:
    """What outlives a process: two stores, a state, and chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.source = MemoryStore("source")
        self.target = MemoryStore("target")
        self.state = MemoryState()
        self.keyed = self.chance.random() < 0.6
        self.fault_rate = self.chance.choice((0.0, 0.02, 0.1))
        # Seconds that a call may take before and after its work.
        self.slowest = self.chance.choice((0.1, 0.5))
        # one to seven documents
        self.batch_bytes = self.chance.choice((30, 90, 200))
        self.life = 0
        # Of writes to the target that begin, and of checkpoints and positions that are saved.
        self.writes = Passers()
        self.saves = Passers()
        most = self.chance.choice((16, 80))
        for number in range(self.chance.randint(1, 2)):
            self.source.load(f"n{number}", [self._document(i) for i in range(self.chance.randint(0, most))])

    def _document(self, number: int) -> bytes:
        return bson.encode({"_id": number, "version": self.chance.randrange(1000)})

    def change(self) -> None:
        """A write at the source."""
        namespace, number = f"n{self.chance.randrange(2)}", self.chance.randrange(20)
        if self.chance.random() < 0.3:
            self.source.delete(namespace, bson.encode({"_id": number}))
        else:
            self.source.put(namespace, self._document(number))

    async def moment(self, life: int) -> None:
        """Time passes. Raises Killed in a process that is gone."""
        delay = self.chance.choice((0.0, 0.001, 0.01, self.slowest))
        if delay:
            await asyncio.sleep(delay)
        if life != self.life:
            raise Killed

    async def disturb(self, life: int) -> None:
        """Time passes, and perhaps something fails."""
        await self.moment(life)
        if self.chance.random() < self.fault_rate:
            raise TransientError("a fault")

    def ends(self, life: int) -> tuple[Connector, Connector]:
        """Source and sink of a process."""
        shape = Shape(
            partitions=self.chance.randint(1, 3),
            page_documents=self.chance.randint(1, 9),
        )
        sink = Shape(keyed=self.keyed, preferred_batch_bytes=self.batch_bytes)
        return Lossy(MemoryConnector(self.source, shape), self, life), Lossy(
            MemoryConnector(self.target, sink), self, life
        )

    def settings(self) -> Settings:
        """Of each process: the same command, again and again."""
        if self.keyed:
            return Settings(
                mode="Full", copiers=3, until_caught_up=True, retry_for=PATIENCE, save_positions_seconds=0.05
            )
        return Settings(mode="InitialSync", copiers=3, retry_for=PATIENCE)

    def differences(self) -> list[str]:
        """Namespaces that are not equal."""
        return [
            name for name in ("n0", "n1") if sorted(self.source.documents(name)) != sorted(self.target.documents(name))
        ]


class Lossy(Delegate):
    """A connector whose calls are disturbed before and after their work."""

    def __init__(self, inner: Connector, world: World, life: int) -> None:
        super().__init__(inner)
        self.world = world
        self.life = life

    async def _call(self, method: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        if isinstance(request, wire.WriteUpdatesRequest | wire.WriteDataRequest) and self.life == self.world.life:
            self.world.writes.pass_by()
        await self.world.disturb(self.life)
        answer = await method(request)
        await self.world.disturb(self.life)
        return answer

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        async for answer in self.inner.StreamUpdates(request):
            await self.world.disturb(self.life)
            yield answer


class LossyState(MemoryState):
    """The world's state as a process sees it: what it does after its end has no effect, and each save takes its time."""

    def __init__(self, world: World, life: int) -> None:
        super().__init__()
        self.world = world
        self.life = life
        kept = world.state
        self._flows, self._plans, self._positions = kept._flows, kept._plans, kept._positions

    async def begin(
        self, flow: Flow, partitions: Sequence[PlannedPartition], positions: Sequence[Position] = ()
    ) -> None:
        await self.world.moment(self.life)
        await super().begin(flow, partitions, positions)

    async def update(self, flow: Flow) -> None:
        await self.world.moment(self.life)
        await super().update(flow)

    async def save(self, flow_id: str, checkpoints: Mapping[int, Checkpoint]) -> None:
        await self.world.moment(self.life)
        await super().save(flow_id, checkpoints)
        self.world.saves.pass_by()

    async def save_positions(self, flow_id: str, positions: Sequence[Position]) -> None:
        await self.world.moment(self.life)
        await super().save_positions(flow_id, positions)
        self.world.saves.pass_by()
