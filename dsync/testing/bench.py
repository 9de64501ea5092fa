"""How fast a connector is, beside the ceiling: `python -m dsync.testing.bench URI [its options]`.

Pages and batches go to the connector directly and through gRPC on loopback, without the engine. The ceilings are fakesource for
reading and null for writing, with the same documents and as many calls at a time: what is lost to them is the connector's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from dsync import wire
from dsync.cli.ending import run_program
from dsync.cli.endpoints import REST, take_endpoint
from dsync.connector import Connector
from dsync.endpoint import Endpoint, Role
from dsync.errors import UnimplementedError, UsageError
from dsync.testing.subject import VIAS, through

NAMESPACE = "bench.docs"
DEFAULT_BATCH_BYTES = 1 << 20
# Documents in a batch at the most, as in a run.
MOST_DOCUMENTS = 10_000
SOURCE, SINK = "/dev/fakesource", "/dev/null"


# Documents and bytes of a page or batch.
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was read or written, and what it took."""

    # "read" or "write"
    work: str
    who: str
    via: str
    calls: int
    documents: int
    bytes: int
    seconds: float
    # Of this process, gRPC's threads among it; a server of the store's own is not in it.
    cpu_seconds: float

    def rate(self, count: int) -> float:
        """So many in a second."""
        return count / max(self.seconds, 1e-9)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is read and written."""

    documents: int
    payload_bytes: int
    # Calls under way at once.
    copiers: int
    namespace: str


async def bench(endpoint: Endpoint, load: Load) -> list[Measured]:
    """Measures writing first, where the connector is a sink, then reading of what was written, else of what is there.

    What was written stays there. Raises UsageError where the namespace has documents already.
    """
    async with endpoint.create() as connector:
        capabilities = (await connector.GetInfo(wire.GetInfoRequest())).capabilities
    measured: list[Measured] = []
    if capabilities.HasField("sink"):
        await _refuse_full(endpoint, load)
        for via in VIAS:
            measured += await _writing(endpoint, capabilities.sink, load, via)
    if capabilities.HasField("source"):
        for via in VIAS:
            names = [_named(load, via)] if capabilities.HasField("sink") else []
            measured += await _reading(endpoint, capabilities.source, names, load, via)
    return measured


async def _refuse_full(endpoint: Endpoint, load: Load) -> None:
    async with endpoint.create() as connector:
        for via in VIAS:
            name = _named(load, via)
            known = await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=name))
            if known.count or known.exists:
                raise UsageError(
                    f"{endpoint.shown} has {name!r} already, and the bench would write into it",
                    remedy="give another name with --namespace, or remove what an earlier bench left",
                )


def _named(load: Load, via: str) -> str:
    return f"{load.namespace}_{via}"


async def _writing(endpoint: Endpoint, sink: wire.Capabilities.Sink, load: Load, via: str) -> list[Measured]:
    """The ceiling and the connector, with the same batches. The end of the copy counts: some sinks do most of it there."""
    data_type = _known_type(sink.supported_data_types)
    batches = await _batches(data_type, sink.preferred_batch_bytes or DEFAULT_BATCH_BYTES, load)
    found = []
    for who, end in (("null", Endpoint(SINK)), (endpoint.spec.name, endpoint)):
        async with through(via, end.create()) as connector:
            requests = [
                wire.WriteDataRequest(
                    namespace=_named(load, via),
                    data=data,
                    type=data_type,
                    write_id=f"bench/p/{ordinal}/{_named(load, via)}",
                )
                for ordinal, data in enumerate(batches)
            ]
            watch = Watch("write", who, via)
            todo = iter(requests)
            await asyncio.gather(*(_write_each(connector, todo) for _ in range(load.copiers)))
            await _finish(connector, _named(load, via), len(requests))
            found.append(watch.stop([_size(batch) for batch in batches]))
    return found


async def _finish(connector: Connector, namespace: str, count: int) -> None:
    part = wire.FinishNamespaceRequest.Part(partition="p", count=count)
    try:
        await connector.FinishNamespace(wire.FinishNamespaceRequest(namespace=namespace, flow="bench", parts=[part]))
    except UnimplementedError:
        return


async def _batches(data_type: wire.Type, most_bytes: int, load: Load) -> list[list[bytes]]:
    documents: list[bytes] = []
    async with _fakesource(load).create() as source:
        for part in await _plan(source, []):
            async for page in _pages(source, part, data_type):
                documents += page
    return list(_cut(documents, most_bytes))


def _cut(documents: Iterable[bytes], most_bytes: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document)
        if size >= most_bytes or len(batch) == MOST_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _reading(
    endpoint: Endpoint, source: wire.Capabilities.Source, names: Sequence[str], load: Load, via: str
) -> list[Measured]:
    """The ceiling and the connector, as many documents of each, or all that there are."""
    data_type = _known_type(source.supported_data_types)
    found = []
    for who, end, wanted in (("fakesource", _fakesource(load), []), (endpoint.spec.name, endpoint, names)):
        async with through(via, end.create()) as connector:
            reading = Reading(connector, data_type, iter(await _plan(connector, wanted)), load.documents)
            watch = Watch("read", who, via)
            await asyncio.gather(*(reading.run() for _ in range(load.copiers)))
            found.append(watch.stop(reading.pages))
    return found


class Reading:
    """Partitions read side by side, until there were enough documents."""

    def __init__(
        self, connector: Connector, data_type: wire.Type, parts: Iterator[wire.Partition], enough: int
    ) -> None:
        self._connector = connector
        self._data_type = data_type
        self._parts = parts
        self._left = enough
        self.pages: list[Size] = []

    async def run(self) -> None:
        """Reads partition after partition."""
        for part in self._parts:
            async for page in _pages(self._connector, part, self._data_type):
                self.pages.append(_size(page))
                self._left -= len(page)
                await asyncio.sleep(0)
                if self._left <= 0:
                    return


async def _pages(connector: Connector, part: wire.Partition, data_type: wire.Type) -> AsyncIterator[Sequence[bytes]]:
    cursor = b""
    while True:
        page = await connector.ListData(wire.ListDataRequest(partition=part, type=data_type, cursor=cursor))
        yield page.data
        cursor = page.next_cursor
        if not cursor:
            return


async def _plan(connector: Connector, names: Sequence[str]) -> list[wire.Partition]:
    return list(
        (await connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=names, initial_sync=True))).partitions
    )


async def _write_each(connector: Connector, requests: Iterator[wire.WriteDataRequest]) -> None:
    for request in requests:
        await connector.WriteData(request)
        await asyncio.sleep(0)


def _fakesource(load: Load) -> Endpoint:
    each = -(-load.documents // load.copiers)
    options = {"num_docs_per_partition": each, "num_partitions_per_namespace": load.copiers}
    return Endpoint(SOURCE, {**options, "payload": str(load.payload_bytes)})


def _known_type(offered: Sequence[wire.Type]) -> wire.Type:
    for data_type in offered:
        if data_type in (wire.BSON, wire.JSON_ID, wire.EXTENDED_JSON):
            return data_type
    raise UsageError("the connector offers no data type that dsync knows", remedy="offer BSON or JSON with `id`")


class Watch:
    """Measures from its making on."""

    def __init__(self, work: str, who: str, via: str) -> None:
        self._what = work, who, via
        self._cpu, self._clock = time.process_time(), time.perf_counter()

    def stop(self, calls: Sequence[Size]) -> Measured:
        """What was measured, for these calls."""
        seconds, cpu = time.perf_counter() - self._clock, time.process_time() - self._cpu
        documents, size = sum(count for count, _ in calls), sum(size for _, size in calls)
        return Measured(*self._what, len(calls), documents, size, seconds, cpu)


def _size(documents: Sequence[bytes]) -> Size:
    return len(documents), sum(map(len, documents))


def table(measured: Sequence[Measured]) -> Iterator[str]:
    """A line for each, with its share of the ceiling before it."""
    yield f"{'':26}{'documents/s':>12}{'MB/s':>9}{'calls/s':>10}{'CPU us/doc':>12}{'of the ceiling':>16}"
    ceiling: Measured | None = None
    for each in measured:
        name = f"{each.work} {each.who}, {each.via}"
        rate, cpu = each.rate(each.documents), each.cpu_seconds * 1e6 / max(1, each.documents)
        share = ""
        if ceiling is not None:
            share = f"{100 * rate / max(1e-9, ceiling.rate(ceiling.documents)):.1f} %"
        ceiling = each if ceiling is None else None
        yield f"{name:26}{rate:12,.0f}{each.rate(each.bytes) / 1e6:9,.1f}{each.rate(each.calls):10,.1f}{cpu:12.2f}{share:>16}"


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help", "-h"],
    }
)
@click.option("--documents", type=click.IntRange(1), default=100_000, show_default=True, help="How many.")
@click.option(
    "--payload", type=click.IntRange(1), default=300, show_default=True, help="Bytes of each, besides some fields."
)
@click.option("--copiers", type=click.IntRange(1, 64), default=4, show_default=True, help="Calls under way at once.")
@click.option(
    "--namespace", default=NAMESPACE, show_default=True, help="Where to write; `_direct` and `_grpc` are added to it."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line instead of a table.")
@click.argument(REST, nargs=-1, type=click.UNPROCESSED, metavar="URI [options]")
@click.pass_context
def main(ctx: click.Context, /, words: tuple[str, ...], as_json: bool, **values: Any) -> int:
    """Measures the connector of URI, as a destination and as a source, directly and through gRPC, beside null and fakesource.

    What is written stays there: give a store of its own.
    """
    if not words:
        raise click.UsageError("URI is missing; write: python -m dsync.testing.bench [options] URI [its options]", ctx)
    role: Role = "source" if Endpoint(words[0]).spec.source else "destination"
    taken = take_endpoint(ctx, role, words, {}, both=True)
    if taken.rest or taken.global_options:
        raise click.UsageError("the bench takes one URI with its own options; those of the bench stand before it", ctx)
    measured = asyncio.run(bench(taken.endpoint, load_of(values)))
    lines = map(json.dumps, map(asdict, measured)) if as_json else table(measured)
    click.echo("\n".join(lines))
    return 0


def load_of(values: Mapping[str, Any]) -> Load:
    """The options as what is to be measured."""
    return Load(values["documents"], values["payload"], values["copiers"], values["namespace"])


if __name__ == "__main__":
    raise SystemExit(run_program(main))
