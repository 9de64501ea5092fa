"""Whoever may call a server gets at nothing outside what it serves, whatever names and cursors they send."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.errors import DsyncError
from dsync.testing.samples import CANARY
from dsync.wire.client import GrpcConnector
from tests.wire.served import served

NAMES = [
    "..",
    "../secret",
    "../../secret",
    "a/../../secret",
    "/etc/passwd",
    "//secret",
    "a/b",
    "a\\..\\secret",
    "%2e%2e.secret",
    "%2e%2e/secret",
    "..%2fsecret",
    "...secret",
    ".",
    "..secret",
    "a..b",
    "~root",
    "\0",
    "secret\0.jsonl",
    "a\nb",
    "-rf",
    "C:\\secret",
    "x" * 300,
    "é" * 300,
    "🎁",
    " ",
    "trailing ",
]
WRONG_CURSORS = [
    "../secret.jsonl",
    "/secret.jsonl",
    "./../secret.jsonl",
    "a/../../secret.jsonl",
    "link.jsonl",
    "folder",
]
DOCUMENT = bson.encode({"_id": 1})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that is served, with a secret beside it."""
    (tmp_path / "secret.jsonl").write_text(json.dumps({"_id": CANARY}) + "\n")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def outside(root: Path) -> dict[str, bytes]:
    """Every file beside the root."""
    return {
        str(path): path.read_bytes() for path in root.parent.rglob("*") if path.is_file() and root not in path.parents
    }


@asynccontextmanager
async def serving_folder(root: Path) -> AsyncIterator[GrpcConnector]:
    async with served(Endpoint(f"{root}/", {"format": "jsonl"}).create()) as client:
        yield client


async def write(client: GrpcConnector, namespace: str, **ids: Any) -> None:
    """A whole copy of one document; refused names are fine."""
    write_id = f"{ids.get('flow', 'flow')}/{ids.get('partition', '0')}/0/{namespace}"
    request = wire.WriteDataRequest(namespace=namespace, data=[DOCUMENT], type=wire.BSON, write_id=write_id)
    parts = [wire.FinishNamespaceRequest.Part(partition=ids.get("partition", "0"), count=1)]
    try:
        await client.WriteData(request)
        await client.FinishNamespace(
            wire.FinishNamespaceRequest(namespace=namespace, flow=ids.get("flow", "flow"), parts=parts)
        )
        await client.WriteData(wire.WriteDataRequest(namespace=namespace, data=[DOCUMENT], type=wire.BSON))
        await client.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=namespace))
    except DsyncError as error:
        assert CANARY not in str(error)


async def test_no_name_writes_a_file_outside_the_folder(root: Path) -> None:
    before = outside(root)
    async with serving_folder(root) as client:
        for name in NAMES:
            await write(client, name)
            await write(client, "a.docs", flow=name)
            await write(client, "a.docs", partition=name)
    assert outside(root) == before
    assert any(root.rglob("*.jsonl"))


async def test_no_cursor_reads_a_file_outside_the_folder(root: Path) -> None:
    (root / "a.jsonl").write_text(json.dumps({"_id": CANARY}) + "\n")
    (root / "link.jsonl").symlink_to(root.parent / "secret.jsonl")
    (root / "folder").mkdir()
    async with serving_folder(root) as client:
        plan = await client.GeneratePlan(wire.GeneratePlanRequest(namespaces=["a"], initial_sync=True))
        fields = json.loads(plan.partitions[0].cursor)
        secret = root.parent / "secret.jsonl"
        status = secret.stat()
        for path in WRONG_CURSORS:
            fields[fields.index("a.jsonl") if "a.jsonl" in fields else 3] = path
            fields[5] = [status.st_size, status.st_mtime_ns, status.st_ino]
            partition = wire.Partition(namespace="a", cursor=json.dumps(fields).encode())
            with pytest.raises(DsyncError) as error:
                await client.ListData(wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON))
            assert CANARY not in str(error.value)


async def test_no_name_or_cursor_gets_at_an_object_outside_the_prefix(s3_endpoint: str, bucket: str) -> None:
    import boto3

    s3 = boto3.client("s3", endpoint_url=s3_endpoint)
    s3.put_object(Bucket=bucket, Key="secret/part.jsonl", Body=json.dumps({"_id": CANARY}).encode())
    s3.put_object(Bucket=bucket, Key="root/a/part.jsonl", Body=json.dumps({"_id": 1}).encode())
    async with served(Endpoint(f"s3://{bucket}/root", {"endpoint": s3_endpoint}).create()) as client:
        for name in NAMES:
            await write(client, name)
            await write(client, "b.docs", flow=name)
            await write(client, "b.docs", partition=name)
        plan = await client.GeneratePlan(wire.GeneratePlanRequest(namespaces=["a"], initial_sync=True))
        whole = plan.partitions[0].cursor
        etag = s3.head_object(Bucket=bucket, Key="secret/part.jsonl")["ETag"]
        for key in ("secret/part.jsonl", "root/../secret/part.jsonl", "/secret/part.jsonl", "rootsecret", ""):
            fields = json.loads(whole)
            fields[3] = [[key, 20, etag]]
            partition = wire.Partition(namespace="a", cursor=json.dumps(fields).encode())
            with pytest.raises(DsyncError) as error:
                await client.ListData(wire.ListDataRequest(partition=partition, type=wire.EXTENDED_JSON))
            assert CANARY not in str(error.value)
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert [key for key in keys if not key.startswith("root/")] == ["secret/part.jsonl"]
    assert len(keys) > 10
