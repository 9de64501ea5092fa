"""Reading a change stream in a test: until it is quiet, and what its updates come to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import bson

from connectors.mongo.connector import MongoConnector
from dsync import wire

Update = tuple[str, int, Any, Any]


async def position(connector: MongoConnector, *names: str) -> bytes:
    """A position from before everything that happens next; of several streams, the first one's."""
    response = await connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=names, updates=True))
    return response.updates_partitions[0].cursor


@contextlib.asynccontextmanager
async def stream(
    connector: MongoConnector, cursor: bytes
) -> AsyncGenerator[AsyncGenerator[wire.StreamUpdatesResponse, None], None]:
    """The answers of a change stream, closed at the end."""
    answers = connector.StreamUpdates(wire.StreamUpdatesRequest(type=wire.BSON, cursor=cursor))
    async with contextlib.aclosing(answers) as opened:
        yield opened


async def until_quiet(connector: MongoConnector, cursor: bytes) -> list[wire.StreamUpdatesResponse]:
    """All answers up to the first without updates, which says that there was nothing more."""
    found = []
    async with stream(connector, cursor) as answers:
        async for answer in answers:
            found.append(answer)
            if not answer.namespace:
                return found
    raise AssertionError("a stream ends only with an error")


def updates(answers: Iterable[wire.StreamUpdatesResponse]) -> list[Update]:
    """(collection, type, id, document) of each update, in order."""
    return [
        (answer.namespace.partition(".")[2], update.type, _value(update.id), _document(update.data))
        for answer in answers
        for update in answer.updates
    ]


def _value(parts: Iterable[wire.BsonValue]) -> Any:
    values = {part.name: _decoded(part) for part in parts}
    return values["_id"] if list(values) == ["_id"] else values


def _decoded(part: wire.BsonValue) -> Any:
    body = bytes([part.type]) + b"v\0" + part.data
    return bson.decode((len(body) + 5).to_bytes(4, "little") + body + b"\0")["v"]


def _document(data: bytes) -> Any:
    return bson.decode(data) if data else None
