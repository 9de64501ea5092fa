"""Documents by the text that a table of plain cells can hold of them, such as CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from dsync import codec
from dsync.codec import raw

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_NUMBERS = ("$numberInt", "$numberLong", "$numberDouble", "$numberDecimal")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC without saying so


def text_fields(document: bytes) -> dict[bytes, bytes]:
    """The top-level fields as text, by name: strings as they are, ids in hexadecimal, dates in ISO 8601, nested values as JSON.

    Null, the empty string and a missing field look alike: they are left out.
    """
    (text,) = codec.bson_to_text([document])
    if text.startswith(b'{"$bson":'):  # something in it cannot be said: all else can
        found = {key: _value_text(kind, document[start:end]) for kind, key, start, end in raw.elements(document)}
    else:
        found = {key.encode(): _plain(bytes(value)) for key, value in _members.decode(text).items()}
    return {key: value for key, value in found.items() if value}


def id_text(kind: int, value: bytes) -> bytes:
    """An id as text."""
    return _value_text(kind, value)


def _value_text(kind: int, value: bytes) -> bytes:
    (text,) = codec.bson_to_text([raw.value_document(kind, value, b"v")])
    return _plain(text[5:-1]) if text.startswith(b'{"v":') else text


def _plain(text: bytes) -> bytes:
    if text[:1] == b'"':
        return _string.decode(text).encode()
    if text == b"null":
        return b""
    if text[:1] == b"{":
        document = json.loads(text)
        known = _wrapped(*next(iter(document.items()))) if len(document) == 1 else None
        return text if known is None else known.encode()
    return text


def _wrapped(name: str, value: Any) -> str | None:
    """What a value says that is written as an object of one key; None where it is just that object."""
    if name == "$date" and isinstance(value, Mapping):
        return _instant(value)
    return value if isinstance(value, str) and name in ("$oid", "$date", *_NUMBERS) else None


def _instant(value: Mapping[str, Any]) -> str | None:
    try:
        milliseconds = int(value["$numberLong"])
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds") + "Z"
