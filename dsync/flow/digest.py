"""When two documents are one: what an id and a document are compared by, as bytes and as digests."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from bson.decimal128 import Decimal128

from dsync.codec import raw
from dsync.flow.verify_text import id_text, text_fields

DIGEST_BYTES = 16
# A document's own `_id` stands here, where it is the first element.
FIRST_KEY = slice(5, 9)
ID_KEY = b"_id\0"

Path = tuple[bytes, ...]


def id_bytes(kind: int, value: bytes) -> bytes:
    """Equal for ids that MongoDB holds for equal: numbers by value whatever their type, all else by type and value."""
    if kind == raw.OBJECT_ID:
        return b"\7" + value
    if kind in (raw.INT32, raw.INT64):
        return b"n%x/1" % int.from_bytes(value, "little", signed=True)
    if kind == raw.DOUBLE:
        return _number(struct.unpack("<d", value)[0])
    if kind == raw.DECIMAL128:
        return _decimal(value)
    if kind == raw.DOCUMENT:
        return b"d" + b"".join(b"%b\0%b" % (key, _counted(inner)) for key, inner in _members(value))
    if kind == raw.ARRAY:
        return b"a" + b"".join(_counted(inner) for _, inner in _members(value))
    return b"%c%b" % (raw.STRING if kind == raw.SYMBOL else kind, value)


def _members(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, key, start, end in raw.elements(value):
        yield key, id_bytes(kind, value[start:end])


def _counted(inner: bytes) -> bytes:
    return struct.pack("<I", len(inner)) + inner


def _number(number: float) -> bytes:
    if not math.isfinite(number):
        return b"n%a" % ("nan" if math.isnan(number) else str(number))
    return b"n%x/%x" % number.as_integer_ratio()


def _decimal(value: bytes) -> bytes:
    decimal = Decimal128.from_bid(value).to_decimal()
    if decimal.is_nan():
        return _number(math.nan)
    if decimal.is_infinite():
        return _number(math.inf if decimal > 0 else -math.inf)
    exact = Fraction(decimal)
    return b"n%x/%x" % (exact.numerator, exact.denominator)


@dataclass(frozen=True, slots=True)
class Form:
    """What of a document is compared: every byte, or the same but for the order of fields, or some fields alone, or its text.

    A server moves `_id` to the front of what it stores, so its place never counts.
    """

    ignore_field_order: bool = False
    # As far as cells of text can hold it; projections are then of top-level fields.
    as_text: bool = False
    projection: tuple[Path, ...] = ()

    def of(self, document: bytes) -> bytes:
        """Equal bytes for documents that count as equal; `document` has an `_id`."""
        if self.as_text:
            return b"".join(_counted(key) + _counted(value) for key, value in sorted(self.texts(document).items()))
        if self.projection:
            return b"".join(_counted(self.at(document, path)) for path in self.projection)
        return sorted_fields(document) if self.ignore_field_order else id_first(document)

    def texts(self, document: bytes) -> dict[bytes, bytes]:
        """The fields that are compared, as text."""
        fields = text_fields(document)
        names = {path[0] for path in self.projection}
        return {key: value for key, value in fields.items() if key in names} if names else fields

    def identity(self, kind: int, value: bytes) -> bytes:
        """Equal bytes for ids that count as one."""
        return b"t" + id_text(kind, value) if self.as_text else id_bytes(kind, value)

    def at(self, document: bytes, path: Path) -> bytes:
        """What MongoDB's projection of the path leaves, through documents and arrays; b"{" where nothing is there."""
        return self._projected(raw.DOCUMENT, document, path)

    def _projected(self, kind: int, value: bytes, path: Path) -> bytes:
        if not path:
            return b"%c%b" % (kind, self._whole(kind, value))
        if kind == raw.DOCUMENT:
            inner = (self._projected(k, value[s:e], path[1:]) for k, key, s, e in raw.elements(value) if key == path[0])
            return b"{" + b"".join(_counted(each) for each in inner if each)
        if kind == raw.ARRAY:
            inner = (self._projected(k, value[s:e], path) for k, _, s, e in raw.elements(value))
            return b"[" + b"".join(_counted(each) for each in inner if each)
        return b""

    def _whole(self, kind: int, value: bytes) -> bytes:
        if self.ignore_field_order and kind in (raw.DOCUMENT, raw.ARRAY):
            return sorted_fields(value, array=kind == raw.ARRAY)
        return value


def id_first(document: bytes) -> bytes:
    """The document with its `_id` in front; one without keeps its order."""
    if document[FIRST_KEY] == ID_KEY:
        return document
    parts = list(_parts(document))
    return _framed(sorted(parts, key=lambda part: part[0] != b"_id"))


def sorted_fields(document: bytes, *, array: bool = False) -> bytes:
    """The document with the fields of every level in one order; the elements of arrays keep theirs."""
    parts = []
    for kind, key, start, end in raw.elements(document):
        value = document[start:end]
        if kind in (raw.DOCUMENT, raw.ARRAY):
            value = sorted_fields(value, array=kind == raw.ARRAY)
        parts.append((key, b"%c%b\0%b" % (kind, key, value)))
    return _framed(parts if array else sorted(parts, key=lambda part: part[0]))


def _parts(document: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, key, start, end in raw.elements(document):
        yield key, b"%c%b\0%b" % (kind, key, document[start:end])


def _framed(parts: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(part for _, part in parts)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


class Digester:
    """Digests under a key of this run's own, so that no data can be made to collide."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(digest_size=DIGEST_BYTES, key=key)

    def of(self, data: bytes) -> bytes:
        """16 bytes."""
        digest = self._keyed.copy()
        digest.update(data)
        return digest.digest()
