"""What a collection is besides its documents, and what a view is: read as the server says it, written so that it is the same.

A definition is BSON {v, view, options, indexes, names}: options of the collection, specifications of its indexes, and the source's
full names of the collections that a view reads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bson

from connectors.mongo import errors, namespaces
from connectors.mongo.deployment import LENIENT, RAW, Deployment
from connectors.mongo.namespaces import Collection, Selection
from dsync import wire
from dsync.codec import raw
from dsync.errors import ConflictError, CursorError, DataError, NotFoundError

LOG = logging.getLogger(__name__)

VERSION = 1
KIND = "mongodb"
# What a collection is from its beginning on; the rest can be changed later.
LASTING = ("capped", "size", "max", "collation", "clusteredIndex", "expireAfterSeconds")
CHANGEABLE = ("validator", "validationLevel", "validationAction", "changeStreamPreAndPostImages")
VIEW = ("viewOn", "pipeline", "collation")
# What the server adds by itself, or no longer knows.
NOT_OF_AN_INDEX = frozenset({"v", "ns", "background", "prepareUnique"})
INDEX_SECONDS = 7 * 24 * 3600
NAMESPACE_EXISTS, OPTIONS_CONFLICT, KEYS_CONFLICT = 48, 85, 86
ELSEWHERE = frozenset({OPTIONS_CONFLICT, KEYS_CONFLICT})


async def read(
    deployment: Deployment, selection: Selection, request: wire.ReadDefinitionsRequest
) -> list[wire.Definition]:
    """Those of collections, then those of views."""
    found = await namespaces.select_all(deployment, selection)
    collections = [c for c in found if c.kind == "collection" and request.collections]
    views = [c for c in found if c.kind == "view" and request.views]
    return [await _of_collection(deployment, each) for each in collections] + [_of_view(each) for each in views]


async def _of_collection(deployment: Deployment, collection: Collection) -> wire.Definition:
    indexes = [
        {key: value for key, value in bson.decode(each, RAW).items() if key not in NOT_OF_AN_INDEX}
        for each in await _indexes(deployment, collection)
    ]
    kept = {name: collection.options[name] for name in (*LASTING, *CHANGEABLE) if name in collection.options}
    return _definition(collection, kept, indexes=[each for each in indexes if not _own(each)])


def _of_view(view: Collection) -> wire.Definition:
    read_by_it = [str(view.options.get("viewOn", "")), *_named(view.options.get("pipeline", ()))]
    names = [f"{view.database}.{name}" for name in dict.fromkeys(read_by_it)]
    return _definition(view, {name: view.options[name] for name in VIEW if name in view.options}, names=names)


def _definition(
    collection: Collection,
    options: Mapping[str, Any],
    indexes: Sequence[Mapping[str, Any]] = (),
    names: Sequence[str] = (),
) -> wire.Definition:
    fields = {"v": VERSION, "view": collection.kind == "view", "options": options, "indexes": indexes, "names": names}
    return wire.Definition(namespace=collection.namespace, data=bson.encode(fields), refers_to=names)


async def _indexes(deployment: Deployment, collection: Collection) -> list[bytes]:
    doing = f"listing the indexes of {collection.namespace!r}"
    command = {"listIndexes": collection.name}
    try:
        return [each async for batch in deployment.documents(collection.database, command, doing) for each in batch]
    except NotFoundError:
        # Dropped since it was listed.
        return []


def _own(index: Mapping[str, Any]) -> bool:
    """Whether every collection has this index by itself."""
    return dict(index["key"]) == {"_id": 1} or bool(index.get("clustered"))


def _named(value: Any) -> Iterator[str]:
    """The collections that a pipeline names, at any depth."""
    for item in value if isinstance(value, list) else ():
        yield from _named(item)
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        place = {"$lookup": "from", "$graphLookup": "from", "$unionWith": "coll"}.get(key)
        name = inner if isinstance(inner, str) else inner.get(place) if isinstance(inner, Mapping) else None
        if place and isinstance(name, str):
            yield name
        yield from _named(inner)


class Definer:
    """Writes definitions; a repeated one changes nothing."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def write(self, database: str, name: str, request: wire.WriteDefinitionRequest) -> list[str]:
        """Answers what people should know. Raises DataError where something else is there already."""
        fields = _checked(request.definition)
        options = fields["options"]
        before = request.stage == wire.WriteDefinitionRequest.Stage.STAGE_BEFORE_DOCUMENTS
        if fields["view"]:
            return [] if before else await self._make_view(database, name, fields, request.definition.refers_to)
        if before:
            await self._make_collection(database, name, options)
            return []
        return await self._complete(database, name, options, fields["indexes"])

    async def _make_collection(self, database: str, name: str, options: Mapping[str, Any]) -> None:
        lasting = {key: options[key] for key in LASTING if key in options}
        there = await namespaces.find_collection(self._deployment, database, name)
        if there is None and lasting:
            await self._run(database, {"create": name, **lasting}, f"creating '{database}.{name}'", NAMESPACE_EXISTS)
            there = await namespaces.find_collection(self._deployment, database, name)
        if there is not None:
            _refuse_other(there, lasting)

    async def _complete(
        self, database: str, name: str, options: Mapping[str, Any], indexes: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        changes = {key: options[key] for key in CHANGEABLE if key in options}
        if indexes or changes:
            # An empty collection may not be there yet.
            await self._run(database, {"create": name}, f"creating '{database}.{name}'", NAMESPACE_EXISTS)
        plain = [index for index in indexes if not index.get("unique")]
        unique = [[index] for index in indexes if index.get("unique")]
        conflicts = [await self._make_indexes(database, name, each) for each in [plain, *unique] if each]
        if changes:
            await self._run(database, {"collMod": name, **changes}, f"setting the options of '{database}.{name}'")
        for conflict in filter(None, conflicts):
            raise conflict
        expiring = [str(index["name"]) for index in indexes if "expireAfterSeconds" in index]
        return [f"'{database}.{name}': the TTL index {each!r} deletes at the destination, too" for each in expiring]

    async def _make_indexes(
        self, database: str, name: str, indexes: Sequence[Mapping[str, Any]]
    ) -> ConflictError | None:
        shown = ", ".join(repr(index["name"]) for index in indexes)
        doing = f"making the indexes {shown} of '{database}.{name}'"
        reply = await self._run(
            database, {"createIndexes": name, "indexes": indexes}, doing, *ELSEWHERE, errors.DUPLICATE_KEY
        )
        code = reply.get("code")
        if code in ELSEWHERE:
            raise DataError(
                f"'{database}.{name}' has another index in the place of one of {shown}",
                remedy="drop it at the destination, or leave --indexes out",
            )
        if code != errors.DUPLICATE_KEY:
            return None
        return ConflictError(
            f"documents of '{database}.{name}' have the same value in the unique index {shown}",
            remedy="run the same command again when the source is quiet, or mend the data",
        )

    async def _make_view(self, database: str, name: str, fields: Mapping[str, Any], names: Sequence[str]) -> list[str]:
        """A view reads collections of its own database; one that would have to read others is not made."""
        reads = list(zip([str(each) for each in fields["names"]], names, strict=True))
        moved = [new for _, new in reads if not new.startswith(f"{database}.")]
        moved += [new for old, new in reads[1:] if _short(old) != _short(new)]
        if moved:
            return [
                f"the view '{database}.{name}' is not made: what it reads is called {moved[0]!r} at the destination"
            ]
        options = {**fields["options"], "viewOn": _short(reads[0][1])}
        there = await namespaces.find_collection(self._deployment, database, name)
        if there is None:
            await self._run(database, {"create": name, **options}, f"making the view '{database}.{name}'")
        elif there.kind != "view" or any(_plain(there.options.get(key)) != _plain(options.get(key)) for key in VIEW):
            raise DataError(
                f"'{database}.{name}' is there already, and is another view or a collection",
                remedy="drop it at the destination, or leave --views out",
            )
        return []

    async def _run(self, database: str, command: dict[str, Any], doing: str, *allow: int) -> dict[str, Any]:
        command |= {"writeConcern": self._deployment.write_concern}
        return await self._deployment.run(database, command, doing, seconds=INDEX_SECONDS, allow=allow)


def _checked(definition: wire.Definition) -> Mapping[str, Any]:
    try:
        raw.check(definition.data, strict=False)
        fields = bson.decode(definition.data, RAW)
        known = fields.get("v") == VERSION and _is_whole(fields, len(definition.refers_to))
    except (bson.errors.BSONError, DataError, UnicodeDecodeError):
        known = False
    if not known:
        raise CursorError("a definition is not MongoDB's or of another version", remedy="use one version of dsync")
    return fields


def _is_whole(fields: Mapping[str, Any], names: int) -> bool:
    """Whether everything is there and of its type: a definition may come from anywhere."""
    indexes, read = fields.get("indexes"), fields.get("names")
    return (
        isinstance(fields.get("options"), Mapping)
        and isinstance(fields.get("view"), bool)
        and isinstance(indexes, list)
        and all(isinstance(index, Mapping) and isinstance(index.get("name"), str) for index in indexes)
        and isinstance(read, list)
        and (not fields["view"] or len(read) == names > 0)
    )


def _refuse_other(there: Collection, lasting: Mapping[str, Any]) -> None:
    """Raises DataError where a collection is there that is another from its beginning on."""
    for key in LASTING:
        if _plain(there.options.get(key)) != _plain(lasting.get(key)):
            raise DataError(
                f"{there.namespace!r} is there already, and its option {key!r} is another than at the source",
                remedy="drop it at the destination, or leave --indexes out",
            )


def _short(namespace: str) -> str:
    return namespace.partition(".")[2]


def _plain(value: Any) -> Any:
    """Comparable, however it was decoded."""
    return bson.decode(bson.encode({"value": value}), LENIENT)
