"""Generated data: a pure function of its size and a fixed seed."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson

SEED = 20240101
CITIES = ("Zürich", "Enugu", "A Coruña", "京都", "Kraków", "Delft, Zuid-Holland", "Cork", "Bergen")
WORDS = ["amber", "basalt", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty", "karst"]
CSV_HEADER = ("id", "name", "email", "city", "born", "height", "score", "note")
S3_OBJECTS = 20


def write_csv(path: Path, rows: int) -> None:
    """About 105 bytes a row in 8 columns, some quoted."""
    chance = random.Random(SEED)
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        for number in range(rows):
            first, last = chance.choice(WORDS), chance.choice(WORDS)
            note = f'{chance.choice(WORDS)}, "{chance.choice(WORDS)}"' if number % 8 == 0 else chance.choice(WORDS)
            born = f"{chance.randint(1950, 2009)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
            row = (number, f"{first} {last}", f"{first}.{last}{number}@example.org", chance.choice(CITIES), born)
            writer.writerow((*row, chance.randint(140, 210), round(chance.random() * 1000, 3), note))


def documents(count: int) -> Iterator[dict[str, Any]]:
    """About 430 bytes each as BSON, nested, of common types."""
    chance = random.Random(SEED)
    for number in range(count):
        yield {
            "_id": number,
            "name": f"{chance.choice(WORDS)} {chance.choice(WORDS)}",
            "email": f"user{number}@example.org",
            "age": chance.randint(18, 99),
            "balance": chance.random() * 10_000,
            "active": number % 3 == 0,
            "tags": [chance.choice(WORDS) for _ in range(5)],
            "address": {
                "street": f"{chance.randint(1, 400)} {chance.choice(WORDS)} street",
                "city": chance.choice(CITIES),
            },
            "scores": [chance.randint(0, 100) for _ in range(8)],
            "note": " ".join(chance.choice(WORDS) for _ in range(10)),
        }


def fill_mongo(uri: str, database: str, count: int) -> None:
    """Puts the documents into `database.things`, unless they are there."""
    from pymongo import MongoClient
    from pymongo.collection import Collection

    client: MongoClient[dict[str, Any]]
    with MongoClient(uri) as client:
        things: Collection[dict[str, Any]] = client[database].things
        if things.estimated_document_count() != count:
            things.drop()
            things.insert_many(documents(count), ordered=False)


def fill_s3(endpoint: str, bucket: str, count: int) -> None:
    """Puts the documents as JSON arrays into 20 objects below `things/`, unless they are there."""
    client = s3_client(endpoint)
    if bucket in {each["Name"] for each in client.list_buckets()["Buckets"]}:
        return
    client.create_bucket(Bucket=bucket)
    made = documents(count)
    for number in range(S3_OBJECTS):
        share = count // S3_OBJECTS + (number < count % S3_OBJECTS)
        body = json.dumps([next(made) for _ in range(share)], ensure_ascii=False, separators=(",", ":"))
        client.put_object(Bucket=bucket, Key=f"things/part-{number:05}.json", Body=body.encode())


def empty_bucket(endpoint: str, bucket: str) -> None:
    """A bucket without objects, made where there is none."""
    client = s3_client(endpoint)
    if bucket not in {each["Name"] for each in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)
    for key in s3_keys(client, bucket):
        client.delete_object(Bucket=bucket, Key=key)


def s3_keys(client: Any, bucket: str) -> list[str]:
    """The keys of all objects."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def s3_documents(endpoint: str, bucket: str) -> Iterator[Any]:
    """Every document of every object that holds some, JSON array or JSON lines."""
    client = s3_client(endpoint)
    for key in s3_keys(client, bucket):
        if not key.endswith(".metadata.json"):
            text = client.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
            yield from json.loads(text) if text.lstrip().startswith("[") else map(json.loads, text.splitlines())


def s3_client(endpoint: str) -> Any:
    """A client of the endpoint."""
    import boto3

    return boto3.client("s3", endpoint_url=endpoint)


def write_lines(path: Path, count: int) -> None:
    """The documents as JSON, one a line."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(document, ensure_ascii=False) + "\n" for document in documents(count))


def write_bson(path: Path, count: int) -> None:
    """The documents as mongodump would write them."""
    with path.open("wb") as out:
        out.writelines(map(bson.encode, documents(count)))


def write_rows_as_bson(source: Path, path: Path) -> None:
    """The rows of a CSV file as dsync puts them into MongoDB: strings, `id` as `_id`."""
    with source.open(newline="", encoding="utf-8") as rows, path.open("wb") as out:
        for row in csv.DictReader(rows):
            out.write(bson.encode({"_id": row.pop("id"), **row}))
