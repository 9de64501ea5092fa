"""Where a bench has its data, how its commands begin, what is cleared between them, and whether results are equal."""

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


def limit(name: str, *words: str | Path) -> list[str]:
    """A limit's command."""
    return [sys.executable, "-m", "bench.limits", name, *map(str, words)]


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
