"""Documents as BSON bytes, made at random: every type, and what drivers never write but servers store.

A document follows from a seed: drawing a seed is all that hypothesis has to do, which makes thousands of documents affordable.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from random import Random

from bson.decimal128 import Decimal128
from hypothesis import settings
from hypothesis import strategies as st

from dsync.codec import raw

PLAIN_KEYS = [
    "a",
    "b",
    "c",
    "id",
    "é",
    "a.b",
    "0",
    "",
    " ",
    '"',
    "\\",
    "n\nl",
    "😀",
    "$set",
    "$db",
    "$options",
    "$type",
]
WRAPPER_KEYS = [
    "$oid",
    "$date",
    "$bson",
    "$regex",
    "$numberInt",
    "$code",
    "$scope",
    "$binary",
    "$uuid",
    "$undefined",
    "$symbol",
]
DOUBLES = [
    0.0,
    -0.0,
    5.0,
    1e16,
    1e22,
    5e-324,
    1.7976931348623157e308,
    0.1,
    -1.5,
    float("inf"),
    float("-inf"),
    float("nan"),
]
INTEGERS = [0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
DATES = [*INTEGERS, 253402300799999, 253402300800000, -62135596800000, -62135596800001, 1577836800000, 1577836800120]
DECIMALS = ["0", "-0", "1.5", "1E+6111", "0E-6176", "-1E-10", "NaN", "Infinity", "-Infinity", "9" * 34]
NOT_UTF8 = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"ab\xe2\x82"]
LETTERS = [
    "a",
    "b",
    "Z",
    "0",
    " ",
    "é",
    "ß",
    "漢",
    "😀",
    '"',
    "\\",
    "/",
    "\n",
    "\x01",
    "\x7f",
    "\0",
    ":",
    "$",
    "{",
    "}",
    "null",
    "\u2028",
]


def framed(parts: list[bytes]) -> bytes:
    content = b"".join(parts)
    return struct.pack("<i", len(content) + 5) + content + b"\0"


def string(text: bytes) -> bytes:
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def element(key: bytes, kind: int, value: bytes) -> bytes:
    return bytes([kind]) + key + b"\0" + value


class Maker:
    """Makes documents from a seed; `odd` ones hold what Extended JSON cannot say and other readers do not know."""

    def __init__(self, seed: int, *, odd: bool) -> None:
        self.random = Random(seed)
        self.odd = odd
        self.scalars: list[tuple[int, Callable[[], bytes]]] = [
            (raw.DOUBLE, self.double),
            (raw.STRING, lambda: string(self.text())),
            (raw.BINARY, self.binary),
            (raw.OBJECT_ID, lambda: self.random.randbytes(12)),
            (raw.BOOLEAN, lambda: self.random.choice([b"\0", b"\1"])),
            (raw.DATE, lambda: self.number("q", DATES)),
            (raw.NULL, bytes),
            (raw.REGEX, lambda: self.c_text() + b"\0" + self.options() + b"\0"),
            (raw.CODE, lambda: string(self.text())),
            (raw.INT32, lambda: self.number("i", [0, 1, -1, 2**31 - 1, -(2**31)])),
            (raw.TIMESTAMP, lambda: self.random.randbytes(8)),
            (raw.INT64, lambda: self.number("q", INTEGERS)),
            (raw.DECIMAL128, lambda: Decimal128(self.random.choice(DECIMALS)).bid),
            (raw.MIN_KEY, bytes),
            (raw.MAX_KEY, bytes),
        ]
        self.oddities: list[tuple[int, Callable[[], bytes]]] = [
            (raw.UNDEFINED, bytes),
            (raw.SYMBOL, lambda: string(self.text())),
            (raw.DB_POINTER, lambda: string(self.text()) + self.random.randbytes(12)),
            (
                raw.DOUBLE,
                lambda: self.random.randbytes(6) + self.random.choice([b"\xf1\x7f", b"\xf8\x7f", b"\xf8\xff"]),
            ),
            (raw.DECIMAL128, lambda: self.random.randbytes(16)),
            (raw.STRING, lambda: string(self.random.choice(NOT_UTF8))),
            (raw.BOOLEAN, lambda: self.random.choice([b"\2", b"\xff"])),
            (raw.REGEX, lambda: self.random.choice([b"a\0xi\0", b"a\0gz\0", b"a\0ii\0", b"\xff\0i\0", b"a\0\xff\0"])),
            (raw.BINARY, lambda: self.random.choice([b"\1\0\0\0\2a", b"\5\0\0\0\2\2\0\0\0a", b"\0\0\0\0\2"])),
        ]

    def text(self) -> bytes:
        return "".join(self.random.choices(LETTERS, k=self.random.randrange(6))).encode()

    def c_text(self) -> bytes:
        return self.text().replace(b"\0", b"")

    def number(self, code: str, edges: list[int]) -> bytes:
        size = struct.calcsize(code)
        if self.random.random() < 0.5:
            return struct.pack("<" + code, self.random.choice(edges))
        return struct.pack("<" + code, self.random.getrandbits(8 * size - 1) >> self.random.randrange(8 * size))

    def double(self) -> bytes:
        chosen = self.random.random()
        if chosen < 0.4:
            return struct.pack("<d", self.random.choice(DOUBLES))
        if chosen < 0.7:
            return struct.pack("<d", self.random.uniform(-1000, 1000))
        bits = self.random.randbytes(8)
        (value,) = struct.unpack("<d", bits)
        return bits if value == value or self.odd else bytes(8)

    def binary(self) -> bytes:
        content = self.random.randbytes(self.random.randrange(6))
        subtype = self.random.choice([0, 0, 1, 2, 3, 4, 5, 6, 0x80, 0xFF])
        if subtype == 2:
            content = struct.pack("<i", len(content)) + content
        return struct.pack("<i", len(content)) + bytes([subtype]) + content

    def options(self) -> bytes:
        return "".join(sorted(self.random.sample("ilmsux", self.random.randrange(4)))).encode()

    def value(self, depth: int) -> tuple[int, bytes]:
        chosen = self.random.random()
        if chosen < 0.3 and depth < 4:
            kind = self.random.choice([raw.DOCUMENT, raw.DOCUMENT, raw.ARRAY, raw.CODE_WITH_SCOPE])
            return kind, getattr(self, {raw.DOCUMENT: "document", raw.ARRAY: "array"}.get(kind, "scope"))(depth + 1)
        kind, make = self.random.choice(self.oddities if self.odd and chosen > 0.85 else self.scalars)
        return kind, make()

    def scope(self, depth: int) -> bytes:
        content = string(self.text()) + self.document(depth)
        return struct.pack("<i", len(content) + 4) + content

    def array(self, depth: int) -> bytes:
        if self.odd and self.random.random() < 0.1:
            return self.document(depth)
        return framed([element(b"%d" % index, *self.value(depth)) for index in range(self.random.randrange(13))])

    def document(self, depth: int = 0) -> bytes:
        return framed([element(key, *self.value(depth)) for key in self.keys()])

    def keys(self) -> list[bytes]:
        plain = [key.encode() for key in PLAIN_KEYS] + [self.c_text().lstrip(b"$")]
        if not self.odd:
            return self.random.sample(list(dict.fromkeys(plain)), self.random.randrange(5))
        return self.random.choices(
            [*plain * 6, *(key.encode() for key in [*WRAPPER_KEYS, "$ref", "$id"]), NOT_UTF8[0]],
            k=self.random.randrange(5),
        )

    def with_id(self) -> bytes:
        """A document with an `_id` somewhere."""
        keys = self.keys()
        keys.insert(self.random.randrange(len(keys) + 1), b"_id")
        return framed([element(key, *self.value(0)) for key in keys])


# CODEC_EXAMPLES asks for more than a test run has time for.
many = settings(
    max_examples=int(os.environ.get("CODEC_EXAMPLES", "300")),
    deadline=None,
    derandomize="CODEC_EXAMPLES" not in os.environ,
)
seeds = st.integers(0, 2**64)
# What Extended JSON can say in full.
sayable = seeds.map(lambda seed: Maker(seed, odd=False).with_id())
# Whatever a server may store.
stored = seeds.map(lambda seed: Maker(seed, odd=True).with_id())
