"""Write commands to one collection: raw documents in, the server's word on each of them out."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import bson
from msgspec import Struct, structs

from connectors.mongo import errors, ids
from connectors.mongo.deployment import Deployment, Encoded
from connectors.mongo.framing import DOCUMENT_BYTES, check_sound
from dsync.codec import raw
from dsync.codec.whole import Documents
from dsync.errors import ConflictError, DataError, DsyncError, EndpointError, TransientError

Item = TypeVar("Item")

# The driver refuses commands beyond this and a margin for what stands around the documents; a single document always fits.
COMMAND_BYTES = DOCUMENT_BYTES
COMMAND_DOCUMENTS = 100_000
# What stands before the array in an insert: type and key.
DOCUMENTS = b"\x04documents\0"
# What an update adds to its document, beside the _id.
UPDATE_OVERHEAD_BYTES = 128
# Another request of the same moment, or another partition, may be about to set a unique value free.
FRUITLESS_ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.02
SHOWN_IDS = 5
# The server puts its time into a top-level Timestamp(0, 0) of an insert or a replacement. The nine zeros, the key's end and the
# value, are looked for first: a search for plain bytes is the fastest, from the end twice as fast as from the beginning.
NINE_ZEROS = bytes(9)
ZERO_TIMESTAMP = re.compile(rb"\x11[^\0]*\0\0{8}")
# A type byte and a key that begins with "$", or what looks like it.
DOLLAR_KEY = re.compile(rb"[\x01-\x13\x7f\xff]\$")


class WriteError(Struct, frozen=True):
    """What the server says about one document of a command."""

    index: int
    code: int
    details: Mapping[str, Any]

    @property
    def duplicate(self) -> bool:
        """Whether another document has a value that has to be unique."""
        return self.code == errors.DUPLICATE_KEY

    @property
    def on_id(self) -> bool:
        """Whether that value is the `_id`: the document is there already."""
        if not self.duplicate:
            return False
        # Servers before 4.2 and compatible services say it only in words.
        return self.index_fields == "_id" if self.index_fields else " _id_ " in str(self.details.get("errmsg", ""))

    @property
    def index_fields(self) -> str:
        """The fields of the unique index, empty where the server does not say."""
        return ", ".join(self.details.get("keyPattern", ()))


class CollectionWriter(Struct, frozen=True):
    """Writes to one collection. Every method returns when a majority has it in the journal."""

    deployment: Deployment
    database: str
    name: str
    # The fields by which documents are found to be replaced; the shard key is among them where the collection has one.
    key_fields: tuple[str, ...] = ("_id",)

    @property
    def namespace(self) -> str:
        """The collection's full name."""
        return f"{self.database}.{self.name}"

    async def insert(self, documents: Sequence[bytes], joined: bytes = b"") -> list[WriteError]:
        """Inserts what can be; the errors are about single documents. `joined` is all of them, where the caller has that.

        In a message the documents stand one after the other, so that for the driver they may as well be a single one. An array
        goes as it came, in one piece too.
        """
        joined = joined or in_one_piece(documents)
        if isinstance(documents, Documents):
            return (await self.send({"insert": self.name}, documents, array=joined))[1]
        return (await self.send({"insert": self.name, "documents": [Encoded(joined)]}, documents))[1]

    async def replace(self, documents: Sequence[bytes], most: int = COMMAND_DOCUMENTS) -> int:
        """Puts the documents there, over what has their `_id`; how many were new. Raises DataError for those that are refused.

        A unique value that moves from one document to another is free only after the other was written, so what was
        refused for one is tried again after the rest, as long as that helps; documents that have each other's values are
        let go of first.
        """
        new, attempts = 0, FRUITLESS_ATTEMPTS
        while documents:
            refused: list[WriteError] = []
            start = 0
            for chunk in chunks(documents, most, _update_bytes):
                upserted, failed = await self._replace_once(chunk)
                new += upserted
                refused += [structs.replace(error, index=start + error.index) for error in failed]
                start += len(chunk)
            self.refuse(documents, (error for error in refused if not error.duplicate))
            attempts = attempts - 1 if len(refused) == len(documents) else FRUITLESS_ATTEMPTS
            if not attempts:
                self.refuse(documents, refused)
            if attempts < FRUITLESS_ATTEMPTS and not await self._open_circles(documents, refused):
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (FRUITLESS_ATTEMPTS - attempts))
            documents = newest(documents, [error.index for error in refused])
        return new

    async def _open_circles(self, documents: Sequence[bytes], refused: Sequence[WriteError]) -> bool:
        """Deletes one document of each circle in which every one waits for a value of the next; whether there was any.

        All of them are among those that are about to be written, so the deleted one comes back with the next attempt, and
        before anything is reported as written.
        """
        keys = [raw.id_key(*raw.id_of(documents[error.index])) for error in refused]
        waits: dict[Hashable, Hashable] = {}
        for key, error in zip(keys, refused, strict=True):
            if owner := await self._owner(error):
                waits[key] = raw.id_key(*raw.id_of(owner))
        chosen = circles(waits)
        letting_go = [documents[error.index] for key, error in zip(keys, refused, strict=True) if key in chosen]
        if letting_go:
            deletes = [{"q": id_filter(*raw.id_of(document)), "limit": 1} for document in letting_go]
            _, undeleted = await self.send({"delete": self.name, "deletes": deletes}, letting_go)
            self.refuse(letting_go, undeleted)
        return bool(letting_go)

    async def _owner(self, error: WriteError) -> bytes:
        """`{_id: x}` of the document that has the unique value; empty where the server does not say which value it is."""
        value = error.details.get("keyValue")
        if not value:
            return b""
        command = {"find": self.name, "filter": value, "projection": {"_id": 1}, "limit": 1}
        doing = f"looking for a unique value in {self.namespace!r}"
        found = [each async for batch in self.deployment.documents(self.database, command, doing) for each in batch]
        return found[0] if found else b""

    async def _replace_once(self, documents: Sequence[bytes]) -> tuple[int, list[WriteError]]:
        """In the order given, so that of several with one `_id` the last stays."""
        new, start = 0, 0
        failed: list[WriteError] = []
        for literal, run in itertools.groupby(documents, needs_literal):
            chosen = list(run)
            upserted, refused = await (self._put_literally(chosen) if literal else self._put(chosen))
            new += upserted
            failed += [structs.replace(error, index=start + error.index) for error in refused]
            start += len(chosen)
        return new, failed

    async def _put(self, documents: Sequence[bytes]) -> tuple[int, list[WriteError]]:
        by_id = len(self.key_fields) == 1
        updates = [_upsert(document) if by_id else self._upsert_by_key(document) for document in documents]
        reply, failed = await self.send({"update": self.name, "updates": updates}, documents)
        new = len(reply.get("upserted", ()))
        moved = [error.index for error in failed if error.on_id]
        if by_id or not moved:
            return new, failed
        # There under the same _id, but with other values in the rest of the key.
        _, refused = await structs.replace(self, key_fields=("_id",))._put([documents[index] for index in moved])
        still = [structs.replace(error, index=moved[error.index]) for error in refused]
        return new, [error for error in failed if not error.on_id] + still

    def _upsert_by_key(self, document: bytes) -> dict[str, Any]:
        others = (field_filter(document, name) for name in self.key_fields if name != "_id")
        return {
            "q": {"$and": [id_filter(*raw.id_of(document)), *others]},
            "u": Encoded(document),
            "upsert": True,
        }

    async def _put_literally(self, documents: Sequence[bytes]) -> tuple[int, list[WriteError]]:
        """For documents that a replacement would change or refuse: an upsert by a pipeline takes them as they are.

        It must never meet a document that is there: the server computes the difference then, and MongoDB 6.0 was seen to abort
        where a key stands twice. So the filter matches nothing, and what is there is deleted first.
        """
        failed = await self._upsert_literally(documents)
        there = [error.index for error in failed if error.on_id]
        if not there:
            return len(documents) - len(failed), failed
        again = [documents[index] for index in there]
        deletes = [{"q": id_filter(*raw.id_of(document)), "limit": 1} for document in again]
        _, undeleted = await self.send({"delete": self.name, "deletes": deletes}, again)
        self.refuse(again, undeleted)
        refused = [structs.replace(e, index=there[e.index]) for e in await self._upsert_literally(again)]
        return len(documents) - len(failed), [error for error in failed if not error.on_id] + refused

    async def _upsert_literally(self, documents: Sequence[bytes]) -> list[WriteError]:
        updates = [
            {
                "q": {"$and": [id_filter(*raw.id_of(document)), {"$nor": [{}]}]},
                "u": [{"$replaceWith": {"$literal": Encoded(document)}}],
                "upsert": True,
            }
            for document in documents
        ]
        return (await self.send({"update": self.name, "updates": updates}, documents))[1]

    async def send(
        self, command: dict[str, Any], documents: Sequence[bytes], *, seconds: float = 0, array: bytes = b""
    ) -> tuple[dict[str, Any], list[WriteError]]:
        """Sends an unordered write; the reply, and its errors about single documents that trying again does not mend.

        `array` is the command's `documents`, encoded.
        """
        doing = f"writing to {self.namespace!r}"
        concern: Any = self.deployment.write_concern
        # The driver has no word for an encoded array; for the server it does not matter what an element was written with.
        concern = Encoded(b"".join((bson.encode(concern), DOCUMENTS, array))) if array else concern
        command |= {"ordered": False, "writeConcern": concern}
        try:
            reply = await self.deployment.run(self.database, command, doing, seconds=seconds)
        except DataError:
            check_sound(documents, self.namespace)
            raise
        failed = [WriteError(int(e["index"]), int(e["code"]), e) for e in reply.get("writeErrors", ())]
        _raise_unsure(reply, failed, doing)
        return reply, failed

    def refuse(self, documents: Sequence[bytes], failed: Iterable[WriteError]) -> None:
        """Raises DataError that names documents by `_id` if there are errors, whose indexes are those of `documents`.

        A ConflictError where all that is wrong is that unique values are taken.
        """
        every = list(failed)
        if not every:
            return
        error = next((each for each in every if not each.duplicate), every[0])
        shown = ", ".join(ids.show(*raw.id_of(documents[each.index])) for each in every[:SHOWN_IDS])
        more = f" and {len(every) - SHOWN_IDS} more" if len(every) > SHOWN_IDS else ""
        if error.duplicate:
            fields = error.index_fields or "some field"
            reason = f"another document has the same value in the unique index on {fields!r}"
            remedy = "mend the data, or drop the index until the copy is complete"
        else:
            reason, remedy = errors.describe(error.code, error.details), ""
        kind = ConflictError if error.duplicate else DataError
        raise kind(f"{self.namespace!r} refuses the document with _id {shown}{more}: {reason}", remedy=remedy)


def _raise_unsure(reply: Mapping[str, Any], failed: Sequence[WriteError], doing: str) -> None:
    """Raises where the write may not be durable, or where the same write may succeed later."""
    for error in failed:
        if error.code in errors.RETRYABLE:
            raise errors.from_code(error.code, error.details, doing)
    concern = reply.get("writeConcernError")
    if concern:
        code = int(concern.get("code", 0))
        mapped: DsyncError = errors.from_code(code, concern, doing)
        if not isinstance(mapped, TransientError | EndpointError):
            mapped = EndpointError(f"{doing}: not durable on a majority: {errors.describe(code, concern)}")
        raise mapped


def chunks(items: Sequence[Item], most: int, size: Callable[[Item], int]) -> Iterator[Sequence[Item]]:
    """Runs of documents or updates that fit into one command each; `size` is what one takes of it, in bytes."""
    if len(items) <= most and sum(map(size, items)) <= COMMAND_BYTES:
        if items:
            yield items
        return
    start, total = 0, 0
    for index, item in enumerate(items):
        needed = size(item)
        if index > start and (total + needed > COMMAND_BYTES or index - start >= most):
            yield items[start:index]
            start, total = index, 0
        total += needed
    if start < len(items):
        yield items[start:]


def circles(waits: Mapping[Hashable, Hashable]) -> set[Hashable]:
    """One of each circle in "this one waits for that one"."""
    chosen: set[Hashable] = set()
    seen: set[Hashable] = set()
    for start in waits:
        way: list[Hashable] = []
        at = start
        while at in waits and at not in seen:
            seen.add(at)
            way.append(at)
            at = waits[at]
        if at in way:
            chosen.add(at)
    return chosen


def newest(documents: Sequence[bytes], indexes: Sequence[int]) -> list[bytes]:
    """The documents at these places, without those that a later one of all replaces."""
    if not indexes:
        return []
    last = {raw.id_key(*raw.id_of(document)): index for index, document in enumerate(documents)}
    return [documents[i] for i in indexes if last[raw.id_key(*raw.id_of(documents[i]))] == i]


def _update_bytes(document: bytes) -> int:
    return len(document) + len(raw.id_of(document)[1]) + UPDATE_OVERHEAD_BYTES


def id_filter(kind: int, value: bytes) -> Encoded:
    """The filter for one `_id`; values that a filter would read as an operator or a pattern are compared by `$eq`."""
    if kind not in {raw.DOCUMENT, raw.ARRAY, raw.REGEX}:
        return Encoded(raw.value_document(kind, value, b"_id"))
    return Encoded(raw.value_document(raw.DOCUMENT, raw.value_document(kind, value, b"$eq"), b"_id"))


def _upsert(document: bytes) -> Encoded:
    """`{q: {_id: x}, u: document, upsert: true}`, put together from bytes: a third of what encoding it costs."""
    body = b"\x03q\0%b\x03u\0%b\x08upsert\0\1\0" % (id_filter(*raw.id_of(document)).raw, document)
    return Encoded((len(body) + 4).to_bytes(4, "little") + body)


def field_filter(document: bytes, path: str) -> dict[str, Any]:
    """The filter for the document's own value at a path of names with dots; null where it has none."""
    kind, value = raw.DOCUMENT, document
    for part in path.encode().split(b"."):
        inner = raw.elements(value) if kind == raw.DOCUMENT else iter(())
        kind, value = next(((k, value[at:end]) for k, name, at, end in inner if name == part), (raw.NULL, b""))
    return {path: Encoded(raw.value_document(kind, value, b"$eq"))}


def needs_literal(document: bytes) -> bool:
    """Whether a replacement would not keep the document: a Timestamp(0, 0), or a key that begins with `$`, at its top."""
    suspicious = is_changed_by_insert(document) or (b"$" in document and DOLLAR_KEY.search(document))
    return bool(suspicious) and any(
        name[:1] == b"$" or _is_zero_timestamp(kind, name, document[start:end])
        for kind, name, start, end in raw.elements(document)
    )


def is_changed_by_insert(document: bytes) -> bool:
    """Whether the server would put its time into a field of the document that is Timestamp(0, 0)."""
    if NINE_ZEROS not in document or not ZERO_TIMESTAMP.search(document):
        return False
    return any(_is_zero_timestamp(kind, name, document[start:end]) for kind, name, start, end in raw.elements(document))


def _is_zero_timestamp(kind: int, name: bytes, value: bytes) -> bool:
    return kind == raw.TIMESTAMP and not any(value) and name != b"_id"


def in_one_piece(documents: Sequence[bytes]) -> bytes:
    """What an insert carries: the array that they came as, or else one after the other."""
    return documents.array if isinstance(documents, Documents) else b"".join(documents)
