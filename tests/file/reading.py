"""Reads a file connector as the engine does, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.file.connector import FileConnector
from dsync import wire


async def plan(connector: FileConnector, *namespaces: str) -> wire.GeneratePlanResponse:
    return await connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=namespaces, initial_sync=True))


async def pages(
    connector: FileConnector, partition: wire.Partition, data_type: wire.DataType.ValueType = wire.EXTENDED_JSON
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
    path: Path | str, data_type: wire.DataType.ValueType = wire.EXTENDED_JSON, **options: Any
) -> dict[str, list[bytes]]:
    """Every namespace's documents, partitions in order."""
    documents: dict[str, list[bytes]] = {}
    async with FileConnector(str(path), options) as connector:
        for partition in (await plan(connector)).partitions:
            found = documents.setdefault(partition.namespace, [])
            for page in await pages(connector, partition, data_type):
                found.extend(page)
    return documents
