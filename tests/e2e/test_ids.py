"""Every legal type of `_id` comes over, whatever the partitions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from tests.kit import documents, oracle
from tests.kit.cli import Dsync

COUNT = 200_000
PARTITIONS = 20


@pytest.fixture(scope="module")
def mixed(mongo: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """A database whose one collection has 200,000 ids of ten types."""
    name = f"mixed_{os.getpid()}"
    mongo[name].things.insert_many(documents.ids_of_ten_types(COUNT), ordered=False)
    yield name
    mongo.drop_database(name)


def at(mongo_uri: str, database: str) -> str:
    return mongo_uri.replace("/?", f"/{database}?")


def test_two_hundred_thousand_ids_of_ten_types_in_twenty_partitions_all_come_over(
    dsync: Dsync, mongo_uri: str, database: str, mixed: str
) -> None:
    source = [at(mongo_uri, mixed), "--doc-partition", str(COUNT // PARTITIONS)]
    plan = dsync("--ns", f"{mixed}:{database}", "plan", *source, at(mongo_uri, database))
    assert f"{PARTITIONS} partitions" in plan.out, plan
    dsync("--mode", "InitialSync", "--ns", f"{mixed}:{database}", *source, at(mongo_uri, database))
    report = oracle.compare(oracle.mongo_side(mongo_uri, mixed), oracle.mongo_side(mongo_uri, database))
    assert report.left == COUNT
    assert report.equal, report


def test_ids_of_ten_types_go_through_a_file_and_back(dsync: Dsync, mongo_uri: str, database: str, mixed: str) -> None:
    dsync(at(mongo_uri, mixed), "--initial-sync-query", '{"n": {"$lt": 5000}}', "mixed.jsonl.gz")
    dsync("--ns", f"mixed:{database}.things", "mixed.jsonl.gz", at(mongo_uri, database))
    kept = {documents.canonical({"_id": each["_id"]}) for each in documents.ids_of_ten_types(5010) if each["n"] < 5000}
    arrived = list(oracle.mongo_side(mongo_uri, database))
    assert len(arrived) == len(kept)
    assert oracle.compare(only(oracle.mongo_side(mongo_uri, mixed), arrived), arrived).equal


def only(side: Iterator[oracle.Placed], wanted: list[oracle.Placed]) -> Iterator[oracle.Placed]:
    ids = {oracle.id_of(document) for _, document in wanted}
    return (placed for placed in side if oracle.id_of(placed[1]) in ids)
