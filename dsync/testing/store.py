"""A store in memory: what outlives the connectors of `dsync.testing.memory`, as a server outlives its clients."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from bson.decimal128 import Decimal128
from google.protobuf.timestamp_pb2 import Timestamp

from dsync import wire
from dsync.codec import raw
from dsync.errors import DataError, GapError

_identities = itertools.count(1)


@dataclass
class Collection:
    """Documents of a namespace by key, readable in the order of the keys."""

    documents: dict[bytes, bytes] = field(default_factory=dict)
    identity: str = field(default_factory=lambda: f"made-{next(_identities)}")
    # The flow that published it, and the write_ids of its batches.
    flow: str = ""
    batches: list[str] = field(default_factory=list)
    _sorted: list[bytes] | None = None

    def put(self, key: bytes, document: bytes) -> None:
        """Adds or replaces."""
        if key not in self.documents:
            self._sorted = None
        self.documents[key] = document

    def append(self, documents: Iterable[bytes]) -> None:
        """Adds at the end, whatever the ids; for collections without keys."""
        for number, document in enumerate(documents, len(self.documents)):
            self.put(b"%012d" % number, document)

    def remove(self, key: bytes) -> None:
        """Removes what is there."""
        if self.documents.pop(key, None) is not None:
            self._sorted = None

    def keys(self, after: bytes | None, until: bytes | None) -> list[bytes]:
        """Keys greater than one, up to another, in order; None is no bound."""
        if self._sorted is None:
            self._sorted = sorted(self.documents)
        start = 0 if after is None else bisect.bisect_right(self._sorted, after)
        end = len(self._sorted) if until is None else bisect.bisect_right(self._sorted, until)
        return self._sorted[start:end]


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the store's log."""

    namespace: str
    update: wire.Update
    time: Timestamp


class MemoryStore:
    """Namespaces, a log of changes, batches that wait to be published. Equal ids are those that MongoDB holds for equal."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.namespaces: dict[str, Collection] = {}
        # write_id -> documents
        self.staged: dict[str, list[bytes]] = {}
        self.log: list[Change] = []
        # Positions before this one are lost.
        self.log_start = 0
        self._changed = asyncio.Event()

    def load(self, namespace: str, documents: Iterable[bytes]) -> None:
        """Puts BSON documents there without a change in the log."""
        collection = self.collection(namespace)
        for document in documents:
            collection.put(key_of(*raw.id_of(document)), document)

    def collection(self, namespace: str) -> Collection:
        """The namespace, made where it is not there."""
        return self.namespaces.setdefault(namespace, Collection())

    def documents(self, namespace: str) -> list[bytes]:
        """All documents of a namespace, in the order in which they are read."""
        collection = self.namespaces.get(namespace, Collection())
        return [collection.documents[key] for key in collection.keys(None, None)]

    def put(self, namespace: str, document: bytes) -> None:
        """Inserts or replaces a document, with a change in the log."""
        kind, value = raw.id_of(document)
        there = key_of(kind, value) in self.collection(namespace).documents
        identity = wire.BsonValue(data=value, type=kind, name="_id")
        self.apply(namespace, wire.Update(id=[identity], type=wire.UPDATE if there else wire.INSERT, data=document))

    def delete(self, namespace: str, document: bytes) -> None:
        """Deletes the document of the same id, with a change in the log."""
        kind, value = raw.id_of(document)
        identity = wire.BsonValue(data=value, type=kind, name="_id")
        self.apply(namespace, wire.Update(id=[identity], type=wire.DELETE))

    def drop(self, namespace: str) -> None:
        """Removes a namespace; the next write makes it anew, with another identity."""
        self.namespaces.pop(namespace, None)

    def forget_log(self) -> None:
        """Loses all positions up to the present one, like an oplog that has rolled over."""
        self.log_start = len(self.log) + 1
        self.log.append(Change("", wire.Update(), _now()))
        self._wake()

    def apply(self, namespace: str, update: wire.Update) -> None:
        """Applies an update and logs it. Raises GapError for one of an unknown type."""
        collection = self.collection(namespace)
        key = update_key(update)
        if update.type in (wire.INSERT, wire.UPDATE):
            raw.check(update.data)
            collection.put(key, update.data)
        elif update.type == wire.DELETE:
            collection.remove(key)
        elif update.type == wire.PARTIAL_UPDATE:
            if key in collection.documents:
                collection.put(key, merged(collection.documents[key], update))
        else:
            raise GapError(f"an update of type {update.type} in {namespace!r} is not understood", remedy="update dsync")
        self.log.append(Change(namespace, update, _now()))
        self._wake()

    async def wait_for_change(self, seconds: float) -> None:
        """Returns after the next change, or after the time."""
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), seconds)
        except TimeoutError:
            return

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def key_of(kind: int, value: bytes) -> bytes:
    """Equal for ids that MongoDB holds for equal: by type and value, numbers by value alone."""
    number = _number(kind, value)
    return bytes([kind]) + value if number is None else b"number " + _exact(number).encode()


def update_key(update: wire.Update) -> bytes:
    """The key of the document that an update is about. Raises DataError for compound and malformed ids."""
    if len(update.id) != 1 or update.id[0].name not in ("", "_id"):
        raise DataError("an update's id is not a single _id")
    value = update.id[0]
    if not 0 < value.type < 256 or raw.value_size(value.type, value.data, 0) != len(value.data):
        raise DataError("an update's id is no BSON value")
    return key_of(value.type, value.data)


def merged(document: bytes, update: wire.Update) -> bytes:
    """The document with the update's fields in place of its own, without those that it unsets."""
    fields = dict(_elements(document))
    fields.update(_elements(update.data) if update.data else ())
    for name in update.partial_update_unset:
        fields.pop(name.encode(), None)
    body = b"".join(fields.values())
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def _elements(document: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, key, start, end in raw.elements(document):
        yield key, bytes([kind]) + key + b"\0" + document[start:end]


def _number(kind: int, value: bytes) -> int | float | Decimal | None:
    if kind in (raw.INT32, raw.INT64):
        return int.from_bytes(value, "little", signed=True)
    if kind == raw.DOUBLE:
        return float(struct.unpack("<d", value)[0])
    return Decimal128.from_bid(value).to_decimal() if kind == raw.DECIMAL128 else None


def _exact(number: float | Decimal) -> str:
    """The same text for the same value, whatever its type."""
    if isinstance(number, int):
        return f"{number:x}/1"
    if not (number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)):
        return "nan" if number != number else str(float(number))
    top, bottom = number.as_integer_ratio()
    return f"{top:x}/{bottom:x}"


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
