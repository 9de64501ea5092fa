"""A stream's writes: replaces, deletes and partial updates, those of one id in order, different ids in any."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import groupby, zip_longest
from typing import Any

from msgspec import Struct, field

from connectors.mongo import errors, ids
from connectors.mongo.collection import COMMAND_DOCUMENTS, CollectionWriter, chunks, id_filter
from connectors.mongo.deployment import Deployment, Encoded
from connectors.mongo.framing import check_framing
from dsync import wire
from dsync.codec import raw
from dsync.errors import DataError, GapError

FULL = frozenset({wire.INSERT, wire.UPDATE})
# What a delete or an update command adds to an _id or to changed fields.
OVERHEAD_BYTES = 128
# Removing all documents of a collection; what was removed when it ends early stays removed for the next try.
CLEAR_SECONDS = 3600


class Changes(Struct):
    """What is to become of one document: first a whole version or its end, where there is one, then changes of fields."""

    base: wire.Update | None = None
    partial: list[wire.Update] = field(default_factory=list)


class Applier:
    """Applies updates durably; applied again they change nothing."""

    def __init__(self, deployment: Deployment, *, batch_documents: int) -> None:
        self._deployment = deployment
        self._batch_documents = min(batch_documents or COMMAND_DOCUMENTS, COMMAND_DOCUMENTS)

    async def apply(self, database: str, name: str, updates: Sequence[wire.Update]) -> None:
        """Returns when all is durable.

        Raises:
            DataError: an update cannot be applied, by its `_id`.
            GapError: an update is of an unknown type; nothing was applied.
        """
        collection = CollectionWriter(self._deployment, database, name)
        # All of it is judged before any of it is applied.
        runs = [
            (is_drop, _by_id(run, collection.namespace))
            for is_drop, run in groupby(updates, lambda update: update.type == wire.DROP)
        ]
        for is_drop, changes in runs:
            await (self._clear(collection) if is_drop else self._apply(collection, changes))

    async def _apply(self, collection: CollectionWriter, changes: Sequence[Changes]) -> None:
        bases = [change.base for change in changes if change.base is not None]
        # Deletes first: they set free what other documents need in unique indexes.
        await self._delete(collection, [update for update in bases if update.type == wire.DELETE])
        await self._replace(collection, [update for update in bases if update.type != wire.DELETE])
        for round_ in zip_longest(*(change.partial for change in changes)):
            # Without operators the server would take the update for an empty document.
            changing = [
                update for update in round_ if update is not None and (update.data or update.partial_update_unset)
            ]
            await self._change(collection, changing)

    async def _clear(self, collection: CollectionWriter) -> None:
        """Removes the documents; the collection itself stays, with its indexes, and is still the one that the flow knows."""
        _, failed = await collection.send(
            {"delete": collection.name, "deletes": [{"q": {}, "limit": 0}]}, [], seconds=CLEAR_SECONDS
        )
        for error in failed:
            raise errors.from_code(error.code, error.details, f"clearing {collection.namespace!r}")

    async def _delete(self, collection: CollectionWriter, updates: Sequence[wire.Update]) -> None:
        keys = [raw.value_document(*_id(update), b"_id") for update in updates]
        for chunk in chunks(keys, self._batch_documents, lambda key: 2 * len(key) + OVERHEAD_BYTES):
            deletes = [{"q": id_filter(*raw.id_of(key)), "limit": 1} for key in chunk]
            _, failed = await collection.send({"delete": collection.name, "deletes": deletes}, chunk)
            collection.refuse(chunk, failed)

    async def _replace(self, collection: CollectionWriter, updates: Sequence[wire.Update]) -> None:
        by_key: dict[tuple[str, ...], list[bytes]] = {}
        for update in updates:
            names = tuple(part.name or "_id" for part in update.id)
            by_key.setdefault(names, []).append(update.data)
        for names, documents in by_key.items():
            check_framing(documents, collection.namespace)
            keyed = CollectionWriter(self._deployment, collection.database, collection.name, names)
            await keyed.replace(documents, self._batch_documents)

    async def _change(self, collection: CollectionWriter, updates: Sequence[wire.Update]) -> None:
        """Changes fields of documents that are there; one that is not was deleted since."""
        for chunk in chunks(updates, self._batch_documents, lambda each: each.ByteSize() + OVERHEAD_BYTES):
            commands = [
                {"q": id_filter(*_id(update)), "u": _operators(update, collection.namespace)} for update in chunk
            ]
            keys = [raw.value_document(*_id(update), b"_id") for update in chunk]
            _, failed = await collection.send({"update": collection.name, "updates": commands}, keys)
            collection.refuse(keys, failed)


def _by_id(updates: Iterable[wire.Update], namespace: str) -> list[Changes]:
    """A whole version or a delete makes void what came before it for its id."""
    changes: dict[Hashable, Changes] = {}
    for update in updates:
        if update.type == wire.DROP:
            continue
        key = raw.id_key(*_id(update))
        if update.type == wire.PARTIAL_UPDATE:
            changes.setdefault(key, Changes()).partial.append(update)
        elif update.type == wire.DELETE or update.type in FULL:
            _check_full(update, key, namespace)
            changes.pop(key, None)
            changes[key] = Changes(update)
        else:
            raise GapError(
                f"{namespace!r}: an update of type {update.type} is not understood",
                remedy="update dsync, or copy again with --restart",
            )
    return list(changes.values())


def _check_full(update: wire.Update, key: Hashable, namespace: str) -> None:
    if update.type == wire.DELETE:
        return
    shown = ids.show(*_id(update))
    if not update.data:
        raise DataError(f"{namespace!r}: an update of _id {shown} has no document")
    if raw.id_key(*raw.id_of(update.data)) != key:
        raise DataError(f"{namespace!r}: an update of _id {shown} has a document with another _id")


def _id(update: wire.Update) -> tuple[int, bytes]:
    for part in update.id:
        if part.name in {"", "_id"}:
            return part.type, part.data
    raise DataError("an update names no _id")


def _operators(update: wire.Update, namespace: str) -> dict[str, Any]:
    """The changed fields as the server's operators, which take names with dots for paths: such names are refused."""
    fields = [(k, name, update.data[at:end]) for k, name, at, end in raw.elements(update.data)] if update.data else []
    fields = [each for each in fields if each[1] != b"_id"]
    for name in (*(name for _, name, _ in fields), *(name.encode() for name in update.partial_update_unset)):
        if b"." in name or name[:1] == b"$" or not name:
            raise DataError(
                f"{namespace!r}: a partial update of _id {ids.show(*_id(update))} names a field with a dot or a dollar sign",
                remedy="let the source send whole documents",
            )
    body = b"".join(b"%c%b\0%b" % each for each in fields)
    operators: dict[str, Any] = {}
    if fields:
        operators["$set"] = Encoded((len(body) + 5).to_bytes(4, "little") + body + b"\0")
    if update.partial_update_unset:
        operators["$unset"] = dict.fromkeys(update.partial_update_unset, "")
    return operators
