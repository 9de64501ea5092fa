"""What URIs and options mean, before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.s3 import settings
from connectors.s3.connector import S3Connector
from dsync import wire
from dsync.errors import UsageError


@pytest.mark.parametrize(
    ("uri", "options", "bucket", "prefix", "is_folder"),
    [
        ("s3://bucket", {}, "bucket", "", True),
        ("s3://bucket/", {}, "bucket", "", True),
        ("s3://bucket/a/b", {}, "bucket", "a/b", False),
        ("s3://bucket/a/b/", {}, "bucket", "a/b", True),
        ("S3://my.bucket/a%20b c/d?e#f", {}, "my.bucket", "a%20b c/d?e#f", False),
        ("s3://bucket", {"prefix": "a/b"}, "bucket", "a/b", False),
        ("s3://bucket/a", {"prefix": "b/"}, "bucket", "a/b", True),
    ],
)
def test_the_path_of_a_uri_is_a_prefix_as_it_stands(
    uri: str, options: dict[str, Any], bucket: str, prefix: str, is_folder: bool
) -> None:
    found = settings.parse(uri, options)
    assert (found.bucket, found.prefix, found.is_folder) == (bucket, prefix, is_folder)


@pytest.mark.parametrize(
    ("uri", "options", "words"),
    [
        ("s3://", {}, "names no bucket"),
        ("s3:///prefix", {}, "names no bucket"),
        ("s3://a b/c", {}, "names no bucket"),
        ("s3://ab", {}, "names no bucket"),
        ("s3://bucket", {"endpoint": "localhost:9000"}, "--endpoint is not an address"),
        ("s3://bucket", {"endpoint": "http://"}, "--endpoint is not an address"),
        ("s3://bucket", {"endpoint": "http://host:99999"}, "--endpoint is not an address"),
        ("s3://bucket", {"access_key_id": "x"}, "--secret-access-key is missing"),
        ("s3://bucket", {"secret_access_key": "x"}, "--access-key-id is missing"),
        ("s3://bucket", {"session_token": "x"}, "without keys"),
        ("s3://bucket", {"output_format": "csv"}, "use one of json, jsonl"),
        ("s3://bucket", {"compression": "lz4"}, "use one of none, gzip, zstd"),
        ("s3://bucket", {"max_file_size": 0}, "1 to 1024"),
        ("s3://bucket", {"max_file_size": "8"}, "1 to 1024"),
        ("s3://bucket", {"partition_size": "1MiB"}, "4MiB or more"),
        ("s3://bucket", {"partition_size": "many"}, "4MiB or more"),
    ],
)
def test_what_cannot_work_is_a_usage_error(uri: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        S3Connector(uri, options)


@pytest.mark.parametrize(
    ("size", "expected"),
    [("0", 0), (0, 0), ("64MiB", 64 << 20), ("64m", 64 << 20), ("1 GB", 1 << 30), (5 << 20, 5 << 20)],
)
def test_sizes_are_read_with_their_units(size: object, expected: int) -> None:
    assert settings.parse("s3://bucket", {"partition_size": size}).partition_bytes == expected


@pytest.mark.parametrize(
    ("endpoint", "path_style"),
    [
        (None, False),
        ("http://localhost:9000", True),
        ("http://127.0.0.1:9000", True),
        ("http://[::1]:9000", True),
        ("http://minio:9000", True),
        ("https://s3.example.com", False),
    ],
)
def test_hosts_without_subdomains_are_addressed_by_path(endpoint: str | None, path_style: bool) -> None:
    assert settings.parse("s3://bucket", {"endpoint": endpoint}).path_style is path_style


async def identity(uri: str, **options: Any) -> str:
    connector = S3Connector(uri, options)
    await connector._bucket._sign_in()
    info = await connector.GetInfo(wire.GetInfoRequest())
    await connector.close()
    return info.id


async def test_the_identity_is_server_bucket_and_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert await identity("s3://bucket/a/", region="eu-west-1") == await identity("s3://bucket/a") == "s3:aws/bucket/a"
    assert await identity("s3://bucket", endpoint="http://HOST:9000/") == "s3:host:9000/bucket/"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9000")
    assert await identity("s3://bucket/a") == "s3:localhost:9000/bucket/a"
