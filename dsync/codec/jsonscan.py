"""A look at JSON text: where an object ends, whether it is sound, and the place of what is not. `jsontext` builds on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from dsync.errors import DataError

OBJECT = ord("{")

_BLANK = re.compile(rb"[ \t\r\n]*")
_STRUCTURE = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+"|[{}\[\]"]')
_NEXT_OBJECT = re.compile(rb'[ \t\r\n]*,[ \t\r\n]*\{[ \t\r\n]*"[^"\\]*+"')
_REASON = re.compile(r"malformed: (.*) \(byte (\d+)\)$")

_record = msgspec.json.Decoder(msgspec.Raw)


class Position(Struct, frozen=True):
    """Where a reader stands: `number` is the line, or the element, of what comes next, counted from 1."""

    form: Literal["lines", "array"]
    offset: int
    number: int = 1
    # Of an array: what may come next. "first" is a value or the closing bracket, "end" nothing but blanks.
    expect: Literal["open", "first", "value", "end"] = "value"


class TextError(DataError):
    """Text that is not a sequence of JSON objects.

    `offset` counts bytes from 0, `number` lines or elements (`unit`) as the position did; `reason` quotes nothing.
    """

    def __init__(self, reason: str, at: Position, *, offset: int, number: int) -> None:
        self.unit = "line" if at.form == "lines" else "element"
        super().__init__(f"{self.unit} {number} (offset {offset}): {reason}")
        self.reason = reason
        self.offset = offset
        self.number = number


class Incomplete(Exception):
    """The value goes on after the chunk."""


def object_end(text: bytes, begin: int, at: Position, number: int) -> int:
    """Where the object that begins here ends. Raises TextError, or Incomplete where the text ends before."""
    if text[begin] != OBJECT:
        raise text_error("not a JSON object", at, begin, number)
    end = closing(text, begin)
    record = text[begin : len(text) if end is None else end]
    try:
        _record.decode(record)
    except RecursionError:
        raise text_error("nested too deeply", at, begin, number) from None
    except msgspec.DecodeError as error:
        reason = _REASON.search(str(error))
        bad = int(reason[2]) if reason else 0
        # A number that the end of the chunk cuts reads as malformed there.
        if end is None and (reason is None or bad >= len(record)):
            raise Incomplete from None
        raise text_error(
            f"not valid JSON: {reason[1] if reason else 'a broken string'}", at, begin + bad, number
        ) from None
    if end is None:
        raise Incomplete
    try:
        record.decode()
    except UnicodeDecodeError as error:
        raise text_error("not UTF-8", at, begin + error.start, number) from None
    return end


def closing(text: bytes, begin: int) -> int | None:
    """The end of the object or array that opens here, by its brackets alone; None: not in this text."""
    depth = 0
    for match in _STRUCTURE.finditer(text, begin):
        token = text[match.start()]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
            if depth == 0:
                return match.end()
        elif match.end() - match.start() == 1:
            return None  # a string that does not end
    return None


def separator(text: bytes, begin: int) -> bytes | None:
    """From the end of the object that begins here to the first key of the next one."""
    if text[begin : begin + 1] != b"{" or (end := closing(text, begin)) is None:
        return None
    following = _NEXT_OBJECT.match(text, end)
    return text[end - 1 : following.end()] if following else None


def skip(text: bytes, offset: int) -> int:
    """The offset of the next byte that is not blank."""
    match = _BLANK.match(text, offset)
    return match.end() if match else offset


def are_objects(texts: Sequence[bytes]) -> bool:
    """Whether all these values are objects, as their first bytes tell."""
    return all(texts) and {text[0] for text in texts} <= {OBJECT}


def is_utf8(text: bytes) -> bool:
    """Whether it is valid UTF-8."""
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_error(reason: str, at: Position, index: int, number: int) -> TextError:
    """An error at an index of the chunk that starts at a position."""
    return TextError(reason, at, offset=at.offset + index, number=number)
