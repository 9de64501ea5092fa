"""The cursor of a change stream: what is followed, and from where; versioned bytes, parsed as data from anywhere.

BSON {v, kind, names, database, namespace, query, start? | token?}
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from connectors.mongo.cursors import REMEDY, checked_fields, typed
from connectors.mongo.deployment import Encoded
from connectors.mongo.namespaces import Selection, is_data
from dsync.errors import CursorError

VERSION = 1
KIND = "mongo-position"
# A resume token's data begins with the type of a timestamp, its seconds and its counter, in hexadecimal.
TIMESTAMP_MARK = "82"


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a change stream: after an event or an idle moment (`token`), or a time (`start`) from which on all is wanted.

    `names` and `database` are those of the plan's selection; `namespace` narrows it to one collection, with a stream of its own.
    """

    names: tuple[str, ...]
    database: str
    namespace: str = ""
    start: Timestamp | None = None
    token: bytes = b""
    query_digest: bytes = b""

    @property
    def selection(self) -> Selection:
        """What the stream covers."""
        return Selection(self.names, self.database)

    def covers(self, namespace: str) -> bool:
        """Whether the namespace's changes belong to the stream, be it there yet or not."""
        if self.namespace:
            return namespace == self.namespace
        database, _, collection = namespace.partition(".")
        return is_data(database, collection) and self.selection.covers(namespace)

    def after(self, token: bytes) -> Position:
        """The place after the event with this token."""
        return dataclasses.replace(self, start=None, token=token)

    def encode(self) -> bytes:
        """The cursor's bytes, from which `decode` makes it again."""
        fields: dict[str, Any] = {"v": VERSION, "kind": KIND, "names": list(self.names), "database": self.database}
        fields |= {"namespace": self.namespace, "query": self.query_digest}
        if self.token:
            fields["token"] = Encoded(self.token)
        elif self.start is not None:
            fields["start"] = self.start
        return bson.encode(fields)

    @classmethod
    def decode(cls, encoded: bytes) -> Position:
        """Raises CursorError for anything that `encode` did not make."""
        fields = checked_fields(encoded, KIND, VERSION)
        names = typed(fields, "names", list)
        if not all(isinstance(name, str) for name in names) or ("token" in fields) == ("start" in fields):
            raise CursorError("a position of MongoDB is damaged", remedy=REMEDY)
        return cls(
            names=tuple(names),
            database=typed(fields, "database", str),
            namespace=typed(fields, "namespace", str),
            start=typed(fields, "start", Timestamp) if "start" in fields else None,
            token=bytes(typed(fields, "token", RawBSONDocument).raw) if "token" in fields else b"",
            query_digest=typed(fields, "query", bytes),
        )


def next_moment(time: Timestamp) -> Timestamp:
    """The moment after a time, where a stream begins that is not to repeat what happened at the time itself."""
    return Timestamp(time.time, time.inc + 1)


def token_seconds(token: bytes) -> int:
    """The time up to which a resume token's stream has come, in seconds since 1970; 0 where it does not say."""
    data = bson.decode(token).get("_data")
    if not isinstance(data, str) or not data.startswith(TIMESTAMP_MARK):
        return 0
    try:
        return int(data[2:10], 16)
    except ValueError:
        return 0
