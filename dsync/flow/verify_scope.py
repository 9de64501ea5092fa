"""Which namespaces of two stores are compared with each other, and where each of them stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from dsync import wire
from dsync.connector import Connector
from dsync.errors import DsyncError, NotFoundError, UnimplementedError, UsageError
from dsync.namespaces import Selection

# Questions about namespaces that are under way at once.
CONCURRENT_QUESTIONS = 16

Listing = dict[str, list[wire.Partition]]


class Pair(Struct, frozen=True):
    """A namespace of the destination, as a copy calls it, with what a copy would have written to it.

    `sources` is empty for one that only the destination has, and has several names where namespaces were merged; `listed` is what
    the destination's plan calls it, empty where it is not there.
    """

    number: int
    destination: str
    sources: tuple[str, ...]
    listed: str
    source_parts: Sequence[wire.Partition]
    destination_parts: Sequence[wire.Partition]

    @property
    def name(self) -> str:
        """What reports call it: the source's name where there is just one."""
        return self.sources[0] if self.sources else self.destination

    @property
    def shown(self) -> str:
        """Both names, one where they are equal."""
        origin = ", ".join(self.sources)
        return self.destination if origin in ("", self.destination) else f"{origin} -> {self.destination}"


class Scope(Struct, frozen=True):
    """What is to be compared, and what the source leaves out of it."""

    pairs: list[Pair]
    warnings: list[str] = field(default_factory=list)


async def make_scope(
    source: Connector,
    destination: Connector,
    infos: Sequence[wire.GetInfoResponse],
    selection: Selection,
    *,
    merge: bool,
    own: Sequence[str] = (),
) -> Scope:
    """Asks both ends what they hold; `own` at the destination is dsync's.

    Raises UsageError where the source must be told what to compare, where nothing is left of it, and where two namespaces would
    be one unless `merge` allows it; NotFoundError for a name that the source does not have.
    """
    ours, warnings = await _list_source(source, infos[0].capabilities.source, selection)
    by_destination: dict[str, list[str]] = {}
    for name in ours:
        by_destination.setdefault(selection.destination(name), []).append(name)
    merged = next((names for names in by_destination.values() if len(names) > 1), None)
    if merged and not merge:
        raise UsageError(
            f"{merged[0]!r} and {merged[1]!r} are both mapped to {selection.destination(merged[0])!r}",
            remedy="map them to different names with --namespace, or allow it with --merge-namespaces",
        )
    roots = _roots(selection, ours)
    theirs = await _list_destination(destination, infos[1].capabilities.source, roots)
    found = {name: _named(name, theirs) for name in by_destination}
    for name in [name for name, listed in found.items() if not listed]:
        found[name] = await _under_another_name(destination, infos[1], name, theirs, alone=len(found) == 1)
    pairs = [
        Pair(number, name, tuple(origins), found[name], _parts(ours, origins), theirs.get(found[name], []))
        for number, (name, origins) in enumerate(by_destination.items())
    ]
    extra = [name for name in _extra(theirs, set(found.values()), roots, selection) if name not in own]
    pairs += [Pair(number, name, (), name, [], theirs[name]) for number, name in enumerate(extra, len(pairs))]
    return Scope(pairs, warnings)


def _parts(listing: Listing, names: Iterable[str]) -> list[wire.Partition]:
    return [part for name in names for part in listing[name]]


async def _list_source(
    source: Connector, capabilities: wire.Capabilities.Source, selection: Selection
) -> tuple[Listing, list[str]]:
    names = selection.names
    if not names and not capabilities.default_plan:
        raise UsageError("this source does not say what it holds", remedy="name what to verify with --namespace")
    questions = [names] if capabilities.multi_namespace_plan or len(names) < 2 else [[name] for name in names]
    found: Listing = {}
    warnings: list[str] = []
    for question in questions:
        answer = await source.GeneratePlan(wire.GeneratePlanRequest(namespaces=question, initial_sync=True))
        _collect(found, answer)
        warnings += answer.warnings
    kept = {name: parts for name, parts in found.items() if not selection.excludes(name)}
    if found and not kept:
        raise UsageError("--exclude leaves nothing to verify", remedy="exclude less")
    return kept, warnings


def _collect(listing: Listing, answer: wire.GeneratePlanResponse) -> None:
    known = {(name, part.cursor) for name, parts in listing.items() for part in parts}
    for part in answer.partitions:
        if (part.namespace, part.cursor) not in known:  # two questions may cover the same name
            listing.setdefault(part.namespace, []).append(part)


def _roots(selection: Selection, names: Iterable[str]) -> dict[str, str]:
    """The destination's names below which everything comes from this source -> their names at the source."""
    roots: dict[str, str] = {}
    for name in names:
        tail = _tail_of(selection, name)
        target = selection.destination(name)
        roots[target.removesuffix(tail)] = name.removesuffix(tail)
    return roots


def _tail_of(selection: Selection, name: str) -> str:
    """What the selection did not name: behind the longest rule that matches, or all but the first part of a name."""
    for rule in sorted(selection.rules, key=lambda rule: -len(rule.source)):
        tail = rule.tail(name)
        if tail is not None:
            return tail
    top, dot, rest = name.partition(".")
    return dot + rest if top else ""


async def _list_destination(
    destination: Connector, capabilities: wire.Capabilities.Source, roots: Mapping[str, str]
) -> Listing:
    names = sorted(roots)
    if capabilities.multi_namespace_plan and names:
        try:
            return await _list(destination, names)
        except NotFoundError:
            pass  # one that is not there spoils the question: each by itself then
    turn = asyncio.Semaphore(CONCURRENT_QUESTIONS)

    async def ask(name: str) -> Listing:
        async with turn:
            try:
                return await _list(destination, [name])
            except NotFoundError:
                return {}

    listing: Listing = {}
    for found in await asyncio.gather(*map(ask, names)):
        for name, parts in found.items():
            listing.setdefault(name, parts)
    return listing


async def _list(connector: Connector, names: Sequence[str]) -> Listing:
    listing: Listing = {}
    _collect(listing, await connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=names, initial_sync=True)))
    return listing


def _named(name: str, listing: Listing) -> str:
    """The listed name that means this one: a store may have put its own database before a name without one."""
    if name in listing:
        return name
    return next((listed for listed in listing if "." not in name and listed.partition(".")[2] == name), "")


async def _under_another_name(
    destination: Connector, info: wire.GetInfoResponse, name: str, listing: Listing, *, alone: bool
) -> str:
    """What a store that holds the namespace all the same lists it as, such as a single file; empty where it is not there.

    Raises DsyncError where it is there and cannot be listed.
    """
    metadata = await _metadata(destination, name)
    if not (metadata.exists or metadata.count):
        return ""
    if alone and metadata.identity and info.capabilities.source.default_plan:
        everything = await _list(destination, [])
        other = next(iter(everything), "")
        if len(everything) == 1 and (await _metadata(destination, other)).identity == metadata.identity:
            listing.update(everything)
            return other
    raise DsyncError(
        f"the destination has {name!r} but does not list it",
        remedy="a view or a special collection cannot be verified; leave it out with --exclude",
    )


async def _metadata(connector: Connector, name: str) -> wire.GetNamespaceMetadataResponse:
    try:
        return await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=name))
    except (NotFoundError, UnimplementedError):
        return wire.GetNamespaceMetadataResponse(exists=False)


def _extra(listing: Listing, known: set[str], roots: Mapping[str, str], selection: Selection) -> list[str]:
    """What the destination has besides, below the names that come from this source."""
    return [name for name in listing if name not in known and _comes_from_source(name, roots, selection)]


def _comes_from_source(name: str, roots: Mapping[str, str], selection: Selection) -> bool:
    for root, origin in roots.items():
        if name == root or name.startswith(f"{root}."):
            source_name = origin + name.removeprefix(root)
            return not selection.excludes(source_name) and selection.destination(source_name) == name
    return False
