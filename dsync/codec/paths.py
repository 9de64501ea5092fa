"""Namespaces as paths, one to one: `shop.orders` is the parts `("shop", "orders")` of a file's path or an object's key.

Dots split. In a part, letters, digits, `-` and `_` stand for themselves and every other byte is percent-encoded; an
empty part is `%`; a part over 200 bytes continues in a folder whose name ends in `%`. So no part is empty, `.` or `..`,
none holds a slash, a dot or a NUL, and file systems that normalise names, to either Unicode form, keep all apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote

from dsync.errors import UsageError

# File systems allow 255 bytes; the rest is for extensions and for the names of files that are still being written.
PART_BYTES = 200

# The longest token is a percent-encoded character of four bytes, so a folder that continues is never shorter than this.
_CONTINUED_BYTES = PART_BYTES - 12

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")

# Letters as of one fixed version of Unicode: the same name has the same path in every version of Python.
_category = unicodedata.ucd_3_2_0.category


@lru_cache(maxsize=4096)
def encode(namespace: str) -> tuple[str, ...]:
    """The parts of a namespace's path, one or more, without an extension. Raises UsageError for what is not Unicode."""
    _refuse_surrogates(namespace)
    return tuple(piece for part in namespace.split(".") for piece in _pieces(part))


def decode(parts: Sequence[str]) -> str:
    """The namespace of a path's parts; any names are taken, not only those that `encode` makes.

    A plain dot separates, as a folder does; what is no valid percent-encoding stands for itself. Raises UsageError for
    names that are not Unicode.
    """
    _refuse_surrogates("/".join(parts))
    names: list[str] = []
    open_name = ""
    for index, part in enumerate(parts):
        if index < len(parts) - 1 and _continues(part):
            open_name += part[:-1]
        else:
            names.append(_plain(open_name + part))
            open_name = ""
    return ".".join(names)


def _pieces(part: str) -> Iterator[str]:
    """A part as one path part, or as several of which all but the last end in `%`."""
    piece, left = "", PART_BYTES
    tokens = [_token(character) for character in part]
    whole = sum(len(token.encode()) for token in tokens) <= PART_BYTES
    for token in tokens:
        size = len(token.encode())
        if not whole and size > left - 1:
            yield piece + "%"
            piece, left = "", PART_BYTES
        piece += token
        left -= size
    yield piece or "%"


@lru_cache(maxsize=4096)
def _token(character: str) -> str:
    return character if _stands_for_itself(character) else quote(character, safe="")


def _stands_for_itself(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in "-_"
    if "\u1100" <= character <= "\u11ff":  # Jamo are letters that normalisation would join with their neighbours
        return False
    category = _category(character)
    return (category[0] == "L" or category == "Nd") and unicodedata.normalize("NFC", character) == character


def _continues(part: str) -> bool:
    return part.endswith("%") and len(part.encode()) > _CONTINUED_BYTES


def _plain(part: str) -> str:
    if part == "%":
        return ""
    return _ESCAPES.sub(_unescaped, unicodedata.normalize("NFC", part))


def _unescaped(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match[0].replace("%", "")).decode()
    except UnicodeDecodeError:
        return match[0]


def _refuse_surrogates(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the name {name!a} is not Unicode text", remedy="rename it") from error
