"""Every built-in connector that is a source, with some documents in two namespaces, for tests that ask the same of all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync.endpoint import Endpoint
from dsync.testing import samples

DOCUMENTS = samples.documents(40, size=20)
NAMES = ("one", "two")

Make = Callable[[pytest.FixtureRequest, Path], Endpoint]


def _json_files(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    return _files(folder, "jsonl", b"".join(json.dumps({"_id": n}).encode() + b"\n" for n in range(40)))


def _json_arrays(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    return _files(folder, "json", json.dumps([{"_id": n} for n in range(40)]).encode())


def _csv_files(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    return _files(folder, "csv", b"id,name\n" + b"".join(b"%d,name\n" % n for n in range(40)))


def _bson_files(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    return _files(folder, "bson", b"".join(DOCUMENTS))


def _parquet_files(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    from pyarrow import parquet, table

    path = folder / "table"
    parquet.write_table(table({"_id": list(range(40))}), path)
    return _files(folder, "parquet", path.read_bytes())


def _files(folder: Path, ending: str, body: bytes) -> Endpoint:
    (folder / "data").mkdir()
    for name in NAMES:
        (folder / "data" / f"{name}.{ending}").write_bytes(body)
    return Endpoint(str(folder / "data"), {"batch_size": 10})


def _mongo(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    uri, database, client = (request.getfixturevalue(name) for name in ("mongo_uri", "database", "mongo"))
    for name in NAMES:
        client[database][name].insert_many([bson.decode(document) for document in DOCUMENTS])
    return Endpoint(uri.replace("/?", f"/{database}?"), {"max_page_size": 10})


def _s3(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    import boto3

    endpoint, bucket = request.getfixturevalue("s3_endpoint"), request.getfixturevalue("bucket")
    client = boto3.client("s3", endpoint_url=endpoint)
    for name in NAMES:
        body = b"\n".join(json.dumps({"_id": n}).encode() for n in range(40))
        client.put_object(Bucket=bucket, Key=f"in/{name}/part.jsonl", Body=body)
    client.put_object(Bucket=bucket, Key="secret/part.jsonl", Body=json.dumps({"_id": samples.CANARY}).encode())
    return Endpoint(f"s3://{bucket}/in", {"endpoint": endpoint})


def _testconn(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    (folder / "data").mkdir()
    (folder / "data" / "bootstrap.json").write_text("".join(json.dumps({"_id": n}) + "\n" for n in range(40)))
    (folder / "data" / "updates.json").write_text("")
    return Endpoint(f"testconn://{folder}/data")


def _fakesource(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    sizes: dict[str, Any] = {"num_namespaces": 2, "num_docs_per_partition": 40, "batch_size": 10}
    return Endpoint("/dev/fakesource", sizes)


def _random(request: pytest.FixtureRequest, folder: Path) -> Endpoint:
    return Endpoint("/dev/random")


STORES: dict[str, Make] = {
    "json lines": _json_files,
    "json arrays": _json_arrays,
    "csv": _csv_files,
    "bson": _bson_files,
    "parquet": _parquet_files,
    "mongo": _mongo,
    "s3": _s3,
    "testconn": _testconn,
    "fakesource": _fakesource,
    "random": _random,
}
