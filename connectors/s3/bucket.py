"""The few requests that the connector makes, as coroutines: boto3 in threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

import orjson
from botocore.config import Config
from botocore.loaders import JSONFileLoader, Loader
from botocore.session import Session
from msgspec import Struct

from connectors.s3.failures import explained
from connectors.s3.settings import Settings, has_no_subdomains
from dsync.errors import DsyncError, EndpointError, NotFoundError, TransientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Result = TypeVar("Result")

# Requests under way at once; more of them only wait for each other.
THREADS = 16
CONNECT_SECONDS, READ_SECONDS = 10, 60
DELETE_KEYS = 1000
DEFAULT_REGION = "us-east-1"


class _Files(JSONFileLoader):
    """Reads botocore's files with orjson, 25 ms sooner than the standard library does."""

    def load_file(self, file_path: str) -> Any:
        """See botocore; None: there is no such file."""
        for suffix, opened in ((".json", open), (".json.gz", gzip.open)):
            with contextlib.suppress(FileNotFoundError), opened(file_path + suffix, "rb") as file:
                return orjson.loads(file.read())
        return None


# What botocore knows of services, megabytes of JSON, read once a process instead of once a client.
class _Descriptions(Loader):
    FILE_LOADER_CLASS = _Files

    def list_available_services(self, type_name: str) -> list[str]:
        """The one that is asked for: looking into the folders of four hundred takes 30 ms."""
        return ["s3"]


_descriptions = _Descriptions()


class Entry(Struct, frozen=True):
    """An object as a listing shows it."""

    key: str
    size: int
    etag: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """What comes before the name, with its slash; empty for none."""
        return self.key[: len(self.key) - len(self.name)]


class Bucket:
    """A bucket; requests are made once, whoever calls tries again. Raises errors of dsync alone."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._client: S3Client | None = None

    async def open(self) -> None:
        """Signs in and asks for one key. Raises EndpointError where the bucket cannot be used."""
        try:
            await self._sign_in()
            await self._list(self.settings.prefix, "", 1)
        except TransientError as error:
            if "answered" in error.message:
                raise
            raise EndpointError(error.message, remedy="check --endpoint and the network") from error

    async def _sign_in(self) -> None:
        self._client = await self._run("", _client, self.settings)

    async def close(self) -> None:
        """Waits for the requests that are under way, so that nothing is written afterwards."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Does work in one of the bucket's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def walk(self, prefix: str) -> AsyncIterator[Entry]:
        """Every object whose key begins with `prefix`, in the order of keys."""
        token = ""
        while True:
            entries, token = await self._list(prefix, token, 1000)
            for entry in entries:
                yield entry
            if not token:
                return

    async def find(self, key: str) -> Entry | None:
        """The object of just this key; None: there is none."""
        entries, _ = await self._list(key, "", 1)
        return entries[0] if entries and entries[0].key == key else None

    async def folder(self, folder: str) -> Sequence[Entry]:
        """The objects of one folder, without those of the folders in it; directory markers are none."""
        found: list[Entry] = []
        token = ""
        while True:
            entries, token = await self._list(folder, token, 1000, "/")
            found += [entry for entry in entries if entry.name]
            if not token:
                return found

    async def get(self, entry: Entry, start: int, end: int) -> bytes:
        """Bytes `start` to `end` of an object. Raises CursorError where it is no longer the one that was listed."""
        if start >= end:
            return b""
        try:
            return await self._run(entry.key, self._get, entry, start, end)
        except NotFoundError as error:
            raise NotFoundError(
                f"{self.settings.shown(entry.key)!r} is gone since the copy was planned", remedy="copy with --restart"
            ) from error

    async def fetch(self, key: str) -> bytes | None:
        """A small object as a whole; None: it is not there."""
        try:
            return await self._run(key, self._fetch, key)
        except NotFoundError:
            return None

    async def head(self, key: str) -> Mapping[str, str] | None:
        """An object's metadata; None: it is not there."""
        try:
            return await self._run(key, self._head, key)
        except NotFoundError:
            return None

    async def put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> str:
        """Writes an object as a whole, replacing what was there; the server checks its checksum before it answers.

        Answers the object's ETag.
        """
        return await self._run(key, self._put, key, body, content_type, metadata)

    async def delete(self, keys: Sequence[str]) -> None:
        """Deletes objects; those that are not there are no error."""
        for at in range(0, len(keys), DELETE_KEYS):
            await self._run("", self._delete, keys[at : at + DELETE_KEYS])

    @property
    def identity(self) -> str:
        """The store: server, bucket and prefix; all of Amazon's servers are one."""
        host = urlsplit(self.client.meta.endpoint_url).netloc.lower()
        server = "aws" if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else host
        return f"s3:{server}/{self.settings.bucket}/{self.settings.prefix}"

    @property
    def client(self) -> S3Client:
        """boto3's client; safe in threads."""
        if self._client is None:
            raise DsyncError("the S3 connector is not open")
        return self._client

    async def _run(self, key: str, work: Callable[..., Result], *arguments: object) -> Result:
        with explained(self.settings, key):
            return await self.run(work, *arguments)

    async def _list(self, prefix: str, token: str, limit: int, delimiter: str = "") -> tuple[list[Entry], str]:
        return await self._run("", self._list_page, prefix, token, limit, delimiter)

    def _list_page(self, prefix: str, token: str, limit: int, delimiter: str) -> tuple[list[Entry], str]:
        where = {"Bucket": self.settings.bucket, "Prefix": prefix, "Delimiter": delimiter, "ContinuationToken": token}
        given = {name: value for name, value in where.items() if value}
        answer = self.client.list_objects_v2(MaxKeys=limit, **given)  # type: ignore[arg-type]  # all of them are str
        entries = [Entry(found["Key"], found["Size"], found["ETag"]) for found in answer.get("Contents", [])]
        return entries, answer.get("NextContinuationToken", "") if answer["IsTruncated"] else ""

    def _get(self, entry: Entry, start: int, end: int) -> bytes:
        bucket, key = self.settings.bucket, entry.key
        if start == 0 and end == entry.size:  # answers to requests for ranges carry no checksum
            body = self.client.get_object(Bucket=bucket, Key=key, IfMatch=entry.etag)["Body"].read()
        else:
            span = f"bytes={start}-{end - 1}"
            body = self.client.get_object(Bucket=bucket, Key=key, IfMatch=entry.etag, Range=span)["Body"].read()
        if len(body) != end - start:
            raise TransientError(f"{self.settings.shown(key)!r} arrived in part: {len(body)} of {end - start} bytes")
        return body

    def _fetch(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.settings.bucket, Key=key)["Body"].read()

    def _head(self, key: str) -> Mapping[str, str]:
        return self.client.head_object(Bucket=self.settings.bucket, Key=key)["Metadata"]

    def _put(self, key: str, body: bytes, content_type: str, metadata: Mapping[str, str]) -> str:
        answer = self.client.put_object(
            Bucket=self.settings.bucket,
            Key=key,
            Body=body,
            ContentType=content_type,
            Metadata=metadata,
            ChecksumAlgorithm="CRC32",
        )
        return answer["ETag"]

    def _delete(self, keys: Sequence[str]) -> None:
        answer = self.client.delete_objects(
            Bucket=self.settings.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
        for failure in answer.get("Errors", []):
            kind = EndpointError if failure.get("Code") == "AccessDenied" else TransientError
            shown = self.settings.shown(failure.get("Key", ""))
            raise kind(f"{shown!r} could not be deleted ({failure.get('Code', '')})")


def _client(settings: Settings) -> S3Client:
    session = Session(profile=settings.credentials.profile)
    session.register_component("data_loader", _descriptions)
    client = _create(session, settings, "path" if settings.path_style else "auto")
    # The AWS configuration may name an endpoint, too.
    if not settings.path_style and has_no_subdomains(client.meta.endpoint_url):
        client = _create(session, settings, "path")
    return client


def _create(session: Session, settings: Settings, addressing: Literal["auto", "path"]) -> S3Client:
    keys = settings.credentials
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=THREADS,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        s3={"addressing_style": addressing},
        tcp_keepalive=True,
    )
    client = session.create_client(
        "s3",
        region_name=settings.region or session.get_config_variable("region") or DEFAULT_REGION,
        endpoint_url=settings.endpoint,
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        aws_session_token=keys.session_token,
        config=config,
    )
    return cast("S3Client", client)
