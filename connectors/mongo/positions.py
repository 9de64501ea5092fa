"""The cursor of a change stream: what is followed, and from where; versioned bytes, parsed as data from anywhere.

BSON {v, kind, names, database, namespace, query, excluded?, apart?, start? | token?}
"""

from __future__ import annotations

import re
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from google.protobuf.timestamp_pb2 import Timestamp as Moment
from msgspec import Struct, structs

from connectors.mongo.cursors import REMEDY, checked_fields, typed
from connectors.mongo.deployment import Encoded
from connectors.mongo.namespaces import Selection, is_data, leaves_out
from dsync.errors import CursorError

VERSION = 1
KIND = "mongo-position"
# A resume token's data begins with the type of a timestamp, its seconds and its counter, in hexadecimal.
TOKEN_TIME = re.compile("82[0-9A-Fa-f]{16}")
MOST_IN_A_SECOND = 999_999


class Position(Struct, frozen=True):
    """A place in a change stream: after an event or an idle moment (`token`), or a time (`start`) from which on all is wanted.

    `names` and `database` are those of the plan's selection; `namespace` narrows it to one collection, with a stream of its own.
    """

    names: tuple[str, ...]
    database: str
    namespace: str = ""
    start: Timestamp | None = None
    token: bytes = b""
    query_digest: bytes = b""
    # Names to leave out, with what is below them; their first part may be missing.
    excluded: tuple[str, ...] = ()
    # Collections that have streams of their own.
    apart: tuple[str, ...] = ()

    @property
    def selection(self) -> Selection:
        """What the stream covers."""
        return Selection(self.names, self.database)

    def covers(self, namespace: str) -> bool:
        """Whether the namespace's changes belong to the stream, be it there yet or not."""
        if self.namespace:
            return namespace == self.namespace
        if namespace in self.apart or leaves_out(self.excluded, namespace):
            return False
        database, _, collection = namespace.partition(".")
        return is_data(database, collection) and self.selection.covers(namespace)

    def after(self, token: bytes) -> Position:
        """The place after the event with this token."""
        return structs.replace(self, start=None, token=token)

    def _left_out(self) -> dict[str, tuple[str, ...]]:
        return {"excluded": self.excluded, "apart": self.apart}

    def encode(self) -> bytes:
        """The cursor's bytes, from which `decode` makes it again."""
        fields: dict[str, Any] = {"v": VERSION, "kind": KIND, "names": list(self.names), "database": self.database}
        fields |= {"namespace": self.namespace, "query": self.query_digest}
        fields |= {name: list(given) for name, given in self._left_out().items() if given}
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
        excluded, apart = (typed(fields, name, list) if name in fields else [] for name in ("excluded", "apart"))
        if not all(isinstance(name, str) for name in (*names, *excluded, *apart)) or ("token" in fields) == (
            "start" in fields
        ):
            raise CursorError("a position of MongoDB is damaged", remedy=REMEDY)
        return cls(
            names=tuple(names),
            database=typed(fields, "database", str),
            namespace=typed(fields, "namespace", str),
            start=typed(fields, "start", Timestamp) if "start" in fields else None,
            token=bytes(typed(fields, "token", RawBSONDocument).raw) if "token" in fields else b"",
            query_digest=typed(fields, "query", bytes),
            excluded=tuple(excluded),
            apart=tuple(apart),
        )


def next_moment(time: Timestamp) -> Timestamp:
    """The moment after a time, where a stream begins that is not to repeat what happened at the time itself."""
    return Timestamp(time.time, time.inc + 1)


def moment(time: Timestamp) -> Moment:
    """A server's time for the wire; the counter within the second becomes microseconds, so that times keep their order."""
    return Moment(seconds=time.time, nanos=1000 * min(time.inc, MOST_IN_A_SECOND))


def token_time(token: bytes) -> Timestamp | None:
    """The time up to which a resume token's stream has come; None where it does not say."""
    data = bson.decode(token).get("_data")
    if not isinstance(data, str) or not TOKEN_TIME.match(data):
        return None
    return Timestamp(int(data[2:10], 16), int(data[10:18], 16))
