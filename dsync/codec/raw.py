"""BSON as bytes: where the elements are, without decoding them.

Everything here but `check` takes documents from a server or from this package on trust: on malformed bytes it raises
InvalidBson or answers nonsense, but never reads outside the buffer. `check` is for bytes from anywhere else.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Hashable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.decimal128 import Decimal128

from dsync.codec.errors import InvalidBson
from dsync.errors import DataError

DOUBLE, STRING, DOCUMENT, ARRAY, BINARY, UNDEFINED, OBJECT_ID, BOOLEAN, DATE, NULL = range(1, 11)
REGEX, DB_POINTER, CODE, SYMBOL, CODE_WITH_SCOPE, INT32, TIMESTAMP, INT64, DECIMAL128 = range(11, 20)
MIN_KEY, MAX_KEY = 0xFF, 0x7F
OLD_BINARY = 2

# MongoDB takes documents of up to 250 levels at most (180 from a client); deeper ones are nobody's data.
MAX_NESTING = 300
# A document without elements: its size and its end.
LEAST_BYTES = 5
# More than what is looked at of each document of an array: type and key of the element, size, type and key of the first field.
MOST_HEAD_BYTES = 32
ID_KEY = int.from_bytes(b"_id\0", "little")

# Dates beyond the year 9999 decode to DatetimeMS.
EVERY_DATE: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)

int32_at = struct.Struct("<i").unpack_from
_head_at = struct.Struct("<ixi").unpack_from

_FIXED = {
    DOUBLE: 8,
    UNDEFINED: 0,
    OBJECT_ID: 12,
    BOOLEAN: 1,
    DATE: 8,
    NULL: 0,
    INT32: 4,
    TIMESTAMP: 8,
    INT64: 8,
    DECIMAL128: 16,
    MIN_KEY: 0,
    MAX_KEY: 0,
}
# What stands around the counted bytes of a value that begins with its length.
_COUNTED = {STRING: 4, DOCUMENT: 0, ARRAY: 0, BINARY: 5, DB_POINTER: 16, CODE: 4, SYMBOL: 4, CODE_WITH_SCOPE: 0}


def value_size(kind: int, buffer: bytes, at: int) -> int:
    """The number of bytes that a value of a BSON type takes at `at`.

    Raises:
        InvalidBson: an unknown type, or a length that leads out of the buffer.
    """
    size = _FIXED.get(kind)
    if size is None:
        try:
            size = _counted_size(kind, buffer, at)
        except (struct.error, ValueError):
            raise InvalidBson(f"a BSON value is cut off at byte {at}") from None
    if size < 0 or at + size > len(buffer):
        raise InvalidBson(f"a BSON value is cut off at byte {at}")
    return size


def _counted_size(kind: int, buffer: bytes, at: int) -> int:
    around = _COUNTED.get(kind)
    if around is not None:
        (counted,) = int32_at(buffer, at)
        return -1 if counted < 0 else int(counted) + around
    if kind == REGEX:
        return buffer.index(0, buffer.index(0, at) + 1) + 1 - at
    raise InvalidBson(f"unknown BSON type {kind:#04x} before byte {at}")


def old_binary(content: bytes) -> bytes | None:
    """The bytes in a binary of subtype 2, which begins with its length once more; None where that is wrong."""
    if len(content) < 4 or int32_at(content, 0)[0] != len(content) - 4:
        return None
    return content[4:]


def elements(buffer: bytes, at: int = 0) -> Iterator[tuple[int, bytes, int, int]]:
    """Type, key, start and end of each value of the document at `at`, in order.

    Raises:
        InvalidBson: the document is malformed; what was yielded until then may be nonsense.
    """
    end = at + document_size(buffer, at) - 1
    at += 4
    while at < end:
        kind = buffer[at]
        nul = buffer.find(0, at + 1, end)
        if nul < 0:
            raise InvalidBson(f"a BSON key has no end at byte {at + 1}")
        start = nul + 1
        stop = start + value_size(kind, buffer, start)
        yield kind, buffer[at + 1 : nul], start, stop
        at = stop
    if at != end or buffer[end]:
        raise InvalidBson(f"a BSON document does not end at byte {end} where its length says")


def document_size(buffer: bytes, at: int = 0) -> int:
    """The size that the document at `at` claims; it lies within the buffer."""
    if at < 0 or at + 5 > len(buffer):
        raise InvalidBson(f"a BSON document is cut off at byte {at}")
    size: int = int32_at(buffer, at)[0]
    if size < 5 or at + size > len(buffer):
        raise InvalidBson(f"a BSON document claims {size} bytes at byte {at}, where {len(buffer) - at} are left")
    return size


def slice_array(buffer: bytes, at: int = 0) -> list[bytes]:
    """The documents of the array at `at`, such as a cursor's batch in a server's reply."""
    return slices(buffer, at, array_sizes(buffer, at)[0])


def slices(buffer: bytes, at: int, sizes: Sequence[int]) -> list[bytes]:
    """The documents of these sizes in the array at `at`."""
    documents: list[bytes] = []
    put = documents.append
    at += 4
    for before, most in _key_runs():
        for size in sizes[len(documents) : most]:
            at += before + size
            put(buffer[at - size : at])
        if len(sizes) <= most:
            break
    return documents


def array_sizes(buffer: bytes, at: int = 0) -> tuple[list[int], bool]:
    """The size of each document of the array at `at`, and whether each begins with its `_id`.

    Raises InvalidBson where it is no array of documents.
    """
    end = at + document_size(buffer, at) - 1
    try:
        if len(buffer) < end + MOST_HEAD_BYTES:
            buffer += bytes(MOST_HEAD_BYTES)  # the last document may be shorter than what is read of each
        sizes, begin_with_id = _sizes(buffer, at + 4, end)
    except struct.error:
        raise InvalidBson(f"an array of BSON documents is cut off at byte {at}") from None
    if sizes and not _ends_with(buffer, end - sizes[-1], len(sizes) - 1):
        raise InvalidBson(f"not an array of BSON documents up to byte {end}")
    return sizes, begin_with_id


def _sizes(buffer: bytes, at: int, end: int) -> tuple[list[int], bool]:
    sizes: list[int] = []
    others = 0
    put = sizes.append
    for before, most in _key_runs():
        begun = len(sizes)
        for _ in itertools.repeat(None, most - begun):
            if at >= end:
                break
            size, key = _head_at(buffer, at + before)
            put(size)
            if key != ID_KEY:
                others += 1
            at += before + size
        # One look at all of them costs less than one at each: a wrong size is too small, or leads elsewhere.
        if min(sizes[begun:], default=LEAST_BYTES) < LEAST_BYTES:
            raise InvalidBson(f"an array of BSON documents has one of no size before byte {at}")
        if at >= end:
            break
    if at > end:
        raise InvalidBson(f"not an array of BSON documents up to byte {end}")
    return sizes, not others


def _key_runs() -> Iterator[tuple[int, int]]:
    """How much stands before each document of an array, its type and its key, and before which index.

    The keys are "0", "1", ...: their widths are known, which spares a search per document.
    """
    return ((2 + width, 10**width) for width in itertools.count(1))


def _ends_with(buffer: bytes, start: int, index: int) -> bool:
    """Whether the last document, which starts there, has this index: then every one before it was found where it is."""
    key = b"%c%d\0" % (DOCUMENT, index)
    return buffer[start - len(key) : start] == key


def array(documents: Sequence[bytes]) -> bytes:
    """The array of the documents: the inverse of `slice_array`."""
    count = len(documents)
    pieces = [b""] * (2 * count)
    pieces[::2] = _ARRAY_KEYS[:count] if count <= len(_ARRAY_KEYS) else _array_keys(count)
    pieces[1::2] = documents
    content = b"".join(pieces)
    return b"%b%b\0" % (struct.pack("<i", len(content) + 5), content)


def _array_keys(count: int) -> list[bytes]:
    """What stands before each document of an array: its type and its key."""
    return [b"%c%d\0" % (DOCUMENT, index) for index in range(count)]


_ARRAY_KEYS = _array_keys(256)


def id_of(document: bytes) -> tuple[int, bytes]:
    """The type and the bytes of a document's `_id`.

    Raises:
        DataError: the document has none.
    """
    if document[5:9] == b"_id\0":
        kind = document[4]
        return kind, document[9 : 9 + value_size(kind, document, 9)]
    for kind, key, start, end in elements(document):
        if key == b"_id":
            return kind, document[start:end]
    raise DataError("a document has no _id")


def id_document(document: bytes) -> bytes:
    """The document `{_id: x}` that has just the document's `_id`."""
    kind, value = id_of(document)
    return value_document(kind, value, b"_id")


def value_document(kind: int, value: bytes, key: bytes = b"") -> bytes:
    """A document of one element."""
    return b"%b%c%b\0%b\0" % (struct.pack("<i", 7 + len(key) + len(value)), kind, key, value)


def check(document: bytes, *, strict: bool = True) -> None:
    """Raises InvalidBson unless the bytes are exactly one BSON document, every length and end of it in place.

    `strict=False` lets pass what MongoDB stores without looking: strings and keys that are not UTF-8, booleans
    other than 0 and 1, wrong lengths inside of old binaries.
    Documents nested deeper than MAX_NESTING are refused.
    """
    if not _is_reproduced(document):
        _Check(document, strict).run()


def _is_reproduced(document: bytes) -> bool:
    # Several times as fast as the walk. What the C encoder writes is sound, and every level of nesting has its type byte.
    if document.count(b"\3") + document.count(b"\4") >= MAX_NESTING:
        return False
    try:
        return bson.encode({"": bson.decode(document, EVERY_DATE)}, codec_options=EVERY_DATE)[6:-1] == document
    except (bson.errors.BSONError, ValueError, OverflowError, TypeError, RecursionError):
        return False


class _Check:
    """A walk over a document without recursion; `ends` are the places where the open documents must end."""

    def __init__(self, document: bytes, strict: bool) -> None:
        self.document = document
        self.strict = strict
        self.ends: list[int] = []

    def run(self) -> None:
        if document_size(self.document) != len(self.document):
            raise InvalidBson(f"bytes follow the BSON document of {document_size(self.document)} bytes")
        at = self.open(0, len(self.document))
        while self.ends:
            end = self.ends[-1]
            at = self.element(at, end) if at < end else self.close(at)

    def open(self, at: int, limit: int) -> int:
        stop = at + document_size(self.document, at)
        if stop > limit:
            raise InvalidBson(f"a BSON document leaves the one around it at byte {at}")
        if len(self.ends) == MAX_NESTING:
            raise InvalidBson(f"BSON documents are nested deeper than {MAX_NESTING} levels at byte {at}")
        self.ends.append(stop - 1)
        return at + 4

    def close(self, at: int) -> int:
        end = self.ends.pop()
        if at != end or self.document[end]:
            raise InvalidBson(f"a BSON document does not end at byte {end} where its length says")
        return end + 1

    def element(self, at: int, end: int) -> int:
        kind = self.document[at]
        start = self.text(at + 1, end)
        if kind in (DOCUMENT, ARRAY):
            return self.open(start, end)
        stop = start + value_size(kind, self.document, start)
        if stop > end:
            raise InvalidBson(f"a BSON value leaves its document at byte {start}")
        if kind in (STRING, CODE, SYMBOL):
            self.string(start, stop)
        elif kind == DB_POINTER:
            self.string(start, stop - 12)
        elif kind == REGEX:
            self.text(self.text(start, stop), stop)
        elif kind == CODE_WITH_SCOPE:
            return self.code(start, stop)
        elif self.strict:
            self.content(kind, start, stop)
        return stop

    def content(self, kind: int, start: int, stop: int) -> None:
        if kind == BOOLEAN and self.document[start] > 1:
            raise InvalidBson(f"a BSON boolean is neither 0 nor 1 at byte {start}")
        if (
            kind == BINARY
            and self.document[start + 4] == OLD_BINARY
            and old_binary(self.document[start + 5 : stop]) is None
        ):
            raise InvalidBson(f"an old BSON binary has other lengths inside than outside at byte {start}")

    def code(self, start: int, stop: int) -> int:
        if stop - start < 14:
            raise InvalidBson(f"BSON code with a scope is cut off at byte {start}")
        scope = start + 8 + int(int32_at(self.document, start + 4)[0])
        if not start + 8 < scope <= stop - 5 or document_size(self.document, scope) != stop - scope:
            raise InvalidBson(f"BSON code with a scope has other lengths inside than outside at byte {start}")
        self.string(start + 4, scope)
        return self.open(scope, stop)

    def string(self, start: int, stop: int) -> None:
        if stop - start < 5 or int32_at(self.document, start)[0] != stop - start - 4 or self.document[stop - 1]:
            raise InvalidBson(f"a BSON string has no end at byte {start}")
        self.utf8(start + 4, stop - 1)

    def text(self, start: int, limit: int) -> int:
        nul = self.document.find(0, start, limit)
        if nul < 0:
            raise InvalidBson(f"a BSON key has no end at byte {start}")
        self.utf8(start, nul)
        return nul + 1

    def utf8(self, start: int, stop: int) -> None:
        if self.strict:
            try:
                self.document[start:stop].decode()
            except UnicodeDecodeError:
                raise InvalidBson(f"BSON text is not UTF-8 at byte {start}") from None


def id_key(kind: int, value: bytes) -> Hashable:
    """A value's identity as MongoDB sees it: equal keys are equal ids.

    Numbers are equal by value whatever their type (1, 1.0, Int64(1); -0.0 and 0; NaN and NaN), a symbol is a string, everything
    else is equal by type and bytes; documents go element by element.
    """
    number = _NUMBERS.get(kind)
    if number is not None:
        exact = number(value)
        return ("number", "NaN") if exact != exact else ("number", exact)
    if kind == DOCUMENT:
        return kind, tuple((key, id_key(k, value[start:end])) for k, key, start, end in elements(value))
    if kind == ARRAY:
        return kind, tuple(id_key(k, value[start:end]) for k, _, start, end in elements(value))
    return (STRING if kind == SYMBOL else kind), value


def _decimal(value: bytes) -> Decimal:
    decimal = Decimal128.from_bid(value).to_decimal()
    return Decimal("NaN") if decimal.is_nan() else decimal  # a signalling NaN cannot even be compared


# Python compares and hashes int, float and Decimal by their exact value.
_NUMBERS: dict[int, Callable[[bytes], Any]] = {
    DOUBLE: lambda value: struct.unpack("<d", value)[0],
    INT32: lambda value: int.from_bytes(value, "little", signed=True),
    INT64: lambda value: int.from_bytes(value, "little", signed=True),
    DECIMAL128: _decimal,
}
