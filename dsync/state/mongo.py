"""The state in a MongoDB database: for runs that move between machines. A flow is held by a lease with an epoch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import asdict
from pymongo import AsyncMongoClient, DeleteMany, ReplaceOne, UpdateOne, errors
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from dsync.cancel import cancel
from dsync.errors import HeldError, StateError, UsageError
from dsync.state.store import Flow, Progress, State, parsed
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position

logger = logging.getLogger(__name__)

DEFAULT_DATABASE = "dsync_state"
COLLECTIONS = ("flows", "partitions", "positions", "leases", "layout")
# Of the layout; newer ones are refused. Raise it with a step in MIGRATIONS that leads from the one before, in one transaction.
VERSION = 1
# A lease that is not renewed for this long is free; it is renewed three times as often. Times are the server's.
LEASE_SECONDS = 15.0
# Seconds to find a server.
SERVER_SECONDS = 15.0

Row = dict[str, Any]
MIGRATIONS: dict[int, Callable[[AsyncDatabase[Row], AsyncClientSession], Awaitable[None]]] = {}


class MongoState(State):
    """Collections flows, partitions, positions, leases and layout of one database of a replica set.

    Every write is a transaction that also touches the lease: a process that was paused past its lease cannot commit.
    """

    def __init__(self, uri: str) -> None:
        self._client = _client(uri)
        self._database: AsyncDatabase[Row] = self._client.get_default_database(DEFAULT_DATABASE).with_options(
            write_concern=WriteConcern("majority", j=True), read_concern=ReadConcern("majority")
        )
        self._epochs: dict[str, int] = {}
        self._renewals: list[asyncio.Task[None]] = []
        self._valid_until: float | None = None
        self._owner = f"process {os.getpid()} on {socket.gethostname()}"

    async def open(self) -> None:
        """See State."""
        with self._explained():
            found = await self._rows("layout").find_one({"_id": "layout"})
            if found is None:
                await self._create()
                return
            version = found["version"]
            if not isinstance(version, int) or version < 1:
                raise ValueError(f"its layout is {version!r}")
            if version > VERSION:
                raise StateError(
                    f"the state in {self._database.name!r} was written by a newer dsync"
                    f" (layout {version}, this one knows {VERSION})",
                    remedy="upgrade dsync, or name another state with --metadata",
                )
            for step in range(version + 1, VERSION + 1):
                await self._migrate(step)

    async def _create(self) -> None:
        """Says which layout this is. Raises ValueError where there are rows already: of a state that lost it, or of others."""
        for name in ("flows", "partitions", "positions", "leases"):
            if await self._rows(name).find_one() is not None:
                raise ValueError(f"there is a collection {name!r}, but nothing that says which layout it has")
        await self._rows("layout").update_one({"_id": "layout"}, {"$set": {"version": VERSION}}, upsert=True)

    async def _migrate(self, step: int) -> None:
        """From the layout before to this one, wholly or not at all; once where several processes begin together."""

        async def change(session: AsyncClientSession) -> None:
            before = {"_id": "layout", "version": step - 1}
            raised = await self._rows("layout").update_one(before, {"$set": {"version": step}}, session=session)
            if raised.matched_count:
                await MIGRATIONS[step](self._database, session)

        async with self._client.start_session() as session:
            await session.with_transaction(change)

    async def close(self) -> None:
        """See State; leases are given back."""
        await cancel(self._renewals)
        await asyncio.gather(*self._renewals, return_exceptions=True)
        with contextlib.suppress(errors.PyMongoError):
            for flow_id, epoch in self._epochs.items():
                await self._rows("leases").update_one({"_id": flow_id, "epoch": epoch}, {"$set": {"until": None}})
        self._epochs.clear()
        await self._client.close()

    def _rows(self, name: str) -> AsyncCollection[Row]:
        return self._database[name]

    @property
    def valid_until(self) -> float | None:
        """See State."""
        return self._valid_until

    async def own_namespaces(self) -> dict[str, str]:
        """See State."""
        with self._explained():
            listing = await self._database.list_collections()
            there = {found["name"]: found.get("info", {}).get("uuid", b"").hex() async for found in listing}
            return {f"{self._database.name}.{name}": there.get(name, "") for name in COLLECTIONS}

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except errors.OperationFailure as error:
            name = (error.details or {}).get("codeName", error.code)
            raise StateError(
                f"the state in {self._database.name!r} cannot be used: {name}",
                remedy="it needs a replica set and the rights to read and write; name another with --metadata",
            ) from error
        except errors.PyMongoError as error:
            raise StateError(
                f"the state in {self._database.name!r} cannot be reached: {type(error).__name__}",
                remedy="check its address, or name another with --metadata",
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            said = f"a row has no {error}" if isinstance(error, KeyError) else error
            raise StateError(
                f"the state in {self._database.name!r} is damaged and was left as it is: {said}",
                remedy="name another with --metadata",
            ) from error

    async def lock(self, flow_id: str) -> None:
        """See State; a lease that its owner no longer renews is waited for."""
        end = time.monotonic() + LEASE_SECONDS + 5
        seen: Any = None
        with self._explained():
            while True:
                asked_at = time.monotonic()
                lease = await self._take_lease(flow_id)
                if lease is not None:
                    break
                held = await self._rows("leases").find_one({"_id": flow_id}) or {}
                if (seen is not None and held.get("until") != seen) or time.monotonic() > end:
                    raise HeldError(
                        f"the flow {flow_id!r} is held by {held.get('owner')}", remedy="wait for its end or stop it"
                    )
                seen = held.get("until")
                await asyncio.sleep(0.5)
        self._epochs[flow_id] = lease["epoch"]
        self._valid_until = asked_at + LEASE_SECONDS
        self._renewals.append(asyncio.create_task(self._renew(flow_id)))

    async def _take_lease(self, flow_id: str) -> Row | None:
        free = {"$or": [{"until": None}, {"$expr": {"$lt": ["$until", "$$NOW"]}}]}
        change = {
            "owner": {"$literal": self._owner},
            "epoch": {"$add": ["$epoch", 1]},
            "until": {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]},
        }
        leases = self._rows("leases")
        await leases.update_one({"_id": flow_id}, {"$setOnInsert": {"until": None, "epoch": 0}}, upsert=True)
        return await leases.find_one_and_update({"_id": flow_id, **free}, [{"$set": change}], return_document=True)

    async def _renew(self, flow_id: str) -> None:
        change = {"until": {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]}}
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            asked_at = time.monotonic()
            try:
                result = await self._rows("leases").update_one(
                    {"_id": flow_id, "epoch": self._epochs[flow_id]}, [{"$set": change}]
                )
            except errors.PyMongoError as error:
                logger.warning("the lease of flow %s could not be renewed: %s", flow_id, type(error).__name__)
                continue
            if not result.matched_count:
                self._valid_until = 0.0
                return
            self._valid_until = asked_at + LEASE_SECONDS

    @contextlib.asynccontextmanager
    async def _transaction(self, flow_id: str) -> AsyncIterator[AsyncClientSession]:
        """A transaction that commits only while this process holds the flow."""
        with self._explained():
            async with self._client.start_session() as session, await session.start_transaction():
                lease = {"_id": flow_id, "epoch": self._epochs.get(flow_id, -1)}
                touched = await self._rows("leases").update_one(lease, {"$inc": {"commits": 1}}, session=session)
                if not touched.matched_count:
                    raise HeldError(f"another run has taken the flow {flow_id!r}", remedy="wait for its end or stop it")
                yield session

    async def flow(self, flow_id: str) -> Flow | None:
        """See State."""
        with self._explained():
            row = await self._rows("flows").find_one({"_id": flow_id})
            return Flow(**json.loads(row["body"])) if row else None

    async def flows(self) -> list[Flow]:
        """See State."""
        with self._explained():
            return [Flow(**json.loads(row["body"])) async for row in self._rows("flows").find().sort("updated")]

    async def begin(
        self, flow: Flow, partitions: Sequence[PlannedPartition], positions: Sequence[Position] = ()
    ) -> None:
        """See State."""
        rows = [
            {"_id": {"flow": flow.id, "number": p.number}, "planned": p.SerializeToString(), "checkpoint": b""}
            for p in partitions
        ]
        async with self._transaction(flow.id) as session:
            await self._put(flow, session)
            await self._forget_plan(flow.id, session)
            if rows:
                await self._rows("partitions").insert_many(rows, session=session)
            await self._put_positions(flow.id, positions, session)

    async def _put(self, flow: Flow, session: AsyncClientSession) -> None:
        row = {"_id": flow.id, "updated": flow.updated, "body": json.dumps(asdict(flow))}
        await self._rows("flows").replace_one({"_id": flow.id}, row, upsert=True, session=session)

    async def _forget_plan(self, flow_id: str, session: AsyncClientSession) -> None:
        for name in ("partitions", "positions"):
            await self._rows(name).bulk_write([DeleteMany({"_id.flow": flow_id})], session=session)

    async def _put_positions(self, flow_id: str, positions: Sequence[Position], session: AsyncClientSession) -> None:
        writes = [
            ReplaceOne(
                {"_id": {"flow": flow_id, "number": position.number}},
                {"_id": {"flow": flow_id, "number": position.number}, "position": position.SerializeToString()},
                upsert=True,
            )
            for position in positions
        ]
        if writes:
            await self._rows("positions").bulk_write(writes, session=session)

    async def update(self, flow: Flow) -> None:
        """See State."""
        async with self._transaction(flow.id) as session:
            await self._put(flow, session)

    async def partitions(self, flow_id: str) -> list[Progress]:
        """See State."""
        with self._explained():
            found = self._rows("partitions").find({"_id.flow": flow_id}).sort("_id.number")
            return [
                Progress(parsed(PlannedPartition, row["planned"]), parsed(Checkpoint, row["checkpoint"]))
                async for row in found
            ]

    async def save(self, flow_id: str, checkpoints: Mapping[int, Checkpoint]) -> None:
        """See State."""
        writes = [
            UpdateOne({"_id": {"flow": flow_id, "number": number}}, {"$set": {"checkpoint": c.SerializeToString()}})
            for number, c in checkpoints.items()
        ]
        async with self._transaction(flow_id) as session:
            await self._rows("partitions").bulk_write(writes, session=session)

    async def positions(self, flow_id: str) -> list[Position]:
        """See State."""
        with self._explained():
            found = self._rows("positions").find({"_id.flow": flow_id}).sort("_id.number")
            return [parsed(Position, row["position"]) async for row in found]

    async def save_positions(self, flow_id: str, positions: Sequence[Position]) -> None:
        """See State."""
        async with self._transaction(flow_id) as session:
            await self._put_positions(flow_id, positions, session)

    async def reset(self, flow_id: str) -> bool:
        """See State."""
        async with self._transaction(flow_id) as session:
            await self._forget_plan(flow_id, session)
            return (await self._rows("flows").delete_one({"_id": flow_id}, session=session)).deleted_count > 0


def _client(uri: str) -> AsyncMongoClient[Row]:
    try:
        return AsyncMongoClient(uri, serverSelectionTimeoutMS=int(SERVER_SECONDS * 1000), appname="dsync-state")
    except (errors.PyMongoError, ValueError):
        # what the driver says of a malformed URI may hold a part of its password
        raise UsageError(
            "--metadata has a malformed MongoDB URI", remedy="write mongodb://host:port/database"
        ) from None
