"""What a careful person writes by hand, in one process: `python -m bench.loops NAME ARGUMENTS`."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BATCH = 1000


def csv_to_jsonl(source: str, target: str) -> None:
    """csv.DictReader and orjson."""
    import orjson

    with Path(source).open(newline="", encoding="utf-8") as rows, Path(target).open("wb") as out:
        out.writelines(orjson.dumps(row) + b"\n" for row in csv.DictReader(rows))


def csv_to_nothing(source: str) -> None:
    """The same without its file."""
    import orjson

    with Path(source).open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            orjson.dumps(row)


def typed_csv_to_jsonl(source: str, target: str) -> None:
    """With the numbers as numbers."""
    import orjson

    with Path(source).open(newline="", encoding="utf-8") as rows, Path(target).open("wb") as out:
        for row in csv.DictReader(rows):
            typed: dict[str, Any] = dict(row)
            typed["id"], typed["height"], typed["score"] = int(row["id"]), int(row["height"]), float(row["score"])
            out.write(orjson.dumps(typed) + b"\n")


def mongo_to_nothing(uri: str, database: str) -> None:
    """find()."""
    for _ in _client(uri)[database].things.find():
        pass


def mongo_to_mongo(uri: str, database: str, target: str) -> None:
    """find() and insert_many of 1,000."""
    client = _client(uri)
    found = client[database].things.find()
    while batch := list(itertools.islice(found, BATCH)):
        client[target].things.insert_many(batch, ordered=False)


def s3_to_s3(endpoint: str, bucket: str, target: str) -> None:
    """boto3 get, json, put."""
    client = _s3(endpoint)
    for key, texts in _objects(client, bucket):
        body = json.dumps(texts, ensure_ascii=False).encode()
        client.put_object(Bucket=target, Key=key, Body=body)


def s3_to_nothing(endpoint: str, bucket: str) -> None:
    """The same without its put."""
    for _ in _objects(_s3(endpoint), bucket):
        pass


def mongo_to_s3(uri: str, database: str, endpoint: str, target: str) -> None:
    """find(), json_util, put, 10,000 documents an object."""
    from bson import json_util

    client, found = _s3(endpoint), _client(uri)[database].things.find()
    for number in itertools.count():
        batch = list(itertools.islice(found, 10 * BATCH))
        if not batch:
            break
        client.put_object(Bucket=target, Key=f"things/part-{number:05}.json", Body=json_util.dumps(batch).encode())


def _client(uri: str) -> Any:
    from pymongo import MongoClient

    return MongoClient(uri)


def _s3(endpoint: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=endpoint)


def _objects(client: Any, bucket: str) -> Iterator[tuple[str, Any]]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            yield item["Key"], json.loads(client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())


LOOPS: dict[str, Callable[..., None]] = {
    loop.__name__: loop
    for loop in (
        csv_to_jsonl,
        csv_to_nothing,
        typed_csv_to_jsonl,
        mongo_to_nothing,
        mongo_to_mongo,
        s3_to_s3,
        s3_to_nothing,
        mongo_to_s3,
    )
}

if __name__ == "__main__":
    LOOPS[sys.argv[1]](*sys.argv[2:])
