r"""The lines of updates.json: operation, id, document, set apart by tabs.

    insert   \t {"$oid": "…"} \t {"_id": {"$oid": "…"}, "name": "Ada"}
    update   \t 7             \t {"_id": 7, "name": "Ada"}              the whole document, as it is now (`replace` is the same)
    delete   \t 7
    partial  \t 7             \t {"name": "Ada"} \t ["nickname"]        changed fields, then the names of removed ones

Ids and documents are Extended JSON and hold no tab of their own. The id may be left out where the document has one. An id
that is an array is a compound key, `[{"a": 1}, {"b": 2}]`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson
from msgspec import Struct

from dsync import codec, wire
from dsync.codec import jsontext, raw
from dsync.errors import DataError, GapError

OPERATIONS = {
    "insert": wire.INSERT,
    "update": wire.UPDATE,
    "replace": wire.UPDATE,
    "delete": wire.DELETE,
    "partial": wire.PARTIAL_UPDATE,
}
NAMES = {wire.INSERT: b"insert", wire.UPDATE: b"update", wire.DELETE: b"delete", wire.PARTIAL_UPDATE: b"partial"}
LONGEST_LINE_BYTES = 2 * jsontext.MAX_RECORD_BYTES
READ_BYTES = 64 << 10
# A last line without a line end is taken for whole after the file has not changed for this long.
SETTLED_SECONDS = 1.0


class Place(Struct, frozen=True):
    """Where a line begins: the offset in bytes, and its number from 1."""

    offset: int
    number: int


class Lines(Struct, frozen=True):
    """Whole lines, the place after them, and when the file was changed last."""

    texts: list[bytes]
    after: Place
    modified: float


def read_lines(path: Path, at: Place, end: int) -> Lines:
    """Lines up to about 64 KB, one at least if there is one.

    A last line that has no line end is left alone until the file has not changed for a while. Raises GapError where no line
    begins at the place.
    """
    modified = path.stat().st_mtime
    with path.open("rb") as file:
        _check(file, path, at, end)
        content = file.read(min(READ_BYTES, end - at.offset))
        while b"\n" not in content and at.offset + len(content) < end:
            content += file.read(min(len(content), end - at.offset - len(content)))
            if len(content) > LONGEST_LINE_BYTES:
                raise DataError(f"{str(path)!r}, line {at.number}: longer than {LONGEST_LINE_BYTES >> 20} MiB")
    whole = content[: content.rfind(b"\n") + 1]
    if not whole and time.time() - modified > SETTLED_SECONDS:
        whole = content
    texts = whole.removesuffix(b"\n").split(b"\n") if whole else []
    return Lines(texts, Place(at.offset + len(whole), at.number + whole.count(b"\n")), modified)


def end_of(path: Path, length: int) -> Place:
    """The place after the last line; one without a line end counts as not written yet."""
    offset = number = 0
    with path.open("rb") as file:
        while piece := file.read(min(READ_BYTES, length - file.tell())):
            if b"\n" in piece:
                offset = file.tell() - len(piece) + piece.rindex(b"\n") + 1
                number += piece.count(b"\n")
    return Place(offset, number + 1)


def _check(file: BinaryIO, path: Path, at: Place, end: int) -> None:
    """Leaves the file at the place. A line may also begin after one that had no line end when it was read."""
    file.seek(max(at.offset - 1, 0))
    before = file.read(1) if at.offset else b"\n"
    if at.offset > end or (before != b"\n" and at.offset < end and file.read(1) != b"\n"):
        raise GapError(
            f"{str(path)!r} is another file than it was: no line begins at offset {at.offset}", remedy="copy again"
        )
    file.seek(at.offset)


def parse(line: bytes, data_type: wire.Type) -> wire.Update | None:
    """The update of a line; None for a blank one. Raises DataError that does not quote the line."""
    if not line.strip():
        return None
    operation, identity, text, unset = (*(column.strip() for column in line.split(b"\t", 3)), b"", b"", b"")[:4]
    kind = OPERATIONS.get(operation.decode(errors="replace"))
    if kind is None:
        raise DataError("not OPERATION<tab>ID<tab>DOCUMENT", remedy=f"operations are {', '.join(OPERATIONS)}")
    if (kind == wire.DELETE) == bool(text):
        raise DataError("a delete with a document" if text else "an update without a document")
    document = _parsed(text, kind) if text else b""
    update = wire.Update(type=kind, id=_id(identity, document), partial_update_unset=_names(unset))
    if text:
        update.data = text if data_type == wire.EXTENDED_JSON else codec.convert([document], wire.BSON, data_type)[0]
    return update


def line_of(update: wire.Update, data_type: wire.Type) -> bytes:
    """The line of an update. Raises GapError for one of an unknown type, DataError for one that is malformed."""
    if update.type not in NAMES:
        raise GapError(f"an update of type {update.type} is not understood", remedy="update dsync")
    if (update.type == wire.DELETE) == bool(update.data):
        raise DataError("a delete with a document" if update.data else "an update without a document")
    columns = [NAMES[update.type], _id_text(update.id)]
    if update.data:
        [document] = codec.convert([update.data], data_type, wire.EXTENDED_JSON, required=False)
        columns.append(_one_cell(document))
    if update.partial_update_unset:
        columns.append(orjson.dumps(list(update.partial_update_unset)))
    return b"\t".join(columns) + b"\n"


def _parsed(text: bytes, kind: wire.UpdateType.ValueType) -> bytes:
    """The BSON of a document, or of a partial update's fields, which need no id and keep one that is called `id`."""
    if kind != wire.PARTIAL_UPDATE:
        return _bson(text)
    kind_of_value, value = _value(text)
    if kind_of_value != raw.DOCUMENT:
        raise DataError("the document is no JSON object")
    return value


def _id(identity: bytes, document: bytes) -> list[wire.BsonValue]:
    if not identity:
        if not document:
            raise DataError("a delete without an id")
        kind, value = raw.id_of(document)
        return [wire.BsonValue(data=value, type=kind, name="_id")]
    kind, value = _value(identity)
    if kind != raw.ARRAY:
        return [wire.BsonValue(data=value, type=kind, name="_id")]
    parts = [part for document in raw.slice_array(value) for part in _parts(document)]
    if not parts:
        raise DataError("a compound id without parts")
    return parts


def _parts(document: bytes) -> Iterator[wire.BsonValue]:
    for kind, key, start, end in raw.elements(document):
        yield wire.BsonValue(data=document[start:end], type=kind, name=key.decode())


def _id_text(identity: Sequence[wire.BsonValue]) -> bytes:
    for value in identity:
        if not 0 < value.type < 256 or raw.value_size(value.type, value.data, 0) != len(value.data):
            raise DataError("an id that is no BSON value")
    if len(identity) == 1 and identity[0].name in ("", "_id"):
        [text] = codec.bson_to_text([raw.value_document(identity[0].type, identity[0].data, b"v")])
        if text.startswith(b'{"v":'):
            return _one_cell(text[len(b'{"v":') : -1])
    if not identity:
        raise DataError("an update without an id")
    parts = [raw.value_document(value.type, value.data, (value.name or "_id").encode()) for value in identity]
    return b"[" + b",".join(map(_one_cell, codec.bson_to_text(parts))) + b"]"


def _value(text: bytes) -> tuple[int, bytes]:
    """The BSON value of a piece of Extended JSON."""
    document = _bson(b'{"_id":0,"v":' + text + b"}")
    fields = [(kind, document[start:end]) for kind, key, start, end in raw.elements(document) if key == b"v"]
    if len(fields) != 1 or sum(1 for _ in raw.elements(document)) != 2:
        raise DataError("not one JSON value")
    return fields[0]


def _bson(text: bytes) -> bytes:
    try:
        [document] = codec.text_to_bson([text])
    except codec.RecordError as error:
        raise DataError(error.reason) from error
    return document


def _names(text: bytes) -> list[str]:
    try:
        names = orjson.loads(text or b"[]")
    except ValueError as error:
        raise DataError("the fourth column is no JSON") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError("the fourth column is no array of field names")
    return names


def _one_cell(text: bytes) -> bytes:
    """Tabs and line ends stand only between the tokens of JSON."""
    return jsontext.one_line(text).replace(b"\t", b" ")
