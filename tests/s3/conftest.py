"""A bucket, connectors to it, and what is in it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from connectors.s3.connector import S3Connector
from dsync import wire

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Open = Callable[..., AbstractAsyncContextManager[S3Connector]]


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket as it is, without the connector."""

    client: S3Client
    name: str

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def listing(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> Iterator[S3Client]:
    client: S3Client = boto3.client("s3", endpoint_url=s3_endpoint)
    yield client
    client.close()


@pytest.fixture
def bucket(s3_client: S3Client) -> str:
    """As everywhere, but without a new client for each."""
    name = f"t{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def store(s3_client: S3Client, bucket: str) -> Store:
    return Store(s3_client, bucket)


@pytest.fixture
def s3(s3_endpoint: str, bucket: str) -> Open:
    """Opens a connector: `s3("prefix", option=value)`."""

    @contextlib.asynccontextmanager
    async def opened(path: str = "data", **options: Any) -> AsyncIterator[S3Connector]:
        async with S3Connector(f"s3://{bucket}/{path}", {"endpoint": s3_endpoint, **options}) as connector:
            yield connector

    return opened


async def write(
    sink: S3Connector,
    namespace: str,
    batches: Sequence[Sequence[bytes]],
    *,
    flow: str = "f1",
    partition: str = "00000",
    data_type: wire.Type = wire.EXTENDED_JSON,
) -> None:
    """Writes and publishes batches of one partition."""
    for ordinal, batch in enumerate(batches):
        write_id = f"{flow}/{partition}/{ordinal}/{namespace}"
        await sink.WriteData(wire.WriteDataRequest(namespace=namespace, data=batch, type=data_type, write_id=write_id))
    await finish(sink, namespace, {partition: len(batches)}, flow=flow)


async def finish(sink: S3Connector, namespace: str, parts: dict[str, int], *, flow: str = "f1") -> None:
    request = wire.FinishNamespaceRequest(namespace=namespace, flow=flow)
    for partition, count in parts.items():
        request.parts.add(partition=partition, count=count)
    await sink.FinishNamespace(request)


async def plan(source: S3Connector, *namespaces: str) -> wire.GeneratePlanResponse:
    return await source.GeneratePlan(wire.GeneratePlanRequest(namespaces=namespaces, initial_sync=True))


async def documents(
    source: S3Connector, partition: wire.Partition, data_type: wire.Type = wire.EXTENDED_JSON
) -> list[bytes]:
    """All of a partition, page by page."""
    found: list[bytes] = []
    cursor = b""
    while True:
        page = await source.ListData(wire.ListDataRequest(partition=partition, type=data_type, cursor=cursor))
        found += page.data
        cursor = page.next_cursor
        if not cursor:
            return found


async def contents(
    source: S3Connector, *namespaces: str, data_type: wire.Type = wire.EXTENDED_JSON
) -> dict[str, list[bytes]]:
    """All that a source holds, by namespace."""
    found: dict[str, list[bytes]] = {}
    for partition in (await plan(source, *namespaces)).partitions:
        found.setdefault(partition.namespace, []).extend(await documents(source, partition, data_type))
    return found
