"""JSON on the wire, where the identity is named `id`: Extended JSON whose top-level `_id` and `id` have swapped names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
import orjson

from dsync.codec import exact_writer, identity, raw, reader, writer
from dsync.codec.errors import RecordError, UnsoundRecord
from dsync.errors import DataError

_decode = msgspec.json.Decoder().decode
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# Strings, and the brackets outside of them: enough to know the depth at every key of valid JSON.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]')
_COLON = re.compile(rb"[ \t\n\r]*:")


def bson_to_json_id(page: Sequence[bytes]) -> list[bytes]:
    """Each document as JSON with its identity named `id`.

    Raises:
        RecordError: a document is not BSON.
    """
    return [_from_own_text(text, document) for text, document in zip(writer.bson_to_text(page), page, strict=True)]


def _from_own_text(text: bytes, document: bytes) -> bytes:
    # In what the writer makes, `"id":` can only be a key; without one, the only top-level name to change is the first.
    if text.startswith(b'{"_id":') and b'"id":' not in text:
        return b'{"id":' + text[7:]
    if text.startswith(b'{"$bson":'):
        return _packed(text, document)
    return _renamed(text, _keys(text))


def _packed(text: bytes, document: bytes) -> bytes:
    """A document that is a `$bson` shows its identity beside it."""
    try:
        shown = exact_writer.write(raw.id_document(document))
    except DataError:
        return text
    if shown.startswith(b'{"_id":'):
        return b'{"id":' + shown[7:-1] + b"," + text[1:]
    return b'{"id":' + shown + b"," + text[1:]


def json_id_to_bson(page: Sequence[bytes], *, required: bool = True) -> list[bytes]:
    """Each record as BSON with its identity named `_id`.

    `required=False` lets pass records without an `id`, such as the fields of a partial update.

    Raises:
        RecordError: a record is not sound, or has no `id`.
    """
    return reader.read(_each(page, _unpacked), identity.of_wire(required))


def json_id_to_text(page: Sequence[bytes]) -> list[bytes]:
    """Each record as Extended JSON with its identity named `_id`; nothing but the two names changes.

    Raises:
        RecordError: a record is not JSON.
    """
    return _each(page, lambda _, text: _to_text(text))


def text_to_json_id(page: Sequence[bytes], make_id: identity.MakeId | None = None) -> list[bytes]:
    """Each record of Extended JSON with its identity named `id`: `_id` where it stands, else `id`, else a made one.

    Nothing but the two names changes; what stands below the top level keeps its bytes.

    Raises:
        RecordError: a record is not JSON, or has no identity and `make_id` is None.
    """
    return _each(page, lambda index, text: _from_text(index, text, make_id))


def _each(page: Sequence[bytes], change: Callable[[int, bytes], bytes]) -> list[bytes]:
    changed = []
    for index, text in enumerate(page):
        try:
            changed.append(change(index, text))
        except UnsoundRecord as error:
            raise RecordError(index, str(error)) from error
        except RecordError as error:  # of a record that was read on its own
            raise RecordError(index, error.reason) from error
    return changed


def _from_text(index: int, text: bytes, make_id: identity.MakeId | None) -> bytes:
    values = _values(text)
    if "$bson" in values:
        (document,) = reader.read([text], lambda _, record: identity.of_text(make_id)(index, record))
        return bson_to_json_id([document])[0]
    if "_id" in values:
        return _renamed(text, values)
    if "id" in values:
        return text
    shown = b'{"id":' + orjson.dumps(identity.made(index, make_id))
    return shown + (b"," if values else b"") + text[text.index(b"{") + 1 :].lstrip()


def _to_text(text: bytes) -> bytes:
    values = _values(text)
    if "$bson" in values:
        return _without_shown_id(text, values)
    return _renamed(text, values) if "id" in values or "_id" in values else text


def _unpacked(_: int, text: bytes) -> bytes:
    return _without_shown_id(text, _values(text)) if b'"$bson"' in text else text


def _without_shown_id(text: bytes, values: dict[str, msgspec.Raw]) -> bytes:
    """A `$bson` without the identity that `_packed` put beside it, which must be the document's own."""
    if values.keys() != {"id", "$bson"}:
        return text
    alone = b'{"$bson":' + bytes(values["$bson"]) + b"}"
    (document,) = reader.read([alone], lambda _, record: record)
    own = _values(_packed(alone, document))
    if "id" not in own or _parsed(own["id"]) != _parsed(values["id"]):
        raise UnsoundRecord("an id that is not the one of the $bson beside it")
    return alone


def _values(text: bytes) -> dict[str, msgspec.Raw]:
    try:
        values: dict[str, msgspec.Raw] = _keys(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnsoundRecord(_why(text)) from error
    return values


def _parsed(value: msgspec.Raw) -> object:
    try:
        parsed: object = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnsoundRecord("an id that is not sound") from error
    return parsed


def _why(text: bytes) -> str:
    try:
        reader.read([text], lambda _, record: record)
    except RecordError as error:
        return error.reason
    return "not a JSON object"


def _renamed(text: bytes, values: dict[str, msgspec.Raw]) -> bytes:
    """The object with the top-level names `_id` and `id` exchanged; `values` are its parts."""
    if msgspec.json.encode(values) != text:  # blanks, escapes in keys, or a key that stands twice
        return _swap(text)
    return msgspec.json.encode({identity.SWAPPED.get(key, key): value for key, value in values.items()})


def _swap(text: bytes) -> bytes:
    """The object with the top-level names `_id` and `id` exchanged."""
    changed = []
    done = depth = 0
    seen = set()
    for token in _TOKEN.finditer(text):
        first = text[token.start()]
        if first == 0x22:  # a quotation mark
            if depth == 1 and token.end() - token.start() < 32 and _COLON.match(text, token.end()):
                name = orjson.loads(token[0])
                if name in identity.SWAPPED:
                    if name in seen:
                        raise UnsoundRecord("a key stands twice in one object")
                    seen.add(name)
                    changed += [text[done : token.start()], b'"%b"' % identity.SWAPPED[name].encode()]
                    done = token.end()
        else:
            depth += 1 if first in b"{[" else -1
    changed.append(text[done:])
    return b"".join(changed)
