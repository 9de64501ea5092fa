"""Which key of a record is its identity: `_id` or `id` in text, `id` on the wire as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dsync.codec import raw
from dsync.codec.encoder import Element, framed, string
from dsync.codec.errors import UnsoundRecord

Identify = Callable[[int, Any], Any]
MakeId = Callable[[int], str]

# What a top-level name is called on the other side.
SWAPPED = {"_id": "id", "id": "_id"}


def of_text(make_id: MakeId | None) -> Identify:
    """`_id` where it stands, else `id`, renamed in place, else a made one in front."""

    def identify(index: int, record: Any) -> Any:
        if type(record) is not dict:
            return _packed(index, record, make_id)
        if "_id" in record:
            return record
        if "id" not in record:
            return {"_id": made(index, make_id), **record}
        if next(iter(record)) == "id":
            return {"_id": record.pop("id"), **record}
        return {("_id" if key == "id" else key): value for key, value in record.items()}

    return identify


def of_wire(required: bool) -> Identify:
    """`id` becomes `_id` and `_id` becomes `id`."""

    def identify(index: int, record: Any) -> Any:
        if type(record) is not dict:
            return _packed_with_id(_document(record), required)
        if "id" in record:
            if "_id" not in record and next(iter(record)) == "id":
                return {"_id": record.pop("id"), **record}
        elif required:
            raise UnsoundRecord("no id")
        return {SWAPPED.get(key, key): value for key, value in record.items()}

    return identify


def made(index: int, make_id: MakeId | None) -> str:
    """The id made for a record; UnsoundRecord where none may be made."""
    if make_id is None:
        raise UnsoundRecord("neither _id nor id")
    return make_id(index)


def _document(record: Any) -> Element:
    if type(record) is Element and record.kind == raw.DOCUMENT:
        return record
    raise UnsoundRecord("not a document but a single value")


def _packed_with_id(element: Element, required: bool) -> Element:
    if required and all(key != b"_id" for _, key, _, _ in raw.elements(element.value)):
        raise UnsoundRecord("no id")
    return element


def _packed(index: int, record: Any, make_id: MakeId | None) -> Element:
    """The same for a document that stands as bytes in a `$bson`."""
    document = _document(record).value
    places = {key: start for _, key, start, _ in raw.elements(document)}
    if b"_id" in places:
        return Element(raw.DOCUMENT, document)
    if b"id" in places:
        at = places[b"id"] - 3
        return Element(raw.DOCUMENT, framed([document[4:at], b"_", document[at:-1]]))
    first = b"%c_id\0%b" % (raw.STRING, string(made(index, make_id)))
    return Element(raw.DOCUMENT, framed([first, document[4:-1]]))
