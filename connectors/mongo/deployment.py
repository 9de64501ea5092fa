"""A MongoDB deployment, and commands sent to it as commands: raw replies, explicit sessions, one place for errors."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
from collections.abc import AsyncGenerator, ItemsView, Iterator, Sequence
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from msgspec import Struct
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.server_description import ServerDescription

from connectors.mongo import errors
from connectors.mongo.address import Address
from dsync.codec import raw
from dsync.codec.whole import Documents
from dsync.errors import DataError, DsyncError, EndpointError, TransientError, UsageError

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
# For the server's own replies, which may quote names or values that strict decoding refuses.
LENIENT: CodecOptions[dict[str, Any]] = CodecOptions(
    unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
APPLICATION = "dsync"
# Servers this much slower than the nearest are not used, as in the driver.
LATENCY_WINDOW_SECONDS = 0.015


class Timeouts(Struct, frozen=True):
    """How long to wait: for a server, for its first answer, for one operation."""

    server_seconds: float = 10.0
    ping_seconds: float = 5.0
    operation_seconds: float = 120.0


class Pin(Struct):
    """Keeps the commands of one server cursor on one server; filled by the first."""

    address: tuple[str, int | None] | None = None


_pin: contextvars.ContextVar[Pin | None] = contextvars.ContextVar("pin", default=None)
_turn = itertools.count()


def _keep_to_pin(servers: list[ServerDescription]) -> list[ServerDescription]:
    """The driver's hook in server selection: a `getMore` sent as a command finds its cursor only on the server that has it."""
    pin = _pin.get()
    if pin is None or not servers:
        return servers
    if pin.address is None:
        nearest = min(server.round_trip_time or 0 for server in servers)
        near = [s for s in servers if (s.round_trip_time or 0) <= nearest + LATENCY_WINDOW_SECONDS]
        pin.address = near[next(_turn) % len(near)].address
    return [server for server in servers if server.address == pin.address] or servers


@contextlib.contextmanager
def _pinned(pin: Pin | None) -> Iterator[None]:
    token = _pin.set(pin)
    try:
        yield
    finally:
        _pin.reset(token)


class Cursor(Struct):
    """A cursor that is open on the server; it lives in the session that made it and on the server of its pin."""

    database: str
    collection: str
    id: int
    session: AsyncClientSession
    pin: Pin


class Batch(Struct, frozen=True):
    """What a server cursor sent: documents as bytes, once somebody looks; the rest only from a change stream."""

    documents: Sequence[bytes]
    cursor_id: int
    collection: str
    resume_token: bytes
    operation_time: Timestamp | None


class Deployment:
    """A connection to a deployment. Every method raises errors of dsync only."""

    def __init__(self, address: Address, timeouts: Timeouts) -> None:
        self.address = address
        self.timeouts = timeouts
        self.version: tuple[int, ...] = (0,)
        self.has_streams = False
        self._client: AsyncMongoClient[dict[str, Any]] | None = None

    async def open(self) -> None:
        """Connects and learns what is there. Raises EndpointError."""
        where = ",".join(self.address.hosts)
        try:
            with errors.mapped(f"connecting to {where!r}"):
                self._client = self._new_client()
                async with asyncio.timeout(2 * self.timeouts.server_seconds):
                    build = await self._client.admin.command("buildInfo")
                    hello = await self._client.admin.command("hello")
                async with asyncio.timeout(self.timeouts.ping_seconds):
                    await self._client.admin.command("ping")
        except TransientError as error:
            raise EndpointError(
                error.message, remedy="check host, port, network, TLS and that the server runs"
            ) from None
        except DataError as error:
            raise EndpointError(error.message) from None
        self.version = tuple(build.get("versionArray", [0]))
        self.has_streams = "setName" in hello or hello.get("msg") == "isdbgrid"

    async def close(self) -> None:
        """Lets go of all connections."""
        if self._client is not None:
            await self._client.close()

    def _new_client(self) -> AsyncMongoClient[dict[str, Any]]:
        milliseconds = int(self.timeouts.server_seconds * 1000)
        defaults: dict[str, Any] = {
            "appName": APPLICATION,
            "serverSelectionTimeoutMS": milliseconds,
            "connectTimeoutMS": milliseconds,
            # A server that refused an operation is looked at again at once, not when its streamed answer comes (10 s).
            "serverMonitoringMode": "poll",
        }
        # What the URI says comes first.
        given = {name: value for name, value in defaults.items() if name.lower() not in self.address.option_names}
        return AsyncMongoClient(self.address.uri, server_selector=_keep_to_pin, **given)

    @property
    def client(self) -> AsyncMongoClient[dict[str, Any]]:
        """The driver's client."""
        if self._client is None:
            raise UsageError("the MongoDB connector is not open")
        return self._client

    @property
    def write_concern(self) -> dict[str, Any]:
        """Of every write: durable on a majority."""
        timeout = {"wtimeout": self.address.write_timeout_ms} if self.address.write_timeout_ms else {}
        return {"w": "majority", "j": True, **timeout}

    async def run(
        self,
        database: str,
        command: dict[str, Any],
        doing: str,
        *,
        seconds: float = 0,
        read: bool = False,
        allow: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Sends a command and decodes the reply.

        `read`: to a server of the URI's read preference instead of the primary. Errors with a code of `allow` are returned as
        the server's reply, which has `code`, instead of being raised.
        """
        with errors.mapped(doing):
            async with asyncio.timeout(seconds or self.timeouts.operation_seconds):
                return await self.client[database].command(
                    command,
                    codec_options=LENIENT,
                    read_preference=self.client.read_preference if read else ReadPreference.PRIMARY,
                    allowable_errors=allow,
                )

    def start_session(self) -> AsyncClientSession:
        """A session for commands that belong together; `end_session` it."""
        return self.client.start_session(causal_consistency=False)

    async def open_cursor(
        self, database: str, command: dict[str, Any], doing: str, *, seconds: float = 0
    ) -> tuple[Cursor, Batch]:
        """Sends a command that opens a cursor; it is to be closed, also when it is exhausted."""
        cursor = Cursor(database, "", 0, self.start_session(), Pin())
        try:
            return cursor, await self._cursor_command(cursor, command, doing, seconds)
        except BaseException:
            await cursor.session.end_session()
            raise

    async def get_more(self, cursor: Cursor, options: dict[str, Any], doing: str, *, seconds: float = 0) -> Batch:
        """The next batch of a cursor."""
        command = {"getMore": bson.Int64(cursor.id), "collection": cursor.collection, **options}
        return await self._cursor_command(cursor, command, doing, seconds)

    async def close_cursor(self, cursor: Cursor) -> None:
        """Frees the server's cursor and the session; failing to is no failure, the server ends idle cursors itself."""
        if cursor.id:
            command = {"killCursors": cursor.collection, "cursors": [bson.Int64(cursor.id)]}
            with contextlib.suppress(DsyncError):
                await self._raw_command(cursor, command, "closing a cursor", self.timeouts.ping_seconds)
        await cursor.session.end_session()

    async def _cursor_command(self, cursor: Cursor, command: dict[str, Any], doing: str, seconds: float) -> Batch:
        reply = await self._raw_command(cursor, command, doing, seconds or self.timeouts.operation_seconds)
        batch = parse_batch(reply)
        cursor.id, cursor.collection = batch.cursor_id, batch.collection
        return batch

    async def _raw_command(self, cursor: Cursor, command: dict[str, Any], doing: str, seconds: float) -> bytes:
        with errors.mapped(doing), _pinned(cursor.pin):
            async with asyncio.timeout(seconds):
                reply = await self.client[cursor.database].command(
                    command,
                    codec_options=RAW,
                    session=cursor.session,
                    read_preference=self.client.read_preference,
                )
                return bytes(reply.raw)

    async def documents(
        self, database: str, command: dict[str, Any], doing: str, *, seconds: float = 0
    ) -> AsyncGenerator[Sequence[bytes], None]:
        """All batches of a command that opens a cursor."""
        cursor, batch = await self.open_cursor(database, command, doing, seconds=seconds)
        try:
            yield batch.documents
            while cursor.id:
                yield (await self.get_more(cursor, {}, doing, seconds=seconds)).documents
        finally:
            await self.close_cursor(cursor)

    async def decoded(
        self, database: str, command: dict[str, Any], doing: str
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """As `documents`, decoded: for lists of names, not for data."""
        async with contextlib.aclosing(self.documents(database, command, doing)) as batches:
            async for batch in batches:
                yield [bson.decode(document, LENIENT) for document in batch]


def parse_batch(reply: bytes) -> Batch:
    """The batch in the reply of `find`, `aggregate` or `getMore`, not decoded."""
    documents: Sequence[bytes] = ()
    cursor_id, collection, token, time = 0, "", b"", None
    for _, key, start, end in raw.elements(reply):
        if key == b"operationTime":
            time = _timestamp(reply[start:end])
        elif key == b"cursor":
            for _, name, at, stop in raw.elements(reply, start):
                if name in {b"firstBatch", b"nextBatch"}:
                    documents = Documents(reply, at)
                elif name == b"id":
                    cursor_id = int.from_bytes(reply[at:stop], "little", signed=True)
                elif name == b"ns":
                    collection = reply[at + 4 : stop - 1].decode().partition(".")[2]
                elif name == b"postBatchResumeToken":
                    token = reply[at:stop]
    return Batch(documents, cursor_id, collection, token, time)


def _timestamp(value: bytes) -> Timestamp:
    return Timestamp(int.from_bytes(value[4:], "little"), int.from_bytes(value[:4], "little"))


class Encoded(RawBSONDocument):
    """A document, or several in a row, for the driver to send as it is, made without the parsing and checks of its base."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    @property
    def raw(self) -> bytes:
        """The document."""
        return self._encoded

    def items(self) -> ItemsView[str, Any]:
        """What the driver's own log shows where a program turns it on: how large a document is, never what stands in it."""
        return {"bytes": len(self._encoded)}.items()
