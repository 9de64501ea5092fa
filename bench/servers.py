"""The servers of a bench: a MongoDB replica set of one, MinIO where there is one, else moto."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from tests.kit import mongod, process, s3


@dataclass(frozen=True)
class Servers:
    """Where to find them, and what the S3 is, since moto is Python and becomes the bottleneck itself."""

    mongo_uri: str
    s3_endpoint: str
    s3_kind: str

    def versions(self) -> dict[str, str]:
        """What the servers are."""
        client: MongoClient[dict[str, Any]]
        with MongoClient(self.mongo_uri) as client:
            return {"mongod": str(client.server_info()["version"]), "s3": self.s3_kind}


@contextlib.contextmanager
def started() -> Iterator[Servers]:
    """Both servers, until the end; mongod with the cache that it has wherever nobody says otherwise."""
    with mongod.replica_set(cache_gigabytes=None) as mongo_uri, _s3() as (endpoint, kind):
        yield Servers(mongo_uri, endpoint, kind)


@contextlib.contextmanager
def _s3() -> Iterator[tuple[str, str]]:
    found = shutil.which("minio") or shutil.which("minio", path=str(Path.home() / "go" / "bin"))
    if os.environ.get("S3_TEST") or not found:
        with s3.endpoint() as endpoint, s3.credentials():
            yield endpoint, "S3_TEST" if os.environ.get("S3_TEST") else "moto, which is slower than what is measured"
        return
    with tempfile.TemporaryDirectory(prefix="minio-", ignore_cleanup_errors=True) as folder:
        port, console = process.free_port(), process.free_port()
        command = [found, "server", "--quiet", f"--address=127.0.0.1:{port}", f"--console-address=127.0.0.1:{console}"]
        login = {"MINIO_ROOT_USER": "testtest", "MINIO_ROOT_PASSWORD": "testtest"}
        server = process.start([*command, f"{folder}/data"], Path(folder, "log"), os.environ | login)
        try:
            process.wait_ready(server, Path(folder, "log"), lambda: process.listens(port))
            with s3.credentials():
                os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "testtest"
                yield f"http://127.0.0.1:{port}", "MinIO"
        finally:
            process.stop(server)
