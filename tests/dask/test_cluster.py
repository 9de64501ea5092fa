"""Copies on a cluster of real processes, with workers, scheduler and coordinator killed in the middle."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pymongo import MongoClient

from tests.kit import oracle, process
from tests.kit.cli import Dsync
from tests.kit.dask import DaskCluster

LEASE = 3
ROWS = 60_000
# Slow enough to be met in the middle, whatever the machine.
SLOW = ("--write-rate-limit", "6000", "--writer-batch-size", "500")

Database = MongoClient[dict[str, Any]]


def engine(cluster: DaskCluster) -> tuple[str, ...]:
    return "--engine", f"{cluster.engine}?lease={LEASE}&wait=60"


def at(mongo_uri: str, database: str) -> str:
    return mongo_uri.replace("/?", f"/{database}?")


def until(condition: Callable[[], bool], run: subprocess.Popen[bytes] | None = None, seconds: float = 90) -> None:
    """Waits until something is so. Raises AssertionError where it does not come to be, or the run ends first."""
    end = time.monotonic() + seconds
    while not condition():
        if run is not None and run.poll() is not None:
            raise AssertionError(f"ended with {run.returncode}: {run.communicate()[1].decode()}")
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def ended(run: subprocess.Popen[bytes], expect: int = 0) -> str:
    """What a run printed. Raises AssertionError where it ends otherwise."""
    _, errors = run.communicate(timeout=150)
    assert run.returncode == expect, errors.decode()
    return errors.decode()


def children(pid: int) -> list[int]:
    return [
        int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()
    ]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def rows(dsync: Dsync) -> Path:
    """A folder with four files of documents."""
    folder = dsync.folder / "rows"
    folder.mkdir()
    for number in range(4):
        lines = (f'{{"_id":{n},"text":"document {n}"}}\n' for n in range(number * ROWS // 4, (number + 1) * ROWS // 4))
        (folder / f"part{number}.jsonl").write_text("".join(lines))
    return folder


def of_rows(folder: Path) -> Iterator[oracle.Placed]:
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            yield path.stem, bson.encode(json_util.loads(line))


@pytest.fixture
def filled(mongo: Database, database: str) -> str:
    """A database with two collections of documents."""
    for name in ("one", "two"):
        mongo[database][name].insert_many([{"_id": n, "text": f"document {n}"} for n in range(ROWS // 2)])
    return database


def of_objects(endpoint: str, bucket: str) -> Iterator[oracle.Placed]:
    """Everything that was written to the bucket, by collection."""
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", ()):
            folder, _, name = found["Key"].rpartition("/")
            if name.endswith(".jsonl"):
                for line in client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read().splitlines():
                    yield folder.rpartition("/")[2], bson.encode(json_util.loads(line))


def count_of(mongo: Database, database: str) -> int:
    return sum(mongo[database][name].estimated_document_count() for name in mongo[database].list_collection_names())


def saved(path: Path) -> bool:
    """Whether a checkpoint is in the state."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return bool(database.execute("select count(*) from partitions where length(checkpoint) > 0").fetchone()[0])
    except sqlite3.OperationalError:
        return False


def test_files_reach_mongodb_whole_though_a_worker_is_killed_and_another_one_joins(
    cluster: DaskCluster, dsync: Dsync, rows: Path, mongo_uri: str, mongo: Database, database: str
) -> None:
    first, _ = cluster.add_worker(), cluster.add_worker()
    run = dsync.start(*engine(cluster), *SLOW, "--verbosity", "INFO", rows, at(mongo_uri, database))
    until(lambda: count_of(mongo, database) > 15_000, run)
    process.stop(first)
    third = cluster.add_worker()
    until(lambda: bool(children(third.pid)), run)
    shown = ended(run)
    assert "its steps are taken again elsewhere" in shown
    report = oracle.compare(of_rows(rows), oracle.mongo_side(mongo_uri, database))
    assert report.equal, report
    assert report.left == ROWS


def test_mongodb_reaches_s3_whole_though_scheduler_and_workers_are_killed_and_started_anew(
    dsync: Dsync, mongo_uri: str, filled: str, s3_endpoint: str, bucket: str
) -> None:
    target = (f"s3://{bucket}/copy", "--endpoint", s3_endpoint, "--output-format", "jsonl")
    with DaskCluster() as cluster:
        cluster.add_worker()
        cluster.add_worker()
        run = dsync.start(*engine(cluster), *SLOW, at(mongo_uri, filled), *target)
        until(lambda: any(True for _ in all_keys(s3_endpoint, bucket)), run)
        cluster.kill_scheduler()
        cluster.start()
        cluster.add_worker()
        ended(run)
    report = oracle.compare(oracle.mongo_side(mongo_uri, filled), of_objects(s3_endpoint, bucket))
    assert report.equal, report
    assert report.left == ROWS


def all_keys(endpoint: str, bucket: str) -> Iterator[str]:
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint)
    for found in client.list_objects_v2(Bucket=bucket).get("Contents", ()):
        yield found["Key"]


def test_after_the_coordinator_is_killed_its_workers_end_and_the_same_command_goes_on(
    cluster: DaskCluster, dsync: Dsync, rows: Path, mongo_uri: str, mongo: Database, database: str
) -> None:
    workers = cluster.add_worker(), cluster.add_worker()
    words = (*engine(cluster), *SLOW, "--metadata", "state.db", str(rows), at(mongo_uri, database))
    run = dsync.start(*words)
    until(lambda: saved(dsync.folder / "state.db"), run)
    orphans = [child for worker in workers for child in children(worker.pid)]
    run.kill()
    run.communicate()
    assert len(orphans) == 2
    until(lambda: not any(map(lives, orphans)))

    again = dsync(*words)
    assert "until the workers of an earlier run have surely ended" in again.err
    assert "by earlier runs" in again.err
    report = oracle.compare(of_rows(rows), oracle.mongo_side(mongo_uri, database))
    assert report.equal, report
    assert "until the workers" not in dsync(*words[2:]).err, "it was waited for them once"


def test_updates_that_follow_a_copy_are_not_overwritten_by_a_worker_that_was_cut_off(
    cluster: DaskCluster, dsync: Dsync, mongo_uri: str, mongo: Database, filled: str, database: str
) -> None:
    first, _ = cluster.add_worker(), cluster.add_worker()
    target = f"{filled}_copy"
    names = ("--ns", f"{filled}:{target}", "--mode", "Full", "--until-caught-up")
    ends = (at(mongo_uri, filled), at(mongo_uri, target))
    try:
        run = dsync.start(*engine(cluster), *SLOW, *names, *ends)
        until(lambda: count_of(mongo, target) > 15_000, run)
        suspended = [*children(first.pid), first.pid]
        for pid in suspended:
            os.kill(pid, signal.SIGSTOP)
        mongo[filled]["one"].update_many({}, {"$set": {"text": "changed"}})
        ended(run)
        for pid in suspended:
            os.kill(pid, signal.SIGCONT)
        until(lambda: not any(map(lives, suspended[:-1])))
        report = oracle.compare(oracle.mongo_side(mongo_uri, filled), oracle.mongo_side(mongo_uri, target))
        assert report.equal, report
    finally:
        mongo.drop_database(target)


def test_a_signal_drains_the_cluster_and_the_same_command_goes_on(
    cluster: DaskCluster, dsync: Dsync, rows: Path, mongo_uri: str, mongo: Database, database: str
) -> None:
    worker = cluster.add_worker()
    words = (*engine(cluster), *SLOW, str(rows), at(mongo_uri, database))
    run = dsync.start(*words)
    until(lambda: count_of(mongo, database) > 15_000, run)
    run.send_signal(signal.SIGINT)
    assert "the same command again" in ended(run, 130)
    assert not children(worker.pid), "when it has ended, nothing writes any more"
    again = dsync(*words)
    assert "surely ended" not in again.err
    report = oracle.compare(of_rows(rows), oracle.mongo_side(mongo_uri, database))
    assert report.equal, report


def test_without_a_scheduler_or_workers_nothing_is_written_and_the_status_is_3(
    cluster: DaskCluster, dsync: Dsync, rows: Path
) -> None:
    nowhere = dsync("--engine", f"dask://127.0.0.1:{process.free_port()}", rows, "out/", expect=3)
    assert "cannot be reached" in nowhere.err
    nobody = dsync("--engine", f"{cluster.engine}?wait=1", rows, "out/", expect=3)
    assert "has no workers; start some: dask worker tcp://" in nobody.err
    assert not (dsync.folder / "out").exists()


def test_a_worker_without_the_right_dsync_is_refused_by_name(
    cluster: DaskCluster, dsync: Dsync, rows: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "dsync-9.9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: dsync\nVersion: 9.9.9\n")
    cluster.add_worker(environment=os.environ | {"PYTHONPATH": str(other.parent)})
    refused = dsync(*engine(cluster), rows, "out/", expect=3)
    assert "has dsync 9.9.9, this is 0.1.0; install the same version on both" in refused.err
    assert "the Dask worker tcp://127.0.0.1:" in refused.err


def test_neither_secrets_nor_documents_appear_in_what_dask_prints(
    cluster: DaskCluster, dsync: Dsync, rows: Path, s3_endpoint: str, bucket: str
) -> None:
    (rows / "part1.jsonl").write_text('{"_id":"canary id"}\n{"_id":"canary text", broken\n')
    loud = os.environ | {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "debug"}
    cluster.add_worker(environment=loud)
    secret = ("--endpoint", s3_endpoint, "--access-key-id", "canary-key", "--secret-access-key", "canary-secret")
    failed = dsync(*engine(cluster), rows, f"s3://{bucket}/x", *secret, expect=None)
    assert failed.status == 1, failed
    logs = cluster.logs()
    assert "dsync-step" in logs
    assert "canary" not in logs + failed.out + failed.err


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate that is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dsync test")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(1)
    )
    signed = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return path


def test_a_cluster_that_speaks_tls_is_used_with_a_certificate_and_not_without(
    dsync: Dsync, rows: Path, certificate: Path
) -> None:
    with DaskCluster(certificate) as cluster:
        cluster.add_worker()
        query = f"ca={certificate}&cert={certificate}&key={certificate}"
        dsync("--engine", f"{cluster.engine}?{query}", rows, "out/", "--format", "jsonl")
        refused = dsync("--engine", cluster.engine, rows, "again/", expect=3)
    assert "cannot be reached" in refused.err
    copied = oracle.compare(of_rows(rows), of_rows(dsync.folder / "out"))
    assert copied.equal, copied
    assert copied.left == ROWS


def test_a_transform_of_this_folder_is_at_work_on_the_cluster(cluster: DaskCluster, dsync: Dsync, rows: Path) -> None:
    cluster.add_worker()
    code = "def even(namespace, document, id):\n    if document and id % 2 == 0:\n        yield namespace, document\n"
    (dsync.folder / "only.py").write_text(code)
    dsync(*engine(cluster), rows, "even/", "--format", "jsonl", "python:only:even")
    even = [(name, document) for name, document in of_rows(rows) if bson.decode(document)["_id"] % 2 == 0]
    copied = oracle.compare(even, of_rows(dsync.folder / "even"))
    assert copied.equal, copied
    assert copied.left == ROWS // 2


def test_what_the_destination_refuses_is_in_dead_letters_of_each_worker(
    cluster: DaskCluster, dsync: Dsync, rows: Path, mongo_uri: str, mongo: Database, database: str
) -> None:
    cluster.add_worker()
    cluster.add_worker()
    mongo[database].create_collection("part2", validator={"text": {"$ne": "document 30005"}})
    letters = ("--on-error", "set-aside", "--dead-letters", "letters.jsonl")
    done = dsync(*engine(cluster), *letters, rows, at(mongo_uri, database), expect=6)
    found = [line for path in dsync.folder.glob("letters.jsonl*") for line in path.read_text().splitlines()]
    assert len(found) == 1, done
    assert "see the files whose names begin with 'letters.jsonl'" in done.err
    assert "document 30005" in found[0]
    assert all(path.stat().st_mode & 0o77 == 0 for path in dsync.folder.glob("letters.jsonl*"))
    assert count_of(mongo, database) == ROWS - 1
