"""Write commands to one collection: raw documents in, the server's word on each of them out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.mongo import errors, ids
from connectors.mongo.deployment import Deployment, Encoded, raw_documents
from dsync.codec import raw
from dsync.errors import DataError, DsyncError, EndpointError, TransientError

DOCUMENT_BYTES = 16 << 20
# The driver refuses commands beyond this and a margin for what stands around the documents; a single document always fits.
COMMAND_BYTES = DOCUMENT_BYTES
COMMAND_DOCUMENTS = 100_000
# What an update adds to its document, beside the _id.
UPDATE_OVERHEAD_BYTES = 96
FRUITLESS_ATTEMPTS = 3
SHOWN_IDS = 5
# The server puts its time into a top-level Timestamp(0, 0) of an insert or a replacement. The nine zeros, the key's end and the
# value, are looked for first: a search for plain bytes is the fastest.
NINE_ZEROS = bytes(9)
ZERO_TIMESTAMP = re.compile(rb"\x11[^\0]*\0\0{8}")


@dataclass(frozen=True, slots=True)
class WriteError:
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


@dataclass(frozen=True, slots=True)
class CollectionWriter:
    """Writes to one collection. Every method returns when a majority has it in the journal."""

    deployment: Deployment
    database: str
    name: str

    @property
    def namespace(self) -> str:
        """The collection's full name."""
        return f"{self.database}.{self.name}"

    async def insert(self, documents: Sequence[bytes]) -> list[WriteError]:
        """Inserts what can be; the errors are about single documents."""
        command = {"insert": self.name, "documents": raw_documents(documents)}
        return (await self.send(command, documents))[1]

    async def replace(self, documents: Sequence[bytes], most: int = COMMAND_DOCUMENTS) -> int:
        """Puts the documents there, over what has their `_id`; how many were new. Raises DataError for those that are refused.

        A unique value that moves from one document to another is free only after the other was written, so what was
        refused for one is tried again after the rest, as long as that helps.
        """
        new, attempts = 0, FRUITLESS_ATTEMPTS
        while documents:
            refused: list[tuple[bytes, WriteError]] = []
            for chunk in chunks(documents, most, UPDATE_OVERHEAD_BYTES):
                upserted, failed = await self._replace_once(chunk)
                new += upserted
                refused += [(chunk[error.index], error) for error in failed]
            self.refuse_all((document, error) for document, error in refused if not error.duplicate)
            attempts = attempts - 1 if len(refused) == len(documents) else FRUITLESS_ATTEMPTS
            if refused and not attempts:
                self.refuse_all(refused)
            documents = [document for document, _ in refused]
        return new

    async def _replace_once(self, documents: Sequence[bytes]) -> tuple[int, list[WriteError]]:
        updates = [replacement(document) for document in documents]
        reply, failed = await self.send({"update": self.name, "updates": updates}, documents)
        return len(reply.get("upserted", ())), failed

    async def send(
        self, command: dict[str, Any], documents: Sequence[bytes]
    ) -> tuple[dict[str, Any], list[WriteError]]:
        """Sends an unordered write; the reply, and its errors about single documents that trying again does not mend."""
        doing = f"writing to {self.namespace!r}"
        command |= {"ordered": False, "writeConcern": self.deployment.write_concern}
        try:
            reply = await self.deployment.run(self.database, command, doing)
        except DataError:
            check_sound(documents, self.namespace)
            raise
        failed = [WriteError(int(e["index"]), int(e["code"]), e) for e in reply.get("writeErrors", ())]
        _raise_unsure(reply, failed, doing)
        return reply, failed

    def refuse(self, documents: Sequence[bytes], failed: Iterable[WriteError]) -> None:
        """Raises DataError if there are errors; `documents` are those that the errors' indexes mean."""
        self.refuse_all((documents[error.index], error) for error in failed)

    def refuse_all(self, refused: Iterable[tuple[bytes, WriteError]]) -> None:
        """Raises DataError that names the documents by `_id`, if there are any."""
        every = list(refused)
        if not every:
            return
        error = every[0][1]
        shown = ", ".join(ids.show(*raw.id_of(document)) for document, _ in every[:SHOWN_IDS])
        more = f" and {len(every) - SHOWN_IDS} more" if len(every) > SHOWN_IDS else ""
        if error.duplicate:
            reason = (
                f"another document has the same value in the unique index on {error.index_fields or 'some field'!r}"
            )
            remedy = "mend the data, or drop the index until the copy is complete"
        else:
            reason, remedy = errors.describe(error.code, error.details), ""
        raise DataError(f"{self.namespace!r} refuses the document with _id {shown}{more}: {reason}", remedy=remedy)


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


def chunks(documents: Sequence[bytes], most: int, overhead_bytes: int) -> Iterator[Sequence[bytes]]:
    """Runs of documents that fit into one command each."""
    start, size = 0, 0
    for index, document in enumerate(documents):
        needed = len(document) + overhead_bytes
        if index > start and (size + needed > COMMAND_BYTES or index - start >= most):
            yield documents[start:index]
            start, size = index, 0
        size += needed
    if start < len(documents):
        yield documents[start:]


def id_filter(kind: int, value: bytes) -> Encoded:
    """The filter for one `_id`; values that a filter would read as an operator or a pattern are compared by `$eq`."""
    if kind not in {raw.DOCUMENT, raw.ARRAY, raw.REGEX}:
        return Encoded(raw.value_document(kind, value, b"_id"))
    return Encoded(raw.value_document(raw.DOCUMENT, raw.value_document(kind, value, b"$eq"), b"_id"))


def replacement(document: bytes) -> dict[str, Any]:
    """The update that puts this document there, new or over what has its `_id`."""
    literal = needs_literal(document) or document[5:6] == b"$"
    encoded = Encoded(document)
    return {
        "q": id_filter(*raw.id_of(document)),
        "u": [{"$replaceWith": {"$literal": encoded}}] if literal else encoded,
        "upsert": True,
    }


def needs_literal(document: bytes) -> bool:
    """Whether the server would put its time into a field of the document that is Timestamp(0, 0)."""
    if NINE_ZEROS not in document or not ZERO_TIMESTAMP.search(document):
        return False
    return any(
        kind == raw.TIMESTAMP and not any(document[start:end]) and name != b"_id"
        for kind, name, start, end in raw.elements(document)
    )


def check_framing(documents: Sequence[bytes], namespace: str) -> None:
    """Raises DataError for documents without an `_id`, too large, or not as long as they say: the cheap checks."""
    for document in documents:
        if len(document) > DOCUMENT_BYTES:
            kind = ids.NAMES.get(raw.id_of(document)[0], "unknown")
            raise DataError(
                f"a document for {namespace!r} has {len(document)} bytes, MongoDB takes {DOCUMENT_BYTES}; its _id is a {kind}"
            )
        if document[:4] != len(document).to_bytes(4, "little"):
            raise DataError(f"a document for {namespace!r} is not BSON: its length is wrong")
        if document[5:9] != b"_id\0":
            _check_has_id(document, namespace)


def _check_has_id(document: bytes, namespace: str) -> None:
    try:
        raw.id_of(document)
    except DataError as error:
        raise DataError(f"{namespace!r}: {error.message}") from None


def check_sound(documents: Sequence[bytes], namespace: str) -> None:
    """Raises DataError for the first document that is not sound BSON: what the server refuses without saying which."""
    for index, document in enumerate(documents):
        try:
            raw.check(document, strict=False)
        except DataError as error:
            raise DataError(f"{namespace!r}: document {index} of the batch is malformed: {error.message}") from None
