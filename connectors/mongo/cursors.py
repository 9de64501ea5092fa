"""The cursors of partitions and pages: versioned bytes with all that is needed to go on, parsed as data from anywhere.

partition   BSON {v, kind, ns, uuid, lower?, upper?, documents, bytes, average, after?, query}
page        b"\\x01", digest of the partition's cursor (8 bytes), BSON {_id: the last one of the page before}
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from msgspec import Struct

from connectors.mongo.deployment import RAW, Encoded
from dsync.codec import raw
from dsync.errors import CursorError, DataError

Value = TypeVar("Value")

VERSION = 1
KIND = "mongo-partition"
PAGE_MARK = b"\x01"
DIGEST_BYTES = 8
REMEDY = "plan again with --restart"
MOST_PAGE_DOCUMENTS = 100_000
MOST_PAGE_BYTES = 16 << 20


class PartitionCursor(Struct, frozen=True):
    """A half-open range of `_id` in one collection, and the rule by which it is cut into pages.

    `lower` and `upper` are documents `{_id: x}`; empty: open. `uuid` is the collection's at the time of the plan, empty where the
    server has none. `after` is a time that reads have to include. `query_digest` names the filter.
    """

    namespace: str
    lower: bytes
    upper: bytes
    page_documents: int
    page_bytes: int
    average_bytes: int = 0
    uuid: bytes = b""
    after: Timestamp | None = None
    query_digest: bytes = b""

    def encode(self) -> bytes:
        """The cursor's bytes, from which `decode` makes it again."""
        fields: dict[str, Any] = {"v": VERSION, "kind": KIND, "ns": self.namespace, "uuid": self.uuid}
        if self.lower:
            fields["lower"] = Encoded(self.lower)
        if self.upper:
            fields["upper"] = Encoded(self.upper)
        fields |= {"documents": self.page_documents, "bytes": self.page_bytes, "average": self.average_bytes}
        if self.after is not None:
            fields["after"] = self.after
        return bson.encode({**fields, "query": self.query_digest})

    @classmethod
    def decode(cls, encoded: bytes) -> PartitionCursor:
        """Raises CursorError for anything that `encode` did not make."""
        fields = checked_fields(encoded, KIND, VERSION)
        cursor = cls(
            namespace=typed(fields, "ns", str),
            lower=_id_bound(fields, "lower"),
            upper=_id_bound(fields, "upper"),
            page_documents=typed(fields, "documents", int),
            page_bytes=typed(fields, "bytes", int),
            average_bytes=typed(fields, "average", int),
            uuid=typed(fields, "uuid", bytes),
            after=typed(fields, "after", Timestamp) if "after" in fields else None,
            query_digest=typed(fields, "query", bytes),
        )
        if not (0 < cursor.page_documents <= MOST_PAGE_DOCUMENTS and 0 < cursor.page_bytes <= MOST_PAGE_BYTES):
            raise CursorError("a partition's cursor asks for pages of an impossible size", remedy=REMEDY)
        return cursor


def encode_page(partition: bytes, last: bytes) -> bytes:
    """The cursor of the page after the document `last` of a partition."""
    return PAGE_MARK + _digest(partition) + raw.id_document(last)


def decode_page(partition: bytes, cursor: bytes) -> bytes:
    """The `{_id: x}` after which the page begins, empty for the first page. Raises CursorError."""
    if not cursor:
        return b""
    start = len(PAGE_MARK) + DIGEST_BYTES
    if cursor[: len(PAGE_MARK)] != PAGE_MARK:
        raise CursorError("a page's cursor is not MongoDB's or of another version", remedy=REMEDY)
    if cursor[len(PAGE_MARK) : start] != _digest(partition):
        raise CursorError("a page's cursor belongs to another partition", remedy=REMEDY)
    return _checked_id(cursor[start:])


def checked_fields(encoded: bytes, kind: str, version: int) -> RawBSONDocument:
    """The fields of a cursor of this kind and version. Raises CursorError."""
    try:
        raw.check(encoded, strict=False)
        fields = bson.decode(encoded, RAW)
        found = fields.get("kind"), fields.get("v")
    except (DataError, BSONError, UnicodeDecodeError):
        raise CursorError("a cursor of MongoDB is damaged", remedy=REMEDY) from None
    if found != (kind, version):
        raise CursorError("a cursor is not MongoDB's or of another version", remedy=REMEDY)
    return fields


def typed(fields: RawBSONDocument, name: str, kind: type[Value]) -> Value:
    """A field of a cursor. Raises CursorError where it is not there or of another type."""
    value = fields.get(name)
    if not isinstance(value, kind):
        raise CursorError(f"a cursor of MongoDB lacks {name!r}", remedy=REMEDY)
    return value


def _id_bound(fields: RawBSONDocument, name: str) -> bytes:
    return _checked_id(bytes(typed(fields, name, RawBSONDocument).raw)) if name in fields else b""


def _checked_id(document: bytes) -> bytes:
    try:
        raw.check(document, strict=False)
        keys = [key for _, key, _, _ in raw.elements(document)]
    except DataError:
        keys = []
    if keys != [b"_id"]:
        raise CursorError("a cursor of MongoDB does not hold an _id", remedy=REMEDY)
    return document


def _digest(partition: bytes) -> bytes:
    return hashlib.blake2b(partition, digest_size=DIGEST_BYTES).digest()
