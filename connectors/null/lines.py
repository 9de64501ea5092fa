"""A line of JSON for every document and update: `{"namespace": …, "operation": …, "id": …, "document": …}`."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from dsync import codec, wire

OPERATIONS = {
    wire.INSERT: b"insert",
    wire.UPDATE: b"update",
    wire.DELETE: b"delete",
    wire.PARTIAL_UPDATE: b"partial",
}


def document_lines(request: wire.WriteDataRequest) -> list[bytes]:
    """A line a document; its operation is `copy`."""
    head = b'{"namespace":%b,"operation":"copy","document":' % orjson.dumps(request.namespace)
    return [head + _one_line(text) + b"}\n" for text in codec.convert(request.data, request.type, wire.EXTENDED_JSON)]


def update_lines(request: wire.WriteUpdatesRequest) -> list[bytes]:
    """A line an update: `document` is missing on deletes, `unset` names the fields that a partial update removes."""
    return list(_update_lines(request))


def _update_lines(request: wire.WriteUpdatesRequest) -> Iterator[bytes]:
    namespace = orjson.dumps(request.namespace)
    present = [update.data for update in request.updates if update.data]
    texts = iter(codec.convert(present, request.type, wire.EXTENDED_JSON))
    for update in request.updates:
        operation = OPERATIONS.get(update.type, b"unknown")
        line = b'{"namespace":%b,"operation":"%b","id":%b' % (namespace, operation, _id(update))
        if update.data:
            line += b',"document":' + _one_line(next(texts))
        if update.partial_update_unset:
            line += b',"unset":' + orjson.dumps(list(update.partial_update_unset))
        yield line + b"}\n"


def _id(update: wire.Update) -> bytes:
    """The bare value, or an object of the parts of a compound key."""
    parts = [_element(value) for value in update.id]
    [text] = codec.bson_to_text([_document(b"".join(parts))])
    if len(parts) == 1 and text.startswith(b'{"_id":'):
        return text[len(b'{"_id":') : -1]
    return text


def _element(value: wire.BsonValue) -> bytes:
    return bytes([value.type]) + (value.name or "_id").encode() + b"\0" + value.data


def _document(elements: bytes) -> bytes:
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"


def _one_line(text: bytes) -> bytes:
    """Raw line ends in JSON stand between tokens only."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in text or b"\r" in text else text
