"""Drives a file connector as the engine does, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from connectors.file.connector import FileConnector
from connectors.file.cursors import read_part, write_part
from dsync import wire
from dsync.errors import DsyncError

FLOW = "flow-1"


async def plan(connector: FileConnector, *namespaces: str) -> wire.GeneratePlanResponse:
    return await connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=namespaces, initial_sync=True))


async def pages(
    connector: FileConnector, partition: wire.Partition, data_type: wire.Type = wire.EXTENDED_JSON
) -> list[list[bytes]]:
    """All pages of a partition."""
    found, cursor = [], b""
    while True:
        request = wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor)
        response = await connector.ListData(request)
        found.append(list(response.data))
        cursor = response.next_cursor
        if not cursor:
            return found


async def read(
    path: Path | str, data_type: wire.Type = wire.EXTENDED_JSON, *, page_bytes: int = 0, **options: Any
) -> dict[str, list[bytes]]:
    """Every namespace's documents, partitions in order; `page_bytes` replaces the size of the pages."""
    documents: dict[str, list[bytes]] = {}
    async with FileConnector(str(path), options) as connector:
        for partition in (await plan(connector)).partitions:
            if page_bytes:
                part = read_part(partition.cursor, partition.namespace)
                partition.cursor = write_part(replace(part, page_bytes=page_bytes))
            found = documents.setdefault(partition.namespace, [])
            for page in await pages(connector, partition, data_type):
                found.extend(page)
    return documents


async def verdict(
    path: Path | str, data_type: wire.Type = wire.EXTENDED_JSON, **options: Any
) -> dict[str, list[bytes]] | str:
    """What reading comes to: documents, or an error's class and message."""
    try:
        return await read(path, data_type, **options)
    except DsyncError as error:
        return f"{type(error).__name__}: {error}"


def batch(
    namespace: str, ordinal: int, documents: Sequence[bytes], data_type: wire.Type, partition: str = "0"
) -> wire.WriteDataRequest:
    """A batch of the flow."""
    write_id = f"{FLOW}/{partition}/{ordinal}/{namespace}"
    return wire.WriteDataRequest(namespace=namespace, data=documents, type=data_type, write_id=write_id)


def finish(namespace: str, flow: str = FLOW, **counts: int) -> wire.FinishNamespaceRequest:
    """The end of a namespace; keywords are `p` and the partition's name, and how many batches it has."""
    parts = [wire.FinishNamespaceRequest.Part(partition=name[1:], count=count) for name, count in counts.items()]
    return wire.FinishNamespaceRequest(namespace=namespace, flow=flow, parts=parts)


async def write(
    path: Path | str,
    namespace: str,
    batches: Sequence[Sequence[bytes]],
    data_type: wire.Type = wire.EXTENDED_JSON,
    **options: Any,
) -> None:
    """Writes a namespace as one partition, and finishes it."""
    async with FileConnector(str(path), options) as connector:
        for ordinal, documents in enumerate(batches):
            await connector.WriteData(batch(namespace, ordinal, documents, data_type))
        await connector.FinishNamespace(finish(namespace, p0=len(batches)))


async def metadata(path: Path | str, namespace: str, **options: Any) -> wire.GetNamespaceMetadataResponse:
    async with FileConnector(str(path), options) as connector:
        return await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=namespace))


def files(folder: Path) -> list[str]:
    """Every file under a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def data_files(folder: Path) -> list[str]:
    """Every file but those that the sink keeps for itself."""
    return [name for name in files(folder) if ".dsync" not in name]
