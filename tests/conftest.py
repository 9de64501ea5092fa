"""Fixtures that every test may use: servers once a session and worker, names of its own for each test."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis  # its plugin would import it at the very end, where CPython 3.11 sometimes fails to parse it
import pytest
from pymongo import MongoClient

from tests.kit import mongod, process, s3

# What CI says of a change depends on the change alone; everywhere else each run draws other examples.
hypothesis.settings.register_profile("ci", derandomize=True)
if process.in_ci():
    hypothesis.settings.load_profile("ci")


@contextlib.contextmanager
def _missing_skips() -> Iterator[None]:
    """Turns a server that cannot be had into a skip, in CI into a failure."""
    try:
        yield
    except process.MissingServerError as error:
        if process.in_ci():
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def mongo_uri() -> Iterator[str]:
    """The URI of a replica set, without a database; use a database of your own."""
    with _missing_skips(), mongod.replica_set() as uri:
        yield uri


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of an S3 endpoint; the environment holds credentials for it."""
    with _missing_skips(), s3.endpoint() as url, s3.credentials():
        yield url


@pytest.fixture(scope="session")
def mongo(mongo_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client of the replica set, to prepare and look at what a test is about."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo_uri) as client:
        yield client


@pytest.fixture
def database(mongo: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The name of a database that only this test uses; dropped afterwards."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    mongo.drop_database(name)


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    """The name of a new, empty bucket."""
    import boto3

    name = f"t{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=name)
    return name
