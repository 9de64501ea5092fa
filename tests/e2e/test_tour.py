"""Each data file the whole way round: file -> MongoDB -> S3 -> MongoDB -> file, compared by the oracle."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.kit import documents, oracle
from tests.kit.cli import TOP, Dsync

SHARED = TOP.parent / "shared" / "data"
OURS = TOP / "test_data"
NAMES = ["accounts", "customers", "theaters", "countries", "grades", "restaurants"]
FILES = [*(SHARED / f"{name}.jsonl" for name in NAMES), SHARED / "airports.csv"]
FILES += [OURS / name for name in ("people.csv", "products.jsonl", "events.json", "orders.bson")]
AIRPORT_COLUMNS = "id,name,city,country,iata,icao,latitude,longitude,altitude,timezone,dst,tz,type,source"
OPTIONS = {"airports": ["--header", "no", "--columns", AIRPORT_COLUMNS, "--null", r"\N", "--types", "infer"]}


@pytest.fixture
def second_database(mongo: MongoClient[dict[str, Any]], database: str) -> Iterator[str]:
    name = f"{database}_again"
    yield name
    mongo.drop_database(name)


def at(mongo_uri: str, database: str) -> str:
    return mongo_uri.replace("/?", f"/{database}?")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_comes_back_byte_for_byte_from_the_whole_tour(
    dsync: Dsync, mongo_uri: str, s3_endpoint: str, bucket: str, database: str, second_database: str, path: Path
) -> None:
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    first, second = at(mongo_uri, database), at(mongo_uri, second_database)
    dsync(path, *OPTIONS.get(path.stem, []), first)
    dsync(first, f"s3://{bucket}/tour", "--endpoint", s3_endpoint)
    dsync("--ns", f"{database}:{second_database}", f"s3://{bucket}/tour", "--endpoint", s3_endpoint, second)
    dsync(second, "back.bson")

    report = oracle.compare(oracle.mongo_side(mongo_uri, database), oracle.mongo_side(mongo_uri, second_database))
    assert report.equal, report
    assert report.left == count(path)
    back = oracle.bson_side(dsync.folder / "back.bson", namespace=path.stem)
    assert oracle.compare(oracle.mongo_side(mongo_uri, database), back).equal
    if path.suffix == ".jsonl":
        texts = [line for line in path.read_text().splitlines() if line.strip()]
        assert contents(oracle.mongo_side(mongo_uri, database)) == Counter(map(expected, texts))
    if path.suffix == ".bson":
        assert oracle.compare(oracle.bson_side(path), oracle.mongo_side(mongo_uri, database)).equal


def count(path: Path) -> int:
    """How many documents a file holds, found without dsync."""
    if path.suffix == ".csv":
        with path.open(newline="") as lines:
            return sum(1 for _ in csv.reader(lines, strict=True)) - (path.stem not in OPTIONS)
    if path.suffix == ".bson":
        return len(list(oracle.documents(path.read_bytes())))
    if path.suffix == ".json":
        return len(documents.parse(path.read_text()))
    return sum(1 for line in path.read_text().splitlines() if line.strip())


def expected(text: str) -> str:
    """What the driver's own reader makes of a line, with `_id` in front, where the server moves it."""
    document = documents.parse(text)
    return documents.canonical({"_id": document["_id"], **document})


def contents(side: Iterator[oracle.Placed]) -> Counter[str]:
    return Counter(documents.canonical(document) for _, document in side)
