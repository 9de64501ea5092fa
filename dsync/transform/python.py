"""`python:package.module:function`: a function as a transform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bson

from dsync import codec, wire
from dsync.codec import raw, reader
from dsync.errors import DataError, UnimplementedError
from dsync.transform import Transform
from dsync.transform.function import Function, Refusal
from dsync.transform.thread import Thread

TYPES = (wire.EXTENDED_JSON, wire.BSON)

MadeUpdate = tuple[wire.UpdateType.ValueType, wire.BsonValue, bytes]


class PythonTransform(Transform):
    """Calls the function for one document after the other, in a thread of its own.

    Documents are dicts of what `bson` makes of them, whatever the data type: dates are datetimes, ObjectIds ObjectIds.
    """

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self.uri = uri
        self._function = Function(uri)
        self._thread = Thread()

    async def close(self) -> None:
        """See Transform."""
        self._thread.close()

    async def GetTransformInfo(self, request: wire.GetTransformInfoRequest) -> wire.GetTransformInfoResponse:
        """Both types, each to itself: what has no id as text needs none."""
        info = wire.GetTransformInfoResponse(use_multiple_responses=True)
        for data_type in TYPES:
            info.transforms.add(request_type=data_type, response_types=[data_type])
        return info

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        """See Transform; one response a namespace, in the order in which they first appear."""
        if request.request_type not in TYPES or request.response_type not in (request.request_type, 0):
            raise UnimplementedError(
                f"a Python function makes no data type {request.response_type} of {request.request_type}"
            )
        return await self._thread.run(lambda: self._answer(request))

    def _answer(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        answer = Answer()
        for document in _decoded(request.data, request.request_type):
            identity = document.get("_id", document.get("id"))
            answer.add_documents(self._made(request.namespace, document, identity))
        full = iter(_decoded([u.data for u in request.updates if u.type != wire.DELETE], request.request_type))
        for update in request.updates:
            whole = None if update.type == wire.DELETE else _whole(update, next(full))
            made = self._made(request.namespace, whole, _id_of(update))
            answer.add_updates([(name, *_with_id(name, each)) for name, each in made], update.type)
        return answer.response(request.request_type)

    def _made(self, namespace: str, document: dict[str, Any] | None, identity: Any) -> list[tuple[str, bytes]]:
        """Namespaces and BSON. Raises DataError that names the document by its id."""
        try:
            return [(name, _encoded(made)) for name, made in self._function(namespace, document, identity)]
        except Refusal as refusal:
            raise DataError(
                f"{self.uri!r} failed on {_shown(identity)} of {namespace!r}: {refusal}",
                remedy="mend the function, or go on without such documents with --on-error set-aside --dead-letters FILE",
            ) from refusal


class Answer:
    """What becomes of a request, by namespace."""

    def __init__(self) -> None:
        self._documents: dict[str, list[bytes]] = {}
        self._updates: dict[str, list[MadeUpdate]] = {}
        self._filtered = 0

    def add_documents(self, made: Sequence[tuple[str, bytes]]) -> None:
        """What was made of one document."""
        for namespace, document in made:
            self._documents.setdefault(namespace, []).append(document)
        self._filtered += not made

    def add_updates(self, made: Sequence[tuple[str, wire.BsonValue, bytes]], kind: wire.UpdateType.ValueType) -> None:
        """What was made of one update: namespaces, ids and documents."""
        for namespace, identity, document in made:
            self._updates.setdefault(namespace, []).append((kind, identity, document))
        self._filtered += not made

    def response(self, data_type: wire.Type) -> wire.GetTransformResponse:
        """The message, in the data type that was asked for."""
        names = dict.fromkeys((*self._documents, *self._updates))
        responses = [
            wire.TransformResponse(
                namespace=name,
                data=codec.convert(self._documents.get(name, ()), wire.BSON, data_type),
                updates=_to_updates(self._updates.get(name, ()), data_type),
            )
            for name in names
        ]
        return wire.GetTransformResponse(responses=responses, filtered=self._filtered)


def _to_updates(made: Sequence[MadeUpdate], data_type: wire.Type) -> Iterator[wire.Update]:
    full = [document for kind, _, document in made if kind != wire.DELETE]
    texts = iter(codec.convert(full, wire.BSON, data_type))
    for kind, identity, _ in made:
        yield wire.Update(id=[identity], type=kind, data=b"" if kind == wire.DELETE else next(texts))


def _with_id(namespace: str, document: bytes) -> tuple[wire.BsonValue, bytes]:
    """The id of what is to be written or deleted: `_id`, else `id`."""
    found = {key: (kind, document[start:end]) for kind, key, start, end in raw.elements(document)}
    identity = found.get(b"_id") or found.get(b"id")
    if identity is None:
        raise DataError(
            f"an update of {namespace!r} was made without an _id",
            remedy='yield (namespace, {"_id": …}) for a delete, and an _id in every document',
        )
    return wire.BsonValue(name="_id", type=identity[0], data=identity[1]), document


def _decoded(data: Sequence[bytes], data_type: wire.Type) -> list[dict[str, Any]]:
    """The documents as dicts, with the identities that they have and no others."""
    documents = data if data_type == wire.BSON else reader.read(data, lambda _, record: record)
    try:
        return [bson.decode(document, raw.EVERY_DATE) for document in documents]
    except (bson.errors.BSONError, ValueError, OverflowError) as error:
        raise DataError(f"a document cannot be decoded: {type(error).__name__}") from error


def _encoded(document: Mapping[str, Any]) -> bytes:
    try:
        return bson.encode(document)
    except (bson.errors.BSONError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise Refusal(f"it yielded what BSON cannot hold{_field(document)}") from error


def _field(document: Mapping[str, Any]) -> str:
    """Which top-level field it is: its name and type, never its value."""
    for key, value in document.items():
        if not isinstance(key, str):
            return f": a key of type {type(key).__name__}"
        try:
            bson.encode({key: value})
        except (bson.errors.BSONError, ValueError, OverflowError, TypeError, RecursionError):
            return f": {key!r}, a value of type {type(value).__name__}"
    return ""


def _whole(update: wire.Update, document: dict[str, Any]) -> dict[str, Any]:
    if update.type not in (wire.INSERT, wire.UPDATE):
        raise UnimplementedError(f"a Python function takes no update of type {update.type}")
    return document


def _id_of(update: wire.Update) -> Any:
    """The id as the function gets it; a compound one as a dict."""
    parts = [
        bson.decode(raw.value_document(p.type, p.data, p.name.encode() or b"_id"), raw.EVERY_DATE) for p in update.id
    ]
    if len(parts) == 1:
        return next(iter(parts[0].values()))
    return {name: value for part in parts for name, value in part.items()}


def _shown(identity: Any) -> str:
    """A document by its id, as Extended JSON."""
    if identity is None:
        return "a document without an id"
    (text,) = codec.bson_to_text([bson.encode({"_id": identity})])
    return f"the document with {text.decode()[1:-1]}"
