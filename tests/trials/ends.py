"""The stores of the trials: how each is filled, named on a command line and read back, without a line of dsync."""

from __future__ import annotations

import contextlib
import csv
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
import bson
from bson import json_util
from pymongo import MongoClient

from tests.kit import oracle

Documents = dict[str, list[bytes]]
LIBERAL = json_util.JSONOptions(json_mode=json_util.JSONMode.RELAXED, document_class=dict)


def generate(seed: int, namespaces: int = 2, documents: int = 12_000) -> Documents:
    """Small documents of several types, the same for the same seed; ids are unique in a namespace."""
    chance = random.Random(seed)
    made: Documents = {}
    for number in range(namespaces):
        count = documents if number == 0 else documents // 10
        made[f"ns{number}"] = [
            bson.encode(
                {
                    "_id": index if index % 3 else f"id {index}",
                    "number": bson.Int64(chance.randrange(1 << 40)),
                    "text": "x" * chance.randrange(60),
                    "nested": {"list": [index, None, chance.random()]},
                }
            )
            for index in range(count)
        ]
    return made


class End(Protocol):
    """A store that can be filled, named and read; `name` is unique to a trial."""

    def fill(self, documents: Documents) -> None:
        """Puts documents in before the trial."""

    def words(self, *, written: bool = False) -> list[str]:
        """Its URI and options, as the source or as what is written."""

    def read(self) -> Iterator[oracle.Placed]:
        """Everything in it, as BSON, by namespace."""

    def leftovers(self) -> list[str]:
        """What may not be there after a run that ended with 0."""

    def remove(self) -> None:
        """Everything of it."""


@dataclass(frozen=True)
class Mongo:
    """A database."""

    uri: str
    name: str

    def fill(self, documents: Documents) -> None:
        client: MongoClient[Any]
        with MongoClient(self.uri) as client:
            for namespace, found in documents.items():
                client[self.name][namespace].insert_many(map(bson.raw_bson.RawBSONDocument, found))

    def words(self, *, written: bool = False) -> list[str]:
        return [self.uri.replace("/?", f"/{self.name}?")]

    def read(self) -> Iterator[oracle.Placed]:
        yield from oracle.mongo_side(self.uri, self.name)

    def leftovers(self) -> list[str]:
        return []

    def remove(self) -> None:
        client: MongoClient[Any]
        with MongoClient(self.uri) as client:
            client.drop_database(self.name)


@dataclass(frozen=True)
class Files:
    """A folder of files of one format."""

    folder: Path
    format: str

    def fill(self, documents: Documents) -> None:
        self.folder.mkdir(parents=True)
        for namespace, found in documents.items():
            path = self.folder / f"{namespace}.{self.format}"
            if self.format == "bson":
                path.write_bytes(b"".join(found))
            else:
                path.write_text("".join(json_util.dumps(bson.decode(d), json_options=LIBERAL) + "\n" for d in found))

    def words(self, *, written: bool = False) -> list[str]:
        return [f"{self.folder}/", "--format", self.format, *(["--types", "ejson"] if self.format == "csv" else [])]

    def read(self) -> Iterator[oracle.Placed]:
        if self.format == "bson" and self.folder.exists():
            yield from oracle.bson_side(self.folder)
            return
        for path in sorted(self.folder.rglob(f"*.{self.format}")):
            if self.format == "csv":
                yield from ((path.stem, document) for document in from_cells(path))
                continue
            for line in path.read_text().splitlines():
                yield path.stem, from_text(line)

    def leftovers(self) -> list[str]:
        inside = {path.relative_to(self.folder) for path in self.folder.rglob("*")}
        return [str(path) for path in inside if path.suffix in {".part", ".tmp"} or len(path.parts) > 2]

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class S3:
    """A bucket with objects of JSON lines."""

    endpoint: str
    bucket: str

    def _client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.endpoint)

    def fill(self, documents: Documents) -> None:
        client = self._client()
        client.create_bucket(Bucket=self.bucket)
        for namespace, found in documents.items():
            half = len(found) // 2
            for part, some in enumerate((found[:half], found[half:])):
                text = "".join(json_util.dumps(bson.decode(d), json_options=LIBERAL) + "\n" for d in some)
                client.put_object(Bucket=self.bucket, Key=f"data/{namespace}/{part}.jsonl", Body=text.encode())

    def words(self, *, written: bool = False) -> list[str]:
        with contextlib.suppress(Exception):  # it may be there already
            self._client().create_bucket(Bucket=self.bucket)
        form = ["--output-format", "jsonl"] if written else []
        return [f"s3://{self.bucket}/data", "--endpoint", self.endpoint, *form]

    def read(self) -> Iterator[oracle.Placed]:
        client = self._client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="data/"):
            for found in page.get("Contents", ()):
                namespace, _, name = found["Key"].removeprefix("data/").rpartition("/")
                if name.endswith(".jsonl"):
                    text = client.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read().decode()
                    for line in text.splitlines():
                        yield namespace, from_text(line)

    def leftovers(self) -> list[str]:
        return []

    def remove(self) -> None:
        client = self._client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for found in page.get("Contents", ()):
                client.delete_object(Bucket=self.bucket, Key=found["Key"])
        client.delete_bucket(Bucket=self.bucket)


def database_of(end: End) -> str:
    """The database of an end; empty where it has none."""
    return end.name if isinstance(end, Mongo) else ""


def from_text(line: str) -> bytes:
    """A document of Extended JSON as the driver's own reader understands it."""
    return bson.encode(json_util.loads(line, json_options=LIBERAL))


def from_cells(path: Path) -> Iterator[bytes]:
    """Documents of a CSV whose cells are text, Extended JSON, nothing for a missing value, or `\\N` for null."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file, strict=True):
            yield bson.encode({name: from_cell(cell) for name, cell in row.items() if cell})


def from_cell(cell: str) -> Any:
    """A value as `--types ejson` writes it."""
    if cell == "\\N":
        return None
    try:
        return json_util.loads(cell, json_options=LIBERAL)
    except ValueError:
        return cell


def make(kind: str, name: str, folder: Path, mongo_uri: str, s3_endpoint: str) -> End:
    """An end of a kind: mongo, bson, jsonl, csv (only to be written) or s3."""
    if kind == "mongo":
        return Mongo(mongo_uri, name)
    if kind == "s3":
        return S3(s3_endpoint, name.replace("_", "-"))
    return Files(folder / name, kind)
