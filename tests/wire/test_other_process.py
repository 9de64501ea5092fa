"""A store behind a server in another process, which is killed and started again in the middle: nothing is lost."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from tests.kit import documents, oracle, process
from tests.kit.cli import Dsync
from tests.wire.served import in_another_process

COUNT = 6000
PATIENCE_SECONDS = 100
KILLS = 3

Client = MongoClient[dict[str, Any]]


class Server:
    """`dsync serve` of one store, at one port for ever."""

    def __init__(self, dsync: Dsync, stack: contextlib.ExitStack, *words: str) -> None:
        self.dsync = dsync
        self.stack = stack
        self.words = words
        self.port = process.free_port()
        self.running: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self) -> None:
        served = in_another_process(self.dsync, *self.words, port=self.port)
        _, self.running = self.stack.enter_context(served)

    def kill(self) -> None:
        assert self.running is not None
        process.stop(self.running)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    folder = tmp_path / "server"
    folder.mkdir()
    with contextlib.ExitStack() as stack:

        def start(*words: str) -> Server:
            server = Server(Dsync(folder), stack, *words)
            server.start()
            return server

        yield start


@pytest.fixture
def dsync(tmp_path: Path) -> Dsync:
    return Dsync(tmp_path)


def until(true: Callable[[], bool], run: subprocess.Popen[bytes]) -> None:
    """Returns when it is so; fails where the run ends before."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if run.poll() is not None or time.monotonic() > end:
            run.kill()
            _, said = run.communicate()
            raise AssertionError(f"exit status {run.returncode}: {said.decode()[-2000:]}")
        time.sleep(0.02)


def assert_done(run: subprocess.Popen[bytes], status: int = 0) -> str:
    _, said = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == status, said.decode()[-2000:]
    return said.decode()


def at(uri: str, database: str) -> str:
    return uri.replace("/?", f"/{database}?")


def many() -> list[dict[str, Any]]:
    return list(documents.ids_of_ten_types(COUNT))


def test_file_to_mongo_behind_a_server_that_is_killed(
    serve: Callable[..., Server], dsync: Dsync, mongo: Client, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "docs.bson").write_bytes(b"".join(map(bson.encode, many())))
    server = serve(at(mongo_uri, database))
    copied = mongo[database].docs
    words = ["--write-rate-limit", str(COUNT / 3), "--logfile", "log"]
    run = dsync.start(*words, tmp_path / "from", server.uri, "--insecure")
    until(lambda: copied.estimated_document_count() > 100, run)
    server.kill()
    until(lambda: "trying again" in (tmp_path / "log").read_text(), run)
    server.start()
    assert_done(run)
    report = oracle.compare(oracle.bson_side(tmp_path / "from"), oracle.mongo_side(mongo_uri, database))
    assert report.equal, report


def test_mongo_behind_a_server_that_is_killed_to_file(
    serve: Callable[..., Server], dsync: Dsync, mongo: Client, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    mongo[database].docs.insert_many(many())
    server = serve("--page-size", "1", at(mongo_uri, database), "--max-page-size", "100", "--doc-partition", "200")
    words = ["--mode", "InitialSync", "--ns", f"{database}.docs:docs", "--write-rate-limit", str(COUNT / 3)]
    words += ["--logfile", "log"]
    run = dsync.start(*words, server.uri, "--insecure", tmp_path / "to/", "--format", "bson")
    until(lambda: any(path.stat().st_size for path in (tmp_path / "to").rglob("*") if path.is_file()), run)
    server.kill()
    until(lambda: "trying again" in (tmp_path / "log").read_text(), run)
    server.start()
    assert_done(run)
    report = oracle.compare(oracle.mongo_side(mongo_uri, database), oracle.bson_side(tmp_path / "to"))
    assert report.equal, report


@pytest.mark.parametrize("behind", ["source", "destination"])
def test_changes_of_mongo_to_mongo_where_either_is_behind_a_server_that_is_killed(
    serve: Callable[..., Server], dsync: Dsync, mongo: Client, mongo_uri: str, database: str, behind: str
) -> None:
    source, target = mongo[database].docs, mongo[f"{database}_to"].docs
    source.insert_many({"_id": number, "n": 0} for number in range(500))
    ends = {"source": [at(mongo_uri, database)], "destination": [at(mongo_uri, f"{database}_to")]}
    server = serve(*ends[behind])
    ends[behind] = [server.uri, "--insecure"]
    words = ["--ns", f"{database}:{database}_to", "--cdc-resume-token-interval", "0.2"]
    words += [*ends["source"], *ends["destination"]]
    try:
        run = dsync.start(*words)
        until(lambda: target.estimated_document_count() == 500, run)
        for round_ in range(KILLS):
            change(source, round_)
            until(lambda: _has(target, f"new {round_}"), run)  # noqa: B023 - called within the round
            change(source, round_ + 100)
            server.kill()
            change(source, round_ + 200)
            server.start()
        until(lambda: _has(target, f"new {KILLS + 199}"), run)
        run.terminate()
        assert_done(run, 143)
        change(source, 1000)
        dsync("--until-caught-up", *words, timeout=PATIENCE_SECONDS)
        report = oracle.compare(oracle.mongo_side(mongo_uri, database), oracle.mongo_side(mongo_uri, f"{database}_to"))
        assert report.equal, report
    finally:
        mongo.drop_database(f"{database}_to")


def change(source: Any, round_: int) -> None:
    """Inserts, updates and deletes; the last one is of a document that tells how far the stream has come."""
    source.insert_many([{"_id": f"{round_} {number}"} for number in range(50)])
    source.update_many({"_id": {"$lt": 200}}, {"$set": {f"at{round_}": True}, "$inc": {"n": 1}})
    source.delete_many({"_id": {"$gte": 200 + round_ % 100, "$lt": 210 + round_ % 100}})
    source.insert_one({"_id": f"new {round_}"})


def _has(target: Any, identity: str) -> bool:
    return target.find_one({"_id": identity}) is not None
