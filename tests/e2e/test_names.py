"""Namespaces of every name go through folders and prefixes and come back as they were."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient

from tests.kit import oracle
from tests.kit.cli import Dsync

NAMES = [
    "plain",
    "with.dots",
    "with/slash",
    "with\\backslash",
    "space ",
    " space",
]
NAMES += [
    "Upper",
    "upper",
    "日本語",
    "🦉",
    "caf\u00e9",
    "cafe\u0301",
    "a%2Fb",
    "%",
    "new\nline",
    "quote'\"",
    "-rf",
    "CON",
    "x" * 190,
]
NAMES += ["systematic", "a,b:c", "*?<>|", "con.json", "part-0.json", "x.metadata.json"]


def fill(mongo: MongoClient[dict[str, Any]], database: str) -> None:
    for name in NAMES:
        mongo[database][name].insert_one({"_id": name, "n": len(name)})


def at(mongo_uri: str, database: str) -> str:
    return mongo_uri.replace("/?", f"/{database}?")


def equal(mongo_uri: str, left: str, right: str) -> oracle.Report:
    return oracle.compare(oracle.mongo_side(mongo_uri, left), oracle.mongo_side(mongo_uri, right))


def test_every_collection_name_goes_through_a_folder_and_stays_under_it(
    dsync: Dsync, mongo: MongoClient[dict[str, Any]], mongo_uri: str, database: str
) -> None:
    fill(mongo, database)
    before = set(dsync.folder.parent.rglob("*"))
    dsync(at(mongo_uri, database), "out/")
    new = {path.relative_to(dsync.folder).parts[0] for path in set(dsync.folder.parent.rglob("*")) - before}
    assert new <= {"out", "home"}
    mongo.drop_database(f"{database}_b")
    dsync("--ns", f"{database}:{database}_b", "out/", at(mongo_uri, f"{database}_b"))
    report = equal(mongo_uri, database, f"{database}_b")
    mongo.drop_database(f"{database}_b")
    assert report.equal, report
    assert report.left == len(NAMES)


def test_every_collection_name_goes_through_a_prefix(
    dsync: Dsync, mongo: MongoClient[dict[str, Any]], mongo_uri: str, database: str, s3_endpoint: str, bucket: str
) -> None:
    fill(mongo, database)
    dsync(at(mongo_uri, database), f"s3://{bucket}/names", "--endpoint", s3_endpoint)
    dsync(
        "--ns",
        f"{database}:{database}_b",
        f"s3://{bucket}/names",
        "--endpoint",
        s3_endpoint,
        at(mongo_uri, f"{database}_b"),
    )
    report = equal(mongo_uri, database, f"{database}_b")
    mongo.drop_database(f"{database}_b")
    assert report.equal, report
