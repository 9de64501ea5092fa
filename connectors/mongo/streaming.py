"""Follows a change stream: events in, updates with whole documents out, and a position that goes with them.

Documents of updates are looked up by `_id`, many at a time, as they are now: every later change has an event of its own.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import AsyncGenerator, Hashable, Iterable, Iterator, Sequence
from typing import Any, Literal

from bson.timestamp import Timestamp
from msgspec import Struct, field

from connectors.mongo import errors, events, lookup
from connectors.mongo.cursors import REMEDY
from connectors.mongo.deployment import Batch, Cursor, Deployment, Encoded
from connectors.mongo.events import Event
from connectors.mongo.positions import Position, moment, token_time
from dsync import wire
from dsync.codec import raw
from dsync.errors import CursorError, DataError, GapError, TransientError

LOG = logging.getLogger(__name__)

# What is looked up and sent together at most; documents of updates count as much as those of their collection had so far, and
# much while that is not known.
SEGMENT_EVENTS = 1000
SEGMENT_BYTES = 8 << 20
FIRST_DOCUMENT_BYTES = 1 << 20
REMEMBERED_COLLECTIONS = 1000
TYPES = {
    events.INSERT: wire.INSERT,
    events.UPDATE: wire.UPDATE,
    events.REPLACE: wire.UPDATE,
    events.DELETE: wire.DELETE,
}


class StreamRule(Struct, frozen=True):
    """What the options say about streams. `query` is the filter's BSON, empty for none."""

    query: bytes = b""
    wait_seconds: float = 1.0
    full_key: bool = False
    ddl: Literal["fail", "apply", "ignore"] = "fail"


class Segment(Struct):
    """Events of documents, and the event that ended them where it is another."""

    events: list[Event] = field(default_factory=list)
    end: Event | None = None


class ChangeStream:
    """One change stream, from a position on."""

    def __init__(self, deployment: Deployment, position: Position, rule: StreamRule) -> None:
        self._deployment = deployment
        self._rule = rule
        # Everything before it was handed out.
        self._position = position
        self._sends_documents = not rule.query
        self._average_bytes: dict[str, float] = {}
        # Changes that no answer has stood for yet.
        self._events = 0

    async def answers(self) -> AsyncGenerator[wire.StreamUpdatesResponse, None]:
        """Updates, for ever; while there are none, positions. Raises GapError where going on would lose changes.

        An answer without updates says that there was nothing more, and its time up to when.
        """
        async with contextlib.aclosing(self._batches()) as batches:
            async for batch in batches:
                for segment in self._segments(batch):
                    for answer in await self._updates_of(segment):
                        yield answer
                    if segment.end is not None:
                        async for answer in self._redefine(segment.end):
                            yield answer
                        self._position = self._position.after(segment.end.token)
                if batch.resume_token:
                    self._position = self._position.after(batch.resume_token)
                if not batch.documents:
                    yield self._answer(time=token_time(batch.resume_token), events=self._events)

    async def counts(self) -> AsyncGenerator[wire.StreamLSNResponse, None]:
        """How many updates there are, for ever."""
        count = 0
        self._sends_documents = False
        async with contextlib.aclosing(self._batches()) as batches:
            async for batch in batches:
                for event in map(events.parse, batch.documents):
                    count += event.kind in TYPES and self._position.covers(event.namespace)
                if batch.resume_token:
                    self._position = self._position.after(batch.resume_token)
                yield wire.StreamLSNResponse(lsn=count, next_cursor=self._position.encode())

    async def _batches(self) -> AsyncGenerator[Batch, None]:
        """What the server sends, over as many cursors as it takes."""
        while True:
            try:
                async with contextlib.aclosing(self._cursor_batches()) as batches:
                    async for batch in batches:
                        yield batch
            except errors.EventTooLargeError:
                if not self._sends_documents:
                    raise
                LOG.info("a change event is too large to be sent; documents are looked up from here on")
                self._sends_documents = False
            # An invalidation ended the cursor; the position stands after it.

    async def _cursor_batches(self) -> AsyncGenerator[Batch, None]:
        database, command = self._command()
        doing = f"following the changes of {self._shown!r}"
        try:
            # Its batch is empty, as asked: the server may take long to find the first event.
            cursor, batch = await self._deployment.open_cursor(database, command, doing)
        except DataError as error:
            raise CursorError(error.message, remedy=REMEDY) if self._position.token else error from None
        try:
            while cursor.id:
                batch = await self._more(cursor, doing)
                yield batch
            self._check_ended(batch, doing)
        finally:
            await self._deployment.close_cursor(cursor)

    async def _more(self, cursor: Cursor, doing: str) -> Batch:
        wait = self._rule.wait_seconds
        options = {"maxTimeMS": max(1, int(wait * 1000)), "batchSize": SEGMENT_EVENTS}
        seconds = wait + self._deployment.timeouts.operation_seconds
        return await self._deployment.get_more(cursor, options, doing, seconds=seconds)

    def _check_ended(self, batch: Batch, doing: str) -> None:
        last = events.parse(batch.documents[-1]).kind if batch.documents else ""
        if last != events.INVALIDATE:
            raise TransientError(f"{doing}: the server ended the stream")

    @property
    def _shown(self) -> str:
        position = self._position
        return position.namespace or ", ".join(position.names) or position.database or "all databases"

    def _command(self) -> tuple[str, dict[str, Any]]:
        """Where to watch, and the command: one collection, one database, or all."""
        position, databases = self._position, self._position.selection.databases
        change_stream: dict[str, Any] = {}
        if position.token:
            change_stream["startAfter"] = Encoded(position.token)
        elif position.start is not None:
            change_stream["startAtOperationTime"] = position.start
        target: str | int = 1
        if position.namespace:
            database, _, target = position.namespace.partition(".")
        elif len(databases) == 1:
            database = databases[0]
        else:
            database = "admin"
            change_stream["allChangesForCluster"] = True
        fields = [*events.FIELDS, *(["fullDocument"] if self._sends_documents else [])]
        pipeline = [{"$changeStream": change_stream}, *self._match(), {"$project": dict.fromkeys(fields, 1)}]
        cursor = {"batchSize": 0}
        return database, {
            "aggregate": target,
            "pipeline": pipeline,
            "cursor": cursor,
            "readConcern": {"level": "majority"},
        }

    def _match(self) -> list[dict[str, Any]]:
        """Keeps the server from sending other collections' changes; events of other kinds are judged here."""
        selection, apart = self._position.selection, self._position.apart
        if self._position.namespace or not (selection.names or apart):
            return []
        candidates = (candidate for name in selection.names for candidate in selection.candidates(name))
        covered = {"$or": [_namespace_match(candidate) for candidate in candidates]} if selection.names else {}
        elsewhere = [dict(zip(("ns.db", "ns.coll"), name.split(".", 1), strict=True)) for name in apart]
        wanted = {**covered, **({"$nor": elsewhere} if elsewhere else {})}
        return [{"$match": {"$or": [{"operationType": {"$nin": list(events.DATA)}}, wanted]}}]

    async def _redefine(self, event: Event) -> AsyncGenerator[wire.StreamUpdatesResponse, None]:
        """What becomes of a drop or a rename; the position stays before it until all is handed out.

        Raises GapError for those that are not to be applied and for events that are not understood.
        """
        if event.kind in {events.DROP_DATABASE, events.INVALIDATE}:
            # The drops of the collections came before.
            return
        if event.kind not in {events.DROP, events.RENAME}:
            raise GapError(
                f"{event.namespace!r}: the change event {event.kind!r} is not understood",
                remedy="copy again with --restart",
            )
        touched = [name for name in (event.namespace, event.renamed_to) if name and self._position.covers(name)]
        if self._rule.ddl == "fail" and touched:
            what = f"renamed to {event.renamed_to!r}" if event.kind == events.RENAME else "dropped"
            raise GapError(
                f"{event.namespace!r} was {what} at the source",
                remedy="go on with --ddl apply or --ddl ignore, or copy again with --restart",
            )
        if self._rule.ddl == "apply":
            for name in touched:
                yield self._answer(name, [wire.Update(type=wire.DROP)])
                if name == event.renamed_to:
                    async for answer in self._everything(name, event):
                        yield answer

    async def _everything(self, namespace: str, event: Event) -> AsyncGenerator[wire.StreamUpdatesResponse, None]:
        """A renamed collection's documents, as inserts."""
        database, _, name = namespace.partition(".")
        command = {
            "find": name,
            "hint": {"_id": 1},
            "filter": Encoded(self._rule.query) if self._rule.query else {},
            "readConcern": {"level": "majority", "afterClusterTime": event.time},
        }
        doing = f"reading {namespace!r} after it was renamed"
        async with contextlib.aclosing(self._deployment.documents(database, command, doing)) as batches:
            async for batch in batches:
                updates = [wire.Update(id=_id_value(document), type=wire.INSERT, data=document) for document in batch]
                if updates:
                    yield self._answer(namespace, updates)

    def _segments(self, batch: Batch) -> Iterator[Segment]:
        """The covered events in runs that are looked up and sent together; what is no data ends a run."""
        segment, size = Segment(), 0.0
        for event in map(events.parse, batch.documents):
            if event.kind not in TYPES:
                segment.end = event
            elif self._position.covers(event.namespace):
                segment.events.append(event)
                size += self._expected_bytes(event)
            if segment.end is not None or len(segment.events) >= SEGMENT_EVENTS or size >= SEGMENT_BYTES:
                yield segment
                segment, size = Segment(), 0.0
        yield segment

    def _expected_bytes(self, event: Event) -> float:
        if event.kind == events.DELETE:
            return len(event.key)
        if event.document:
            self._learn_size(event.namespace, [event.document])
            return len(event.document)
        return self._average_bytes.get(event.namespace, FIRST_DOCUMENT_BYTES)

    async def _updates_of(self, segment: Segment) -> list[wire.StreamUpdatesResponse]:
        """An answer a namespace that has any; only the last one's position is after the segment.

        Where all documents are gone again there is none: one without updates would say that nothing more is there.
        """
        if not segment.events:
            return []
        self._events += len(segment.events)
        by_namespace: dict[str, list[Event]] = {}
        for event in self._newest(segment.events):
            by_namespace.setdefault(event.namespace, []).append(event)
        every = [(name, await self._updates(name, changed)) for name, changed in by_namespace.items()]
        made = [(name, updates) for name, updates in every if updates]
        # each counts for its own, and the last one for those that are left out, too
        answers = [self._answer(name, updates, events=len(updates)) for name, updates in made[:-1]]
        last = segment.events[-1]
        self._position = self._position.after(last.token)
        return [*answers, *(self._answer(name, updates, last.time, self._events) for name, updates in made[-1:])]

    def _newest(self, segment: Iterable[Event]) -> list[Event]:
        """The last event of each document: with whole documents, it is all that counts."""
        newest: dict[Hashable, Event] = {}
        for event in segment:
            key = (event.namespace, *(raw.id_key(part.type, part.data) for part in self._id(event)))
            newest.pop(key, None)
            newest[key] = event
        return list(newest.values())

    async def _updates(self, namespace: str, found: Sequence[Event]) -> list[wire.Update]:
        missing = [event for event in found if event.kind != events.DELETE and not self._has_document(event)]
        database, _, name = namespace.partition(".")
        documents = await lookup.by_ids(
            self._deployment,
            (database, name),
            [raw.id_of(event.key) for event in missing],
            self._rule.query,
            after=found[-1].time,
        )
        self._learn_size(namespace, documents)
        looked_up = dict(zip((event.token for event in missing), documents, strict=True))
        updates = (self._update(event, looked_up.get(event.token, event.document)) for event in found)
        return [update for update in updates if update is not None]

    def _has_document(self, event: Event) -> bool:
        return bool(event.document) and event.kind in {events.INSERT, events.REPLACE}

    def _update(self, event: Event, document: bytes) -> wire.Update | None:
        """None where the document is gone: a later event says what became of it."""
        if event.kind == events.DELETE:
            return wire.Update(id=self._id(event), type=wire.DELETE)
        if document:
            return wire.Update(id=self._id(event), type=TYPES[event.kind], data=document)
        # With a filter, the document may be there and no longer match.
        left = self._rule.query and event.kind != events.INSERT
        return wire.Update(id=self._id(event), type=wire.DELETE) if left else None

    def _id(self, event: Event) -> list[wire.BsonValue]:
        if not self._rule.full_key:
            return _id_value(event.key)
        parts = raw.elements(event.key)
        return [wire.BsonValue(data=event.key[at:end], type=kind, name=name.decode()) for kind, name, at, end in parts]

    def _learn_size(self, namespace: str, documents: Sequence[bytes]) -> None:
        sizes = [len(document) for document in documents if document]
        if not sizes:
            return
        if len(self._average_bytes) >= REMEMBERED_COLLECTIONS:
            self._average_bytes.clear()
        average = sum(sizes) / len(sizes)
        self._average_bytes[namespace] = max(average, (self._average_bytes.get(namespace, average) + average) / 2)

    def _answer(
        self, namespace: str = "", updates: Sequence[wire.Update] = (), time: Timestamp | None = None, events: int = 0
    ) -> wire.StreamUpdatesResponse:
        self._events -= events
        return wire.StreamUpdatesResponse(
            events=events,
            namespace=namespace,
            updates=updates,
            next_cursor=self._position.encode(),
            time=None if time is None else moment(time),
        )


def _id_value(document: bytes) -> list[wire.BsonValue]:
    kind, value = raw.id_of(document)
    return [wire.BsonValue(data=value, type=kind, name="_id")]


def _namespace_match(name: str) -> dict[str, Any]:
    database, dot, collection = name.partition(".")
    if not dot:
        return {"ns.db": database}
    below = {"$regex": f"^{re.escape(collection)}\\."}
    return {"ns.db": database, "$or": [{"ns.coll": collection}, {"ns.coll": below}]}
