"""The pairs that are timed: dsync's command beside the loop, what is cleared before each run, and whether both came to the same."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import data
from bench.servers import Servers
from tests.kit import oracle

TYPES = "id:int,height:int,score:double"


@dataclass(frozen=True)
class Place:
    """Where a workload of one size has its data."""

    servers: Servers
    folder: Path
    count: int

    @property
    def source(self) -> str:
        """The name of the database and bucket that hold the generated documents."""
        return f"bench{self.count}"

    def uri(self, database: str) -> str:
        """A database as dsync is told it."""
        return self.servers.mongo_uri.replace("/?", f"/{database}?")

    def csv(self) -> Path:
        """The generated CSV file."""
        path = self.folder / f"rows{self.count}.csv"
        if not path.exists():
            data.write_csv(path, self.count)
        return path

    def bson(self) -> Path:
        """The generated documents as a file."""
        path = self.folder / f"things{self.count}.bson"
        if not path.exists():
            data.write_bson(path, self.count)
        return path


@dataclass(frozen=True)
class Job:
    """Two commands for the same work. `clear` removes what either wrote; `dsync_result` and `loop_result` are compared."""

    dsync: list[str]
    loop: list[str] | None = None
    clear: Callable[[], None] = lambda: None
    dsync_result: Callable[[], Any] = lambda: None
    loop_result: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Workload:
    """A row of the table: `floor` is how many times the loop's rate dsync must reach, `rate` how many documents a second."""

    name: str
    make: Callable[[Place], Job]
    small: int
    full: int
    floor: float | None = None
    rate: float | None = None
    # Of all processes together.
    most_bytes: int | None = None


def dsync(place: Place, *words: str | Path) -> list[str]:
    """The command, with a state that every run begins anew."""
    return [sys.executable, "-m", "dsync", "--metadata", str(place.folder / "state"), *map(str, words)]


def loop(name: str, *words: str | Path) -> list[str]:
    """A loop's command."""
    return [sys.executable, "-m", "bench.loops", name, *map(str, words)]


def remove(place: Place, *names: str) -> Callable[[], None]:
    """Clears the state and these files."""

    def clear() -> None:
        for name in ("state", *names):
            for path in place.folder.glob(name + "*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    return clear


def fakesource_to_null(workers: int) -> Callable[[Place], Job]:
    """Documents from nowhere to nowhere: what the engine itself costs."""

    def make(place: Place) -> Job:
        size = ["--num-partitions-per-namespace", "8", "--num-docs-per-partition", str(place.count // 8)]
        words = ["--workers", str(workers), "/dev/fakesource", *size, "/dev/null"]
        return Job(dsync(place, *words), clear=remove(place))

    return make


def csv_to_jsonl(place: Place) -> Job:
    """Strings."""
    ours, theirs = place.folder / "ours.jsonl", place.folder / "theirs.jsonl"
    return Job(
        dsync(place, place.csv(), ours),
        loop("csv_to_jsonl", place.csv(), theirs),
        remove(place, "ours"),
        lambda: lines_digest(ours),
        lambda: lines_digest(theirs),
    )


def typed_csv_to_jsonl(place: Place) -> Job:
    """Numbers as numbers."""
    ours, theirs = place.folder / "ours.jsonl", place.folder / "theirs.jsonl"
    return Job(
        dsync(place, place.csv(), "--types", TYPES, ours),
        loop("typed_csv_to_jsonl", place.csv(), theirs),
        remove(place, "ours"),
        lambda: values_digest(map(json.loads, ours.open())),
        lambda: values_digest(map(json.loads, theirs.open())),
    )


def csv_to_null(place: Place) -> Job:
    """Reading alone."""
    return Job(dsync(place, place.csv(), "/dev/null"), loop("csv_to_nothing", place.csv()), remove(place))


def csv_to_mongo(place: Place) -> Job:
    """Against what the server takes of documents that are encoded beforehand, of the same size as these rows."""
    encoded = place.folder / f"rows{place.count}.bson"
    if not encoded.exists():
        data.write_rows_as_bson(place.csv(), encoded)
    words: list[str | Path] = ["--ns", f"{place.csv().stem}:bench_to.things", place.csv(), place.uri("bench_to")]
    return Job(
        dsync(place, *words),
        loop("insert_ceiling", place.servers.mongo_uri, "bench_ceiling", encoded),
        drop(place, "bench_to", "bench_ceiling"),
        lambda: mongo_digest(place, "bench_to"),
        lambda: mongo_digest(place, "bench_ceiling"),
    )


def mongo_to_null(place: Place) -> Job:
    """Reading alone."""
    data.fill_mongo(place.servers.mongo_uri, place.source, place.count)
    words = ["--mode", "InitialSync", place.uri(place.source), "/dev/null"]
    return Job(dsync(place, *words), loop("mongo_to_nothing", place.servers.mongo_uri, place.source), remove(place))


def mongo_to_mongo(place: Place) -> Job:
    """Within one server."""
    data.fill_mongo(place.servers.mongo_uri, place.source, place.count)
    words = [
        "--mode",
        "InitialSync",
        "--ns",
        f"{place.source}:bench_to",
        place.uri(place.source),
        place.uri("bench_to"),
    ]
    return Job(
        dsync(place, *words),
        loop("mongo_to_mongo", place.servers.mongo_uri, place.source, "bench_loop"),
        drop(place, "bench_to", "bench_loop"),
        lambda: mongo_digest(place, "bench_to"),
        lambda: mongo_digest(place, "bench_loop"),
    )


def mongo_to_s3(place: Place) -> Job:
    """Extended JSON out."""
    data.fill_mongo(place.servers.mongo_uri, place.source, place.count)
    words = ["--mode", "InitialSync", place.uri(place.source), *s3_end(place, "bench-to")]
    return Job(
        dsync(place, *words),
        loop("mongo_to_s3", place.servers.mongo_uri, place.source, place.servers.s3_endpoint, "bench-loop"),
        empty(place, "bench-to", "bench-loop"),
        lambda: s3_digest(place, "bench-to"),
        lambda: s3_digest(place, "bench-loop"),
    )


def s3_to_mongo(place: Place) -> Job:
    """Against what the server takes of documents that are encoded beforehand."""
    data.fill_s3(place.servers.s3_endpoint, place.source, place.count)
    words = ["--ns", "things:bench_to.things", *s3_end(place, place.source), place.uri("bench_to")]
    return Job(
        dsync(place, *words),
        loop("insert_ceiling", place.servers.mongo_uri, "bench_ceiling", place.bson()),
        drop(place, "bench_to", "bench_ceiling"),
        lambda: mongo_digest(place, "bench_to"),
        lambda: mongo_digest(place, "bench_ceiling"),
    )


def s3_to_s3(place: Place) -> Job:
    """JSON in, JSON out."""
    data.fill_s3(place.servers.s3_endpoint, place.source, place.count)
    return Job(
        dsync(place, *s3_end(place, place.source), *s3_end(place, "bench-to")),
        loop("s3_to_s3", place.servers.s3_endpoint, place.source, "bench-loop"),
        empty(place, "bench-to", "bench-loop"),
        lambda: s3_digest(place, "bench-to"),
        lambda: s3_digest(place, "bench-loop"),
    )


def s3_to_null(place: Place) -> Job:
    """Reading alone."""
    data.fill_s3(place.servers.s3_endpoint, place.source, place.count)
    words = [*s3_end(place, place.source), "/dev/null"]
    return Job(dsync(place, *words), loop("s3_to_nothing", place.servers.s3_endpoint, place.source), remove(place))


def s3_end(place: Place, bucket: str) -> list[str]:
    """A bucket as dsync is told it."""
    return [f"s3://{bucket}", "--endpoint", place.servers.s3_endpoint]


def drop(place: Place, *databases: str) -> Callable[[], None]:
    """Clears the state and these databases."""

    def clear() -> None:
        from pymongo import MongoClient

        remove(place)()
        client: MongoClient[dict[str, Any]]
        with MongoClient(place.servers.mongo_uri) as client:
            for database in databases:
                client.drop_database(database)

    return clear


def empty(place: Place, *buckets: str) -> Callable[[], None]:
    """Clears the state and these buckets, which are there afterwards."""

    def clear() -> None:
        remove(place)()
        for bucket in buckets:
            data.empty_bucket(place.servers.s3_endpoint, bucket)

    return clear


def lines_digest(path: Path) -> tuple[int, int]:
    """Equal for equal multisets of lines."""
    with path.open("rb") as lines:
        return digest(lines)


def values_digest(values: Iterator[Any]) -> tuple[int, int]:
    """Equal for equal multisets of JSON values."""
    return digest(json.dumps(value, sort_keys=True).encode() for value in values)


def mongo_digest(place: Place, database: str) -> tuple[int, int]:
    """Equal for equal multisets of documents."""
    return digest(document for _, document in oracle.mongo_side(place.servers.mongo_uri, database))


def s3_digest(place: Place, bucket: str) -> tuple[int, int]:
    """Equal for equal multisets of JSON documents, whatever objects they are in."""
    return values_digest(data.s3_documents(place.servers.s3_endpoint, bucket))


def digest(items: Iterable[bytes]) -> tuple[int, int]:
    """The count and a sum that any order gives alike and that equal pairs do not cancel out of."""
    total = count = 0
    for item in items:
        total += int.from_bytes(hashlib.blake2b(item, digest_size=16).digest(), "big")
        count += 1
    return count, total % (1 << 128)


WORKLOADS = (
    Workload("fakesource → null, one process", fakesource_to_null(1), 2_000_000, 20_000_000, rate=2_000_000),
    Workload("fakesource → null, two processes", fakesource_to_null(2), 2_000_000, 20_000_000, rate=3_600_000),
    Workload("CSV → JSON lines", csv_to_jsonl, 100_000, 972_000, floor=2.5),
    Workload("CSV → JSON lines, typed", typed_csv_to_jsonl, 100_000, 972_000, floor=1.8),
    Workload("CSV → null", csv_to_null, 100_000, 972_000, floor=2.3),
    Workload("CSV → MongoDB", csv_to_mongo, 100_000, 972_000, floor=0.6),
    Workload("MongoDB → null", mongo_to_null, 100_000, 1_000_000, floor=5.5),
    Workload("MongoDB → MongoDB", mongo_to_mongo, 100_000, 1_000_000, floor=2.8, most_bytes=200 << 20),
    Workload("MongoDB → S3", mongo_to_s3, 50_000, 500_000, floor=3.5),
    Workload("S3 → MongoDB", s3_to_mongo, 50_000, 500_000, floor=0.55),
    Workload("S3 → S3", s3_to_s3, 50_000, 500_000, floor=3.0),
    Workload("S3 → null", s3_to_null, 50_000, 500_000, floor=2.5),
)
