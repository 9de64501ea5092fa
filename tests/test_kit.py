"""The test servers themselves."""

from __future__ import annotations

from typing import Any

import boto3
from pymongo import MongoClient

from tests.kit import mongod


def test_the_replica_set_takes_writes_and_streams_changes(mongo: MongoClient[dict[str, Any]], database: str) -> None:
    collection = mongo[database].things
    with collection.watch() as changes:
        collection.insert_one({"_id": 1})
        assert next(changes)["documentKey"] == {"_id": 1}


def test_a_killed_server_comes_back_with_its_data() -> None:
    with mongod.Mongod() as server:
        client: MongoClient[dict[str, Any]] = MongoClient(server.uri, w="majority", journal=True)
        with client:
            client.shop.orders.insert_one({"_id": 1})
            server.kill()
            server.start()
            assert client.shop.orders.find_one() == {"_id": 1}


def test_objects_come_back_from_the_bucket(s3_endpoint: str, bucket: str) -> None:
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.put_object(Bucket=bucket, Key="a/b", Body=b"c")
    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"c"
