"""`/dev/fakesource`: plain documents, as fast as they can be made."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from connectors.random import FAKESOURCE
from connectors.random.cursors import Lane, Slice
from connectors.random.settings import number
from connectors.random.source import MadeUpSource
from dsync import codec, wire
from dsync.errors import DataError, UsageError

OWN_FIELDS = frozenset({"_id", "id", "i", "n", "v", "payload"})
ID = re.compile(rb"(\d{6,})-(\d{12,})")
INT64 = struct.Struct("<q").pack
INT32 = struct.Struct("<i").pack
STRING = 2
TARGET, IN_BLOCK = 2, 6
BLOCK = 1000
LARGEST_INT32 = 0x7FFFFFFF
LARGEST_DOCUMENT_BYTES = 15_000_000


class Place(Struct, frozen=True):
    """Offsets of a partition, all of one block."""

    namespace: int
    partition: int
    start: int
    end: int


class Extra(Struct, frozen=True):
    """The fields that all documents share: as BSON elements and as text that follows a member."""

    elements: bytes
    text: bytes


class FakeSource(MadeUpSource):
    """Documents `{_id: "PARTITION-OFFSET", i: int32, n: int64, v: 0, …}`; updates change `n` and set `v` to the tick.

    `i` follows from the offset's last three digits, `n` from all the others: a block of 1000 documents shares all
    bytes but one piece in the middle, which comes from a table. (Filling a template takes four times as long.)
    """

    spec = FAKESOURCE

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        super().__init__(uri, options)
        self._extra = _extra(self.settings.payload, self.settings.payload_json)
        self._numbers_in_block = [number(self.settings.seed, at, IN_BLOCK) & LARGEST_INT32 for at in range(BLOCK)]
        self._bson_pieces = [b"%03d\0\x10i\0%b" % (at, INT32(i)) for at, i in enumerate(self._numbers_in_block)]
        self._text_pieces = [b'%03d","i":%d' % (at, i) for at, i in enumerate(self._numbers_in_block)]

    def document_bytes(self) -> int:
        """Of the larger of the two forms."""
        return 100 + max(len(self._extra.elements), len(self._extra.text))

    def page(self, part: Slice, start: int, end: int, data_type: wire.Type) -> list[bytes]:
        """The documents of a partition from one offset up to another."""
        documents: list[bytes] = []
        while start < end:
            stop = min(end, start - start % BLOCK + BLOCK)
            documents += self._block(Place(part.namespace, part.partition, start, stop), 0, data_type)
            start = stop
        return documents

    def update(self, lane: Lane, number_: int, data_type: wire.Type) -> wire.Update | None:
        """A full document with a new version, of one of the documents that this stream owns."""
        settings = self.settings
        streams = settings.num_update_partitions_per_namespace
        owned = (settings.documents_per_namespace - lane.partition + streams - 1) // streams
        if owned <= 0:
            return None
        slot = number(settings.seed, lane.namespace, lane.partition, number_, TARGET) % owned
        partition, offset = divmod(slot * streams + lane.partition, settings.num_docs_per_partition)
        place = Place(lane.namespace, partition, offset, offset + 1)
        [data] = self._block(place, min(lane.tick + 1, LARGEST_INT32), data_type)
        identity = b"%06d-%012d" % (partition, offset)
        value = wire.BsonValue(data=INT32(len(identity) + 1) + identity + b"\0", type=STRING, name="_id")
        return wire.Update(id=[value], type=wire.UPDATE, data=data)

    def find(self, namespace: int, identity: wire.BsonValue, data_type: wire.Type) -> bytes:
        """The document as its page has it."""
        match = ID.fullmatch(identity.data[4:-1]) if identity.type == STRING else None
        if match is None:
            return b""
        partition, offset = int(match[1]), int(match[2])
        settings = self.settings
        if partition >= settings.num_partitions_per_namespace or offset >= settings.num_docs_per_partition:
            return b""
        [document] = self._block(Place(namespace, partition, offset, offset + 1), 0, data_type)
        return document if match[0] == b"%06d-%012d" % (partition, offset) else b""

    def _block(self, place: Place, version: int, data_type: wire.Type) -> list[bytes]:
        """Documents that share a thousand."""
        thousand, at = divmod(place.start, BLOCK)
        # Between 2**52 and 2**53: an int64 in BSON, a plain number in JSON, exact in JavaScript.
        n = 1 << 52 | number(self.settings.seed, place.namespace, place.partition, thousand, version) >> 12
        begin = b"%06d-%09d" % (place.partition, thousand)
        if data_type == wire.BSON:
            pieces = self._bson_pieces
            end = b"\x12n\0" + INT64(n) + b"\x10v\0" + INT32(version) + self._extra.elements + b"\0"
            head = b"\x02_id\0" + INT32(len(begin) + 4) + begin
            begin = INT32(4 + len(head) + len(pieces[0]) + len(end)) + head
        else:
            pieces = self._text_pieces
            begin = (b'{"_id":"' if data_type == wire.EXTENDED_JSON else b'{"id":"') + begin
            end = b',"n":%d,"v":%d%b}' % (n, version, self._extra.text)
        return [begin + piece + end for piece in pieces[at : at + place.end - place.start]]


def _extra(payload: str, payload_json: str) -> Extra:
    elements = text = b""
    if payload:
        length = int(payload) if payload.isascii() and payload.isdigit() and len(payload) < 12 else None
        if (length or 0) > LARGEST_DOCUMENT_BYTES:
            raise UsageError(f"--payload: a document has at most {LARGEST_DOCUMENT_BYTES} bytes")
        encoded = _utf8("--payload", payload if length is None else "x" * length)
        elements += b"\x02payload\0" + INT32(len(encoded) + 1) + encoded + b"\0"
        text += b',"payload":' + orjson.dumps(encoded.decode())
    if payload_json:
        more = _parsed(_utf8("--payload-json", payload_json).strip())
        elements += more.elements
        text += more.text
    return Extra(elements, text)


def _utf8(option: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{option} is not valid UTF-8") from error


def _parsed(payload: bytes) -> Extra:
    """The object's fields in both forms: it borrows an `_id`, which BSON wants, and which is cut off again."""
    try:
        fields = orjson.loads(payload)
        if not isinstance(fields, dict):
            raise UsageError("--payload-json is not an object", remedy="""write it like '{"kind": "test"}'""")
        if taken := OWN_FIELDS & fields.keys():
            raise UsageError(f"--payload-json: the documents have a field {min(taken)!r} already", remedy="rename it")
        if not fields:
            return Extra(b"", b"")
        documents = codec.text_to_bson([b'{"_id":0,' + payload[1:]])
        [text] = codec.bson_to_text(documents)
    except ValueError as error:
        raise UsageError("--payload-json is not JSON", remedy="""write it like '{"kind": "test"}'""") from error
    except DataError as error:
        raise UsageError(f"--payload-json: {error.message}") from error
    if not text.startswith(b'{"_id":0,'):
        raise UsageError("--payload-json: no such fields", remedy="leave out keys that begin with $")
    return Extra(documents[0][len(b"size\x10_id\0int4") : -1], text[len(b'{"_id":0') : -1])
