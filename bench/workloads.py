"""The pairs that are timed: dsync's command, what it is measured against, and what either left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import data, others
from bench.place import (
    Place,
    drop,
    dsync,
    empty,
    limit,
    lines_digest,
    loop,
    mongo_digest,
    remove,
    s3_digest,
    s3_end,
    values_digest,
)

TYPES = "id:int,height:int,score:double"
MEGABYTE = 1 << 20
LOOP, CEILING, READING = "loop", "insert ceiling", "MongoDB → null"


@dataclass(frozen=True)
class Job:
    """Commands for the same work.

    `against` is what the floor is about; `limit` does less than the work, and cannot be reached; `others` are other
    programs. `clear` removes what any of them wrote; what `results` find after a command, by its name, has to be equal.
    """

    dsync: list[str]
    against: list[str] | None = None
    limit: list[str] | None = None
    others: Mapping[str, list[str]] = field(default_factory=dict)
    clear: Callable[[], None] = lambda: None
    results: Mapping[str, Callable[[], Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """A row of the table: `floor` is how many times the rate of `against` dsync must reach, `rate` documents a second."""

    name: str
    make: Callable[[Place], Job]
    small: int
    full: int
    floor: float | None = None
    rate: float | None = None
    against: str = ""
    limit: str = ""
    # Of all processes together.
    most_bytes: int | None = None
    # How many documents dsync handles for each one that `against` does.
    work: int = 1


def fakesource_to_null(workers: int) -> Callable[[Place], Job]:
    """Documents from nowhere to nowhere: what the engine itself costs."""

    def make(place: Place) -> Job:
        size = ["--num-partitions-per-namespace", "8", "--num-docs-per-partition", str(place.count // 8)]
        words = ["/dev/fakesource", *size, "/dev/null"]
        return Job(
            dsync(place, "--workers", str(workers), *words),
            limit=limit("messages", str(place.count), "1000") if workers == 1 else None,
            others=others.go_dsync(*words) if workers > 1 else {},
            clear=remove(place),
        )

    return make


def csv_to_jsonl(place: Place) -> Job:
    """Strings."""
    ours, theirs, copy = (place.folder / name for name in ("ours.jsonl", "theirs.jsonl", "theirs.copy"))
    return Job(
        dsync(place, place.csv(), ours),
        loop("csv_to_jsonl", place.csv(), theirs),
        limit("cat", place.csv(), copy),
        clear=remove(place, "ours", "theirs"),
        results={"dsync": lambda: lines_digest(ours), "against": lambda: lines_digest(theirs)},
    )


def typed_csv_to_jsonl(place: Place) -> Job:
    """Numbers as numbers."""
    ours, theirs = place.folder / "ours.jsonl", place.folder / "theirs.jsonl"
    return Job(
        dsync(place, place.csv(), "--types", TYPES, ours),
        loop("typed_csv_to_jsonl", place.csv(), theirs),
        limit("csv_reader", place.csv()),
        clear=remove(place, "ours", "theirs"),
        results={"dsync": lambda: _lines(ours), "against": lambda: _lines(theirs)},
    )


def _lines(path: Path) -> tuple[int, int]:
    with path.open() as lines:
        return values_digest(map(json.loads, lines))


def csv_to_null(place: Place) -> Job:
    """Reading alone."""
    return Job(
        dsync(place, place.csv(), "/dev/null"),
        loop("csv_to_nothing", place.csv()),
        limit("csv_reader", place.csv()),
        clear=remove(place),
    )


def csv_to_mongo(place: Place) -> Job:
    """Against what the server takes of documents that are encoded beforehand: the same ones."""
    encoded = place.folder / f"rows{place.count}.bson"
    if not encoded.exists():
        data.write_rows_as_bson(place.csv(), encoded)
    words: list[str | Path] = ["--ns", f"{place.csv().stem}:bench_to.things", place.csv(), place.uri("bench_to")]
    return Job(
        dsync(place, *words),
        limit("inserts", place.servers.mongo_uri, "bench_ceiling", encoded),
        clear=drop(place, "bench_to", "bench_ceiling"),
        results=_databases(place, "bench_ceiling"),
    )


def mongo_to_null(place: Place) -> Job:
    """Reading alone."""
    data.fill_mongo(place.servers.mongo_uri, place.source, place.count)
    words = [place.uri(place.source), "/dev/null"]
    return Job(
        dsync(place, "--mode", "InitialSync", *words),
        loop("mongo_to_nothing", place.servers.mongo_uri, place.source),
        limit("mongo_replies", place.servers.mongo_uri, place.source, str(place.count)),
        others.go_dsync("--ns", f"{place.source}.things", *words),
        clear=remove(place),
    )


def mongo_to_mongo(place: Place) -> Job:
    """Within one server."""
    uri = place.servers.mongo_uri
    data.fill_mongo(uri, place.source, place.count)
    ends = [place.uri(place.source), place.uri("bench_to")]
    restored = others.dump_and_restore(uri, place.source, "bench_other")
    go = others.go_dsync("--ns", f"{place.source}.things:bench_other.things", *ends)
    return Job(
        dsync(place, "--mode", "InitialSync", "--ns", f"{place.source}:bench_to", *ends),
        loop("mongo_to_mongo", uri, place.source, "bench_loop"),
        limit("inserts", uri, "bench_ceiling", place.bson()),
        restored | go,
        drop(place, "bench_to", "bench_loop", "bench_ceiling", "bench_other"),
        _databases(place, "bench_loop") | {name: lambda: mongo_digest(place, "bench_other") for name in restored | go},
    )


def mongo_to_s3(place: Place) -> Job:
    """Extended JSON out."""
    uri, endpoint = place.servers.mongo_uri, place.servers.s3_endpoint
    data.fill_mongo(uri, place.source, place.count)
    words = ["--mode", "InitialSync", place.uri(place.source), *s3_end(place, "bench-to")]
    return Job(
        dsync(place, *words),
        loop("mongo_to_s3", uri, place.source, endpoint, "bench-loop"),
        limit("mongo_replies_and_puts", uri, place.source, str(place.count), endpoint, "bench-limit"),
        clear=empty(place, "bench-to", "bench-loop", "bench-limit"),
        results=_buckets(place),
    )


def s3_to_mongo(place: Place) -> Job:
    """Against what the server takes of documents that are encoded beforehand."""
    data.fill_s3(place.servers.s3_endpoint, place.source, place.count)
    words = ["--ns", "things:bench_to.things", *s3_end(place, place.source), place.uri("bench_to")]
    return Job(
        dsync(place, *words),
        limit("inserts", place.servers.mongo_uri, "bench_ceiling", place.bson()),
        clear=drop(place, "bench_to", "bench_ceiling"),
        results=_databases(place, "bench_ceiling"),
    )


def s3_to_s3(place: Place) -> Job:
    """JSON in, JSON out."""
    endpoint = place.servers.s3_endpoint
    data.fill_s3(endpoint, place.source, place.count)
    return Job(
        dsync(place, *s3_end(place, place.source), *s3_end(place, "bench-to")),
        loop("s3_to_s3", endpoint, place.source, "bench-loop"),
        limit("gets_and_puts", endpoint, place.source, "bench-limit"),
        clear=empty(place, "bench-to", "bench-loop", "bench-limit"),
        results=_buckets(place),
    )


def s3_to_null(place: Place) -> Job:
    """Reading alone."""
    endpoint = place.servers.s3_endpoint
    data.fill_s3(endpoint, place.source, place.count)
    words = [*s3_end(place, place.source), "/dev/null"]
    return Job(
        dsync(place, *words),
        loop("s3_to_nothing", endpoint, place.source),
        limit("gets", endpoint, place.source),
        clear=remove(place),
    )


def verification(place: Place) -> Job:
    """Of two equal collections, both of which are read: twice as many documents as copying one to nowhere."""
    uri = place.servers.mongo_uri
    for database in (place.source, f"{place.source}same"):
        data.fill_mongo(uri, database, place.count)
    ends = [place.uri(place.source), place.uri(f"{place.source}same")]
    return Job(
        dsync(place, "--ns", f"{place.source}:{place.source}same", "verify", *ends),
        dsync(place, "--mode", "InitialSync", place.uri(place.source), "/dev/null"),
        clear=remove(place),
    )


def _databases(place: Place, theirs: str) -> dict[str, Callable[[], Any]]:
    return {"dsync": lambda: mongo_digest(place, "bench_to"), "against": lambda: mongo_digest(place, theirs)}


def _buckets(place: Place) -> dict[str, Callable[[], Any]]:
    return {"dsync": lambda: s3_digest(place, "bench-to"), "against": lambda: s3_digest(place, "bench-loop")}


_ENGINE, _CSV, _MONGO, _S3 = (2_000_000, 20_000_000), (100_000, 972_000), (100_000, 1_000_000), (50_000, 500_000)
WORKLOADS = (
    Workload("fakesource → null, one process", fakesource_to_null(1), *_ENGINE, rate=2_000_000, limit="messages alone"),
    Workload("fakesource → null, two processes", fakesource_to_null(2), *_ENGINE, rate=3_600_000),
    Workload("CSV → JSON lines", csv_to_jsonl, *_CSV, floor=2.5, against=LOOP, limit="cat"),
    Workload("CSV → JSON lines, typed", typed_csv_to_jsonl, *_CSV, floor=1.8, against=LOOP, limit="csv.reader"),
    Workload("CSV → null", csv_to_null, *_CSV, floor=2.3, against=LOOP, limit="csv.reader"),
    Workload("CSV → MongoDB", csv_to_mongo, *_CSV, floor=0.6, against=CEILING),
    Workload("MongoDB → null", mongo_to_null, *_MONGO, floor=5.5, against=LOOP, limit="raw replies"),
    Workload(
        "MongoDB → MongoDB",
        mongo_to_mongo,
        *_MONGO,
        floor=2.8,
        against=LOOP,
        limit=CEILING,
        most_bytes=200 * MEGABYTE,
    ),
    Workload("MongoDB → S3", mongo_to_s3, *_S3, floor=3.5, against=LOOP, limit="replies and puts"),
    Workload("S3 → MongoDB", s3_to_mongo, *_S3, floor=0.55, against=CEILING),
    Workload("S3 → S3", s3_to_s3, *_S3, floor=3.0, against=LOOP, limit="gets and puts"),
    Workload("S3 → null", s3_to_null, *_S3, floor=2.5, against=LOOP, limit="gets"),
    Workload("verify MongoDB and MongoDB", verification, *_MONGO, floor=0.6, against=READING, work=2),
)
