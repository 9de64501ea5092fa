"""Extended JSON texts as Python values for CSV columns, with the proof that nothing was lost on the way."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import orjson

from connectors.file.csvcells import reads_as_json
from connectors.file.csvtext import Json, Number
from dsync.codec import RecordError, bson_to_text, raw
from dsync.codec.jsontext import one_line
from dsync.errors import DataError

# orjson is fastest on texts of this many documents, and few of them are parsed again for the sake of one.
_GROUP_DOCUMENTS = 500
# Numbers that Python may write otherwise: many digits, an exponent, zeros at the end, minus zero as an integer.
_DOUBTFUL_NUMBER = re.compile(rb"(?:[0-9.]{17}|[0-9][eE][+-]?[0-9]+|\.[0-9]+0|-0)[\s,\]}]")
_BSON = "$bson"

_raw_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parsed(documents: Sequence[bytes], *, unpack: bool) -> Iterator[list[dict[str, Any]]]:
    """The documents in groups, as fields and values; numbers and nested values that Python would change are Number and Json.

    `unpack` takes documents that stand as `{"$bson": …}` apart.

    Raises:
        RecordError: a text is not one sound JSON object.
    """
    for at in range(0, len(documents), _GROUP_DOCUMENTS):
        group = documents[at : at + _GROUP_DOCUMENTS]
        values = _at_once(group, unpack)
        yield [_exact(index, text, unpack) for index, text in enumerate(group, at)] if values is None else values


def _at_once(group: Sequence[bytes], unpack: bool) -> list[dict[str, Any]] | None:
    joined = b",".join(group)
    try:
        values: list[dict[str, Any]] = orjson.loads(b"[%b]" % joined)
    except orjson.JSONDecodeError:
        return None
    if len(values) != len(group) or set(map(type, values)) != {dict}:
        return None
    if unpack and b'"$bson"' in joined and any(_BSON in value for value in values):
        return None
    return values if _is_complete(joined, values) else None


def _is_complete(joined: bytes, values: list[dict[str, Any]]) -> bool:
    """Whether the values say all that the text does."""
    again = orjson.dumps(values)[1:-1]
    if again == joined or again == joined.replace(b'": ', b'":').replace(b', "', b',"'):
        return True
    # A key that stands twice loses a colon; only an escaped colon could make up for it.
    same_keys = again.count(b":") == joined.count(b":") and b"\\u003" not in joined
    return same_keys and _DOUBTFUL_NUMBER.search(joined) is None


def _exact(index: int, text: bytes, unpack: bool) -> dict[str, Any]:
    try:
        fields = _raw_fields.decode(text)
        json.loads(text, object_pairs_hook=_unique)
        values = {name: _value(bytes(value)) for name, value in fields.items()}
    except RecursionError:
        raise RecordError(index, "nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        reason = str(error) if isinstance(error, _TwiceError) else "not one sound JSON object"
        raise RecordError(index, reason) from None
    if unpack:
        return _unpacked(index, text) if list(values) == [_BSON] else values
    if not all(reads_as_json(str(value)) for value in values.values() if isinstance(value, Number | Json)):
        raise RecordError(index, "a value is nested too deeply, or a number in it is beyond every type")
    return values


class _TwiceError(ValueError):
    """An object gives a key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        raise _TwiceError("an object gives a key twice")


def _value(text: bytes) -> Any:
    first = text[:1]
    if first in b'"tfn':
        return orjson.loads(text)
    if first not in b"{[":
        return Number(text.decode())
    nested = one_line(text).decode()
    if first == b"{" and '"$' in nested[:12]:
        # Dates, ids and the like are read, unless a number in them might change.
        value = orjson.loads(text)
        if len(value) == 1 and (str in map(type, value.values()) or orjson.dumps(value) == text):
            return value
    return Json(nested)


def _unpacked(index: int, text: bytes) -> dict[str, Any]:
    """The fields of a document that stands as BSON; all values of a name that it gives several times, as an array."""
    fields: dict[str, list[bytes]] = {}
    try:
        document = base64.b64decode(orjson.loads(text)[_BSON], validate=True)
        raw.check(document)
        for kind, key, start, end in raw.elements(document):
            single = bson_to_text([raw.value_document(kind, document[start:end], b"v")])[0]
            value = single[len(b'{"v":') : -1] if single.startswith(b'{"v":') else single
            fields.setdefault(key.decode(), []).append(value)
    except (TypeError, ValueError, DataError):
        raise RecordError(index, "its $bson is not a BSON document in base64") from None
    return {name: _value(values[0]) if len(values) == 1 else _array(values) for name, values in fields.items()}


def _array(values: list[bytes]) -> Json:
    return Json((b"[%b]" % b",".join(values)).decode())
