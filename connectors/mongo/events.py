"""Events of a change stream, taken out of the server's bytes."""

from __future__ import annotations

from bson.timestamp import Timestamp
from msgspec import Struct

from dsync.codec import raw

INSERT, UPDATE, REPLACE, DELETE = "insert", "update", "replace", "delete"
DATA = (INSERT, UPDATE, REPLACE, DELETE)
DROP, RENAME, DROP_DATABASE, INVALIDATE = "drop", "rename", "dropDatabase", "invalidate"
# All that is asked for: the description of an update may make an event too large to be sent, and the document is looked up anyway.
FIELDS = ("operationType", "ns", "to", "documentKey", "clusterTime")


class Event(Struct, frozen=True):
    """One event. `token` is its place; `key` is the document of its `_id` and shard key; `document` is there if it was sent."""

    kind: str
    token: bytes
    namespace: str = ""
    renamed_to: str = ""
    key: bytes = b""
    document: bytes = b""
    time: Timestamp | None = None


def parse(event: bytes) -> Event:
    """The event in a change stream's document."""
    kind, token, namespace, to, key, document, time = "", b"", "", "", b"", b"", None
    for of, name, start, end in raw.elements(event):
        value = event[start:end]
        if name == b"_id":
            token = value
        elif name == b"operationType":
            kind = _text(value)
        elif name == b"ns":
            namespace = _namespace(value)
        elif name == b"to":
            to = _namespace(value)
        elif name == b"documentKey":
            key = value
        elif name == b"fullDocument" and of == raw.DOCUMENT:
            document = value
        elif name == b"clusterTime":
            time = Timestamp(int.from_bytes(value[4:], "little"), int.from_bytes(value[:4], "little"))
    return Event(kind, token, namespace, to, key, document, time)


def _namespace(document: bytes) -> str:
    parts = {name: _text(document[start:end]) for _, name, start, end in raw.elements(document)}
    return ".".join(parts[name] for name in (b"db", b"coll") if name in parts)


def _text(value: bytes) -> str:
    return value[4:-1].decode()
