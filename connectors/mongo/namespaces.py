"""Which collections a selection covers, what is left out and why, and where a name leads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from connectors.mongo.address import SERVER_DATABASES, Address
from connectors.mongo.deployment import Deployment
from dsync.errors import NotFoundError, UsageError

SYSTEM_PREFIX = "system."


class Collection(Struct, frozen=True):
    """A collection as the server lists it."""

    database: str
    name: str
    kind: str = "collection"
    uuid: bytes = b""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Its full name."""
        return f"{self.database}.{self.name}"

    @property
    def clustered(self) -> bool:
        """Whether its documents are stored in the order of `_id`, without an index for it."""
        return "clusteredIndex" in self.options


class Selection(Struct, frozen=True):
    """What a source covers: the names asked for, with the URI's database put in where it belongs; none: everything."""

    names: tuple[str, ...]
    database: str = ""

    def candidates(self, name: str) -> tuple[str, ...]:
        """The full names that a name may mean: with the URI's database, a bare one means a collection, or that database."""
        if "." in name or not self.database:
            return (name,)
        full = f"{self.database}.{name}"
        return (full, name) if name == self.database else (full,)

    def covers(self, namespace: str) -> bool:
        """Whether the namespace is selected, be it there yet or not."""
        if not self.names:
            return not self.database or namespace.startswith(f"{self.database}.")
        return any(_below(namespace, candidate) for name in self.names for candidate in self.candidates(name))

    def matched_by(self, name: str, namespace: str) -> bool:
        """Whether one of the names selects the namespace."""
        return any(_below(namespace, candidate) for candidate in self.candidates(name))

    @property
    def databases(self) -> tuple[str, ...]:
        """The databases in question; none: all."""
        if not self.names:
            return (self.database,) if self.database else ()
        found = {candidate.partition(".")[0] for name in self.names for candidate in self.candidates(name)}
        return tuple(sorted(found))

    def by_database(self) -> list[Selection]:
        """The same in parts of one database each, as far as it names any."""
        parts: dict[str, list[str]] = {}
        for name in self.names:
            parts.setdefault(self.candidates(name)[0].partition(".")[0], []).append(name)
        return [Selection(tuple(names), self.database) for names in parts.values()] or [self]


def _below(namespace: str, name: str) -> bool:
    return namespace == name or namespace.startswith(f"{name}.")


def leaves_out(excluded: Iterable[str], namespace: str) -> bool:
    """Whether one of these names, which may lack the database, means the namespace or what it lies below."""
    short = namespace.partition(".")[2]
    return any(_below(name, each) for each in excluded for name in (namespace, short))


def is_data(database: str, collection: str) -> bool:
    """Whether a collection is a user's: names that merely begin with "system" are."""
    return database not in SERVER_DATABASES and not collection.startswith(SYSTEM_PREFIX)


def split(namespace: str, address: Address) -> tuple[str, str]:
    """Database and collection of a name; without a dot it is a collection of the URI's database. Raises UsageError."""
    database, dot, collection = namespace.partition(".")
    if not dot:
        if not address.database:
            raise UsageError(
                f"the name {namespace!r} has no database",
                remedy=f"name one in the URI, as in {address.with_database('DATABASE')!r}, or write 'DATABASE.{namespace}'",
            )
        database, collection = address.database, namespace
    if not database or not collection or "\0" in namespace:
        raise UsageError(f"{namespace!r} is not the name of a collection", remedy="write 'DATABASE.COLLECTION'")
    return database, collection


def split_for_writing(namespace: str, address: Address) -> tuple[str, str]:
    """As `split`, for a collection that may be written to. Raises UsageError."""
    database, collection = split(namespace, address)
    if not is_data(database, collection):
        raise UsageError(f"{namespace!r} belongs to the server", remedy="map it to another name with --namespace A:B")
    return database, collection


async def select(
    deployment: Deployment, selection: Selection, excluded: Sequence[str] = (), *, views: bool = False
) -> tuple[list[Collection], list[str]]:
    """The collections to copy, and a sentence for all that is left out without having been `excluded`.

    Raises NotFoundError for a name that matches nothing.
    """
    visible = await select_all(deployment, selection)
    _refuse_unmatched(selection, visible)
    visible = [c for c in visible if not leaves_out(excluded, c.namespace)]
    skipped = [
        f"{c.namespace!r} is a {_KINDS.get(c.kind, c.kind)} and is skipped"
        for c in visible
        if c.kind in _KINDS and not (views and c.kind == "view")
    ]
    return [c for c in visible if c.kind not in _KINDS], skipped


async def select_all(deployment: Deployment, selection: Selection) -> list[Collection]:
    """Collections, views and time series of the users that a selection covers, by name."""
    listed: list[Collection] = []
    for database in selection.databases or await _all_databases(deployment):
        if database not in SERVER_DATABASES:
            listed += await list_collections(deployment, database)
    covered = (c for c in listed if selection.covers(c.namespace) and is_data(c.database, c.name))
    return sorted(covered, key=lambda c: c.namespace)


_KINDS = {"view": "view", "timeseries": "time-series collection"}


def _refuse_unmatched(selection: Selection, collections: Sequence[Collection]) -> None:
    for name in selection.names:
        if any(selection.matched_by(name, collection.namespace) for collection in collections):
            continue
        if selection.candidates(name)[0].partition(".")[0] in SERVER_DATABASES:
            raise NotFoundError(f"{name!r} belongs to the server and is never copied")
        meant = " or ".join(repr(candidate) for candidate in selection.candidates(name))
        remedy = "check the name; without a database in the URI, a name without a dot is a database"
        raise NotFoundError(f"no collection or database is named {meant}", remedy=remedy)


async def _all_databases(deployment: Deployment) -> list[str]:
    reply = await deployment.run("admin", {"listDatabases": 1, "nameOnly": True}, "listing the databases")
    return sorted(str(entry["name"]) for entry in reply["databases"])


async def list_collections(deployment: Deployment, database: str, name: str = "") -> list[Collection]:
    """The collections of a database, or the one of this name."""
    command = {"listCollections": 1, "filter": {"name": name} if name else {}}
    found: list[Collection] = []
    batches = deployment.decoded(database, command, f"listing the collections of {database!r}")
    async for entries in batches:
        found += [_collection(database, entry) for entry in entries]
    return found


def _collection(database: str, entry: Mapping[str, Any]) -> Collection:
    uuid = entry.get("info", {}).get("uuid")
    return Collection(
        database=database,
        name=str(entry["name"]),
        kind=str(entry.get("type", "collection")),
        uuid=bytes(uuid) if uuid is not None else b"",
        options=entry.get("options", {}),
    )


async def find_collection(deployment: Deployment, database: str, name: str) -> Collection | None:
    """The collection of this name, None where there is none."""
    found = await list_collections(deployment, database, name)
    return found[0] if found else None


async def not_carried(deployment: Deployment, collection: Collection, *, definitions: bool = False) -> str:
    """A sentence about what a copy of the documents, or of documents and definitions, leaves behind; empty for nothing."""
    options = collection.options
    if definitions:
        lost = options.get("encryptedFields")
        return f"{collection.namespace!r}: not carried over: its encrypted fields" if lost else ""
    names = [label for option, label in _OPTIONS.items() if options.get(option)]
    if options.get("collation", {}).get("locale", "simple") != "simple":
        names.append("its collation")
    indexes = await _secondary_indexes(deployment, collection)
    if indexes:
        names.append(f"{len(indexes)} secondary {'index' if len(indexes) == 1 else 'indexes'} ({_some(indexes)})")
    return f"{collection.namespace!r}: not carried over: {', '.join(names)}" if names else ""


_OPTIONS = {
    "capped": "that it is capped (what it lets go of by itself stays at the destination)",
    "validator": "its validator",
    "clusteredIndex": "its clustered index",
    "changeStreamPreAndPostImages": "its pre- and post-images",
    "encryptedFields": "its encrypted fields",
}


async def _secondary_indexes(deployment: Deployment, collection: Collection) -> list[str]:
    command = {"listIndexes": collection.name}
    names: list[str] = []
    doing = f"listing the indexes of {collection.namespace!r}"
    try:
        async for entries in deployment.decoded(collection.database, command, doing):
            names += [str(e["name"]) for e in entries if e.get("key") != {"_id": 1} and not e.get("clustered")]
    except NotFoundError:
        # Dropped since it was listed.
        return []
    return names


def _some(names: Iterable[str], most: int = 5) -> str:
    every = list(names)
    return ", ".join(repr(name) for name in every[:most]) + (", …" if len(every) > most else "")
