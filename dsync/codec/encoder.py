"""Parsed JSON -> BSON, value by value: for what the `bson` package cannot encode, or would encode as something else."""

from __future__ import annotations

import struct
from typing import Any

import bson
from msgspec import Struct

from dsync.codec import raw
from dsync.codec.errors import UnsoundRecord


class Element(Struct, frozen=True):
    """A value as BSON type and bytes, where the `bson` package has no class that keeps all of it."""

    kind: int
    value: bytes


def encode(document: dict[str, Any], depth: int = 0) -> bytes:
    """The document as BSON, keys in their order; `depth` is how many documents are around it.

    Raises:
        UnsoundRecord: a key or a string that BSON cannot hold, or nesting beyond what anybody takes.
    """
    if depth >= raw.MAX_NESTING:
        raise UnsoundRecord(f"nested deeper than {raw.MAX_NESTING} levels")
    return framed([_element(c_string(key), value, depth) for key, value in document.items()])


def framed(parts: list[bytes]) -> bytes:
    """A BSON document of these elements."""
    content = b"".join(parts)
    return b"%b%b\0" % (struct.pack("<i", len(content) + 5), content)


def _array(values: list[Any], depth: int) -> bytes:
    if depth >= raw.MAX_NESTING:
        raise UnsoundRecord(f"nested deeper than {raw.MAX_NESTING} levels")
    return framed([_element(b"%d\0" % index, value, depth) for index, value in enumerate(values)])


def _element(key: bytes, value: Any, depth: int) -> bytes:
    kind = type(value)
    if kind is str:
        return b"%c%b%b" % (raw.STRING, key, string(value))
    if kind is dict:
        return b"%c%b%b" % (raw.DOCUMENT, key, encode(value, depth + 1))
    if kind is list:
        return b"%c%b%b" % (raw.ARRAY, key, _array(value, depth + 1))
    if kind is Element:
        return b"%c%b%b" % (value.kind, key, value.value)
    one = bson.encode({"": value})
    return b"%b%b%b" % (one[4:5], key, one[6:-1])


def string(text: str) -> bytes:
    """A BSON string: its length, its text, a NUL."""
    content = _utf8(text)
    return b"%b%b\0" % (struct.pack("<i", len(content) + 1), content)


def c_string(text: str) -> bytes:
    """A BSON key: its text, a NUL. Raises UnsoundRecord for a NUL within."""
    content = _utf8(text)
    if b"\0" in content:
        raise UnsoundRecord("a key or a regular expression that holds a NUL, which BSON cannot say")
    return content + b"\0"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UnsoundRecord("a lone surrogate, which is not Unicode text") from error
