"""What the bare driver, the bare parser or `cat` reaches with the same data: `python -m bench.limits NAME ARGUMENTS`.

Nothing here does the work of a copy; no program can be faster, so the distance says what is left to gain.
"""

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BATCH = 4000
DURABLE = {"w": "majority", "j": True}
THREADS = 4
BLOCK_BYTES = 1 << 20


def messages(count: str, page: str) -> None:
    """Protobuf's answers and requests around pages that are there already."""
    from dsync import wire

    documents = [bytes(100)] * int(page)
    for _ in range(int(count) // int(page)):
        answer = wire.ListDataResponse(data=documents)
        wire.WriteDataRequest(data=answer.data)


def cat(source: str, target: str) -> None:
    """The bytes of a file into another one, made durable."""
    with Path(source).open("rb") as file, Path(target).open("wb") as out:
        while block := file.read(BLOCK_BYTES):
            out.write(block)
        out.flush()
        os.fsync(out.fileno())


def csv_reader(source: str) -> None:
    """csv.reader, and nothing done with its rows."""
    with Path(source).open(newline="", encoding="utf-8") as rows:
        for _ in csv.reader(rows, strict=True):
            pass


def inserts(uri: str, target: str, source: str) -> None:
    """Batches encoded beforehand, four connections, raw and durable inserts."""
    from pymongo import MongoClient

    client: MongoClient[dict[str, Any]] = MongoClient(uri)

    def insert(batch: list[Any]) -> None:
        client[target].command("insert", "things", documents=batch, ordered=False, writeConcern=DURABLE)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(insert, _raw_batches(Path(source).read_bytes())))


def mongo_replies(uri: str, database: str, count: str) -> None:
    """Raw replies of the driver, four ranges of `_id` at a time, not even sliced."""
    _each_reply(uri, database, int(count), lambda reply: None)


def mongo_replies_and_puts(uri: str, database: str, count: str, endpoint: str, bucket: str) -> None:
    """The same, each reply put as an object as it is."""
    client, number = _s3(endpoint), itertools.count()

    def put(reply: bytes) -> None:
        client.put_object(Bucket=bucket, Key=f"things/{next(number)}", Body=reply)

    _each_reply(uri, database, int(count), put)


def gets(endpoint: str, bucket: str) -> None:
    """Four objects at a time."""
    client = _s3(endpoint)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda key: len(_get(client, bucket, key)), _keys(client, bucket)))


def gets_and_puts(endpoint: str, bucket: str, target: str) -> None:
    """Four objects at a time, put as they come."""
    client = _s3(endpoint)

    def copy(key: str) -> None:
        client.put_object(Bucket=target, Key=key, Body=_get(client, bucket, key))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(copy, _keys(client, bucket)))


def _each_reply(uri: str, database: str, count: int, use: Callable[[bytes], None]) -> None:
    from pymongo import MongoClient

    client: Any = MongoClient(uri)
    things = client[database].things
    share = -(-count // THREADS)

    def read(start: int) -> None:
        for reply in things.find_raw_batches({"_id": {"$gte": start, "$lt": start + share}}, batch_size=BATCH):
            use(reply)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(read, range(0, count, share)))


def _raw_batches(content: bytes) -> Iterator[list[Any]]:
    from bson.raw_bson import RawBSONDocument

    from tests.kit import oracle

    documents = map(RawBSONDocument, oracle.documents(content))
    while batch := list(itertools.islice(documents, BATCH)):
        yield batch


def _s3(endpoint: str) -> Any:
    from bench import data

    return data.s3_client(endpoint)


def _keys(client: Any, bucket: str) -> list[str]:
    from bench import data

    return data.s3_keys(client, bucket)


def _get(client: Any, bucket: str, key: str) -> bytes:
    body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


LIMITS: dict[str, Callable[..., None]] = {
    limit.__name__: limit
    for limit in (
        messages,
        cat,
        csv_reader,
        inserts,
        mongo_replies,
        mongo_replies_and_puts,
        gets,
        gets_and_puts,
    )
}

if __name__ == "__main__":
    LIMITS[sys.argv[1]](*sys.argv[2:])
