"""What a test of the suite works on: a store, reached through fresh connectors, directly or through gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from dsync import codec, wire
from dsync.connector import Connector
from dsync.endpoint import Endpoint
from dsync.errors import DsyncError
from dsync.testing.elsewhere import call_elsewhere, run_and_die
from dsync.testing.samples import CANARY

# How connectors are called.
VIAS = ("direct", "grpc")
FLOW = "conformance"
# No single wait of the suite is longer; it is a stop for what hangs, not a measure.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Subject:
    """A store under test; documents are BSON here, whatever the connector speaks."""

    # Open, for the length of the test.
    connector: Connector
    capabilities: wire.Capabilities
    # A new connector to the same store, not open.
    make: Callable[[], Connector]
    via: str
    name: Callable[[str], str]
    comparable: Callable[[bytes], object]

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[Connector]:
        """Another connector to the store, as another process would have it."""
        async with through(self.via, self.make()) as connector:
            yield connector

    @property
    def namespace(self) -> str:
        """Where tests write that need one namespace."""
        return self.name("conformance.docs")

    @property
    def source_type(self) -> wire.Type:
        """The type that the source likes best."""
        return self.capabilities.source.supported_data_types[0]

    @property
    def sink_type(self) -> wire.Type:
        """The type that the sink likes best."""
        return self.capabilities.sink.supported_data_types[0]

    async def write(self, namespace: str, documents: Sequence[bytes], batches: int = 2) -> None:
        """A whole copy of a namespace: batches, then the end."""
        for ordinal in range(batches):
            await self.connector.WriteData(self.batch(namespace, documents[ordinal::batches], ordinal))
        await finish(self.connector, namespace, batches)

    def batch(
        self, namespace: str, documents: Sequence[bytes], ordinal: int | None, partition: str = "p"
    ) -> wire.WriteDataRequest:
        """A batch in the type that the sink likes best; without an ordinal it has no write_id."""
        write_id = "" if ordinal is None else f"{FLOW}/{partition}/{ordinal}/{namespace}"
        data = codec.convert(documents, wire.BSON, self.sink_type)
        return wire.WriteDataRequest(namespace=namespace, data=data, type=self.sink_type, write_id=write_id)

    async def read(self, namespace: str | None = None, connector: Connector | None = None) -> list[bytes]:
        """All documents as BSON, of one namespace or of all, in the order of the plan."""
        connector = connector or self.connector
        documents: list[bytes] = []
        for partition in await plan_of(connector, namespace):
            documents += await read_partition(connector, partition, self.source_type)
        return documents

    def bag(self, documents: Iterable[bytes]) -> Counter[object]:
        """What can be compared where the order is the store's own."""
        return Counter(map(self.comparable, documents))

    def list(self, documents: Iterable[bytes]) -> list[object]:
        """What can be compared where the order counts."""
        return [self.comparable(document) for document in documents]


async def elsewhere(endpoint: Any, subject: Subject, requests: Sequence[Any]) -> list[Any]:
    """What a connector in another process answers. Skips the test where the store cannot be reached from there."""
    return await asyncio.to_thread(call_elsewhere, _reachable(endpoint), subject.via, requests)


async def killed_after(endpoint: Any, subject: Subject, requests: Sequence[Any]) -> None:
    """Makes the calls in another process that is killed at the last answer. Skips the test where it cannot reach the store."""
    await asyncio.to_thread(run_and_die, _reachable(endpoint), subject.via, requests)


def _reachable(endpoint: Any) -> Endpoint:
    if not isinstance(endpoint, Endpoint):
        pytest.skip("the store lives in this process and dies with it")
    return endpoint


@asynccontextmanager
async def through(via: str, connector: Connector) -> AsyncIterator[Connector]:
    """The connector, open, as it is or behind a server and a client on loopback."""
    if via == "direct":
        async with connector:
            yield connector
        return
    from dsync.wire.client import GrpcConnector
    from dsync.wire.server import serving

    async with (
        connector,
        serving(connector, "127.0.0.1:0") as port,
        GrpcConnector(f"grpc://127.0.0.1:{port}", {"insecure": True}) as client,
    ):
        yield client


async def plan_of(connector: Connector, namespace: str | None = None) -> list[wire.Partition]:
    """The plan of one namespace, or of all that the source has."""
    request = wire.GeneratePlanRequest(namespaces=[namespace] if namespace else [], initial_sync=True)
    return list((await connector.GeneratePlan(request)).partitions)


async def read_partition(connector: Connector, partition: wire.Partition, data_type: wire.Type) -> list[bytes]:
    """All documents of a partition as BSON."""
    documents: list[bytes] = []
    async for page in pages(connector, partition, data_type):
        documents += codec.convert(page.data, data_type, wire.BSON, lambda index: f"made {index}")
    return documents


async def pages(
    connector: Connector, partition: wire.Partition, data_type: wire.Type, cursor: bytes = b""
) -> AsyncIterator[wire.ListDataResponse]:
    """The pages of a partition from a cursor on. Fails where the cursor comes back to an earlier page."""
    seen = {cursor}
    while True:
        page = await connector.ListData(wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor))
        yield page
        cursor = page.next_cursor
        if not cursor:
            return
        assert cursor not in seen, "the next cursor is one that was there before"
        seen.add(cursor)


async def finish(connector: Connector, namespace: str, count: int, partition: str = "p") -> None:
    """Ends the copy of a namespace, where the sink has an end."""
    part = wire.FinishNamespaceRequest.Part(partition=partition, count=count)
    await finish_parts(connector, namespace, [part] if count else [])


async def finish_parts(connector: Connector, namespace: str, parts: Sequence[wire.FinishNamespaceRequest.Part]) -> None:
    """Ends the copy of a namespace. UNIMPLEMENTED is the answer of a sink that has nothing to do."""
    try:
        await connector.FinishNamespace(wire.FinishNamespaceRequest(namespace=namespace, flow=FLOW, parts=parts))
    except DsyncError as error:
        if error.status != "UNIMPLEMENTED":
            raise


@contextmanager
def refused(*kinds: type[DsyncError]) -> Any:
    """The block fails with one of these errors, and says nothing that it should not; over gRPC the status decides."""
    with pytest.raises(DsyncError) as caught:
        yield
    assert caught.value.status in {kind.status for kind in kinds}, f"refused, but as {caught.value!r}"
    assert_silent(caught.value)


def assert_silent(error: BaseException) -> None:
    """The error quotes no secret and no document."""
    assert CANARY not in str(error)
    assert CANARY not in repr(error)


def hear_logs(caplog: pytest.LogCaptureFixture, endpoint: Any) -> None:
    """From now on caplog gets all that dsync and the connector's package log, whatever levels a test before this one has set."""
    for name in ("", *_own_loggers(endpoint)):
        caplog.set_level(logging.DEBUG, logger=name or None)


def assert_logs_silent(caplog: pytest.LogCaptureFixture, endpoint: Any) -> None:
    """Nothing that dsync or the connector's package logged quotes a secret or a document; drivers log what they like."""
    roots = _own_loggers(endpoint)
    own = [record for record in caplog.records if record.name.partition(".")[0] in roots]
    assert CANARY not in "\n".join(record.getMessage() for record in own)


def _own_loggers(endpoint: Any) -> set[str]:
    roots = {"dsync", "connectors"}
    if isinstance(endpoint, Endpoint):
        roots.add(endpoint.spec.factory.partition(":")[0].partition(".")[0])
    return roots


async def first(stream: AsyncIterator[Any]) -> Any:
    """The first message of a stream, which is closed then."""
    try:
        return await anext(stream)
    finally:
        closing = getattr(stream, "aclose", None)
        if closing:
            await closing()
