"""What the tests do with a connector, and how they look at a server without it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from connectors.mongo.connector import MongoConnector
from dsync import wire
from dsync.codec import raw
from dsync.codec.errors import InvalidBson
from dsync.codec.whole import Documents
from dsync.wire.local import LocalBatch

Mongo = MongoClient[dict[str, Any]]
RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def uri_of(uri: str, database: str = "", *, app: str = "") -> str:
    """The URI with this database and application name; fail points go by the latter."""
    base, _, options = uri.partition("?")
    match = re.match(r"(mongodb(?:\+srv)?://[^/]+)", base)
    assert match
    joined = "&".join(part for part in (options, f"appName={app}" if app else "") if part)
    return f"{match[1]}/{database}?{joined}"


async def plan(connector: MongoConnector, *names: str) -> wire.GeneratePlanResponse:
    return await connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=names, initial_sync=True))


async def pages(
    connector: MongoConnector, partition: wire.Partition, *, cold: bool = False
) -> list[tuple[list[bytes], bytes]]:
    """All pages of a partition with their next cursors; `cold` reads each without what an earlier one left open."""
    found, cursor = [], b""
    while True:
        if cold:
            await connector._reader.close()
        answer = await connector.ListData(wire.ListDataRequest(partition=partition, type=wire.BSON, cursor=cursor))
        found.append((list(answer.data), answer.next_cursor))
        cursor = answer.next_cursor
        if not cursor:
            return found


async def read(connector: MongoConnector, partitions: Iterable[wire.Partition]) -> list[bytes]:
    return [document for each in partitions for page, _ in await pages(connector, each) for document in page]


async def write(
    connector: MongoConnector, namespace: str, documents: Sequence[bytes | Mapping[str, Any]], write_id: str = "f/p/0/n"
) -> None:
    data = [each if isinstance(each, bytes) else bson.encode(each) for each in documents]
    await connector.WriteData(batch(namespace=namespace, data=data, type=wire.BSON, write_id=write_id))


batch: Callable[..., wire.WriteDataRequest] = wire.WriteDataRequest


def handed_on(*, data: Sequence[bytes], **fields: Any) -> wire.WriteDataRequest:
    """The batch as it comes from a MongoDB source in this process: a server's reply, which is always sound."""
    with contextlib.suppress(InvalidBson):
        data = Documents(b"reply" + raw.array(data) + b"ok", 5)
    return cast("wire.WriteDataRequest", LocalBatch(data, **fields))


def stored(mongo: Mongo, database: str, collection: str) -> list[bytes]:
    """Every document's bytes, sorted."""
    documents: Any = mongo[database].get_collection(collection, codec_options=RAW).find()
    return sorted(bytes(each.raw) for each in documents)


def fail(mongo: Mongo, app: str, commands: Sequence[str], times: int = 1, **what: Any) -> None:
    """Makes the next commands of this application fail."""
    data = {"failCommands": list(commands), "appName": app, **what}
    mongo.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data})
