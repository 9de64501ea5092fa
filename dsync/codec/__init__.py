"""BSON <-> Extended JSON v2 <-> JSON with `id`: lossless both ways.

What is BSON comes back as the same bytes from both text forms; what is text and sound comes back as the same values.
`raw` looks into BSON without decoding it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsync import wire
from dsync.codec import raw
from dsync.codec.errors import InvalidBson, RecordError
from dsync.codec.json_id import bson_to_json_id, json_id_to_bson, json_id_to_text, text_to_json_id
from dsync.codec.reader import text_to_bson
from dsync.codec.writer import bson_to_text
from dsync.errors import UnimplementedError


def convert(
    page: Sequence[bytes],
    source: wire.DataType.ValueType,
    target: wire.DataType.ValueType,
    make_id: Callable[[int], str] | None = None,
    *,
    required: bool = True,
) -> list[bytes]:
    """The page in another data type; one that is of that type already keeps its bytes, unread.

    `make_id(index in the page)` makes the identity of a text record that has none. `required=False` lets pass JSON without an `id`,
    such as the fields of a partial update.

    Raises:
        RecordError: a record cannot be converted.
        UnimplementedError: there is no such conversion.
    """
    if source == target:
        return list(page)
    if (source, target) == (wire.EXTENDED_JSON, wire.BSON):
        return text_to_bson(page, make_id)
    if (source, target) == (wire.EXTENDED_JSON, wire.JSON_ID):
        return text_to_json_id(page, make_id)
    if (source, target) == (wire.JSON_ID, wire.BSON):
        return json_id_to_bson(page, required=required)
    simple = _SIMPLE.get((source, target))
    if simple is None:
        raise UnimplementedError(f"no conversion from data type {source} to {target}")
    return simple(page)


_SIMPLE: dict[tuple[wire.DataType.ValueType, wire.DataType.ValueType], Callable[[Sequence[bytes]], list[bytes]]] = {
    (wire.BSON, wire.EXTENDED_JSON): bson_to_text,
    (wire.BSON, wire.JSON_ID): bson_to_json_id,
    (wire.JSON_ID, wire.EXTENDED_JSON): json_id_to_text,
}

__all__ = [
    "InvalidBson",
    "RecordError",
    "bson_to_json_id",
    "bson_to_text",
    "convert",
    "json_id_to_bson",
    "json_id_to_text",
    "raw",
    "text_to_bson",
    "text_to_json_id",
]
