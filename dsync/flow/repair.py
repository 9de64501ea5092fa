"""Mends what a report of a verification names, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dsync import codec, wire
from dsync.codec import raw
from dsync.connector import Connector
from dsync.endpoint import End, Endpoint, settled
from dsync.errors import DataError, LimitError, TransientError, UnimplementedError, UsageError
from dsync.flow.agree import Agreement, agree
from dsync.flow.digest import id_bytes
from dsync.flow.ends import Wrapping, wrap_sink, wrap_source
from dsync.flow.verify_report import Difference, Placed, Summary, batches, check_report, read_report

# Differences mended together, where the source finds documents by id; where it has to be listed for them; and their documents.
BATCH_BY_IDS = 1000
BATCH_BY_LISTING = 50_000
MOST_BYTES = 8 << 20
# Of which so many are asked for at first, as long as nobody knows how large they are.
FIRST_IDS = 16
# A source that keeps changing the same documents faster than they are mended.
MOST_ROUNDS = 5

# A field path: the id is the same to the store, but of another type of number. No store lets it be changed in place.
ID = "_id"

Deed = Literal["written", "deleted", "gone at the source", "left"]
# Differences of one namespace by their ids, as `id_bytes` has them.
Wanted = Mapping[bytes, Difference]


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """What a repair may do; times are seconds."""

    delete_extra: bool = False
    retry_for: float = 600.0
    # Documents a second; 0: no limit.
    rate: float = 0.0
    # Documents that may be deleted; None: any number.
    max_delete: int | None = None


@dataclass(slots=True)
class Repaired:
    """What a repair did, by namespace of the destination."""

    deeds: dict[str, Counter[Deed]] = field(default_factory=dict)

    def count(self, namespace: str, deed: Deed, number: int = 1) -> None:
        """Counts."""
        if number:
            self.deeds.setdefault(namespace, Counter())[deed] += number

    @property
    def total(self) -> Counter[Deed]:
        """Over all namespaces."""
        total: Counter[Deed] = Counter()
        for deeds in self.deeds.values():
            total.update(deeds)
        return total


async def repair(
    source: End,
    destination: End,
    report: str | Path | Iterable[Placed],
    settings: RepairSettings | None = None,
    done: Repaired | None = None,
    *,
    made_for: Summary | None = None,
) -> Repaired:
    """Writes what is missing or changed as the source has it now, and deletes what is extra if that was asked for.

    The report is the path of one that `verify` wrote, which is read to its end before anything is done, or what stands in it.
    What the source has no longer is not written; what it has again is written, not deleted. Repeatable; `done` tells what was
    done also after a failure. Raises UsageError for a sink that does not write by id, and where the report was `made_for` the
    same ends the other way round; DataError for a line that names no id.
    """
    done = done if done is not None else Repaired()
    settings = settings or RepairSettings()
    if isinstance(report, str | Path):
        made_for, report = check_report(str(report)), read_report(str(report))
    source, destination = settled(source, "source"), settled(destination, "destination", both=True)
    reader = source.create() if isinstance(source, Endpoint) else source
    writer = destination.create() if isinstance(destination, Endpoint) else destination
    async with reader, writer:
        agreement = await agree(reader, writer)
        refuse_unkeyed(agreement)
        refuse_swapped(agreement, made_for or Summary())
        wrapping = Wrapping(agreement.native, agreement.type, settings.retry_for, settings.rate)
        ends = wrap_source(reader, wrapping), wrap_sink(writer, wrapping)
        await Repairer(*ends, agreement, settings, done).run(report)
    return done


def refuse_unkeyed(agreement: Agreement) -> None:
    """Raises UsageError where a single document cannot be put in the place of another."""
    if not agreement.sink.keyed:
        raise UsageError(
            f"{agreement.destination.db_type!r} does not write by id: single documents cannot be mended there",
            remedy="copy again; dsync SOURCE DESTINATION replaces what the last copy wrote",
        )


def refuse_swapped(agreement: Agreement, made_for: Summary) -> None:
    """Raises UsageError where mending would write what was found to be wrong over what is right."""
    ends = agreement.source.id, agreement.destination.id
    if ends[0] != ends[1] and ends == (made_for.destination, made_for.source):
        raise UsageError(
            "the report is of a verification the other way round: its source is the destination here",
            remedy="give SOURCE and DESTINATION as they were verified",
        )


class Repairer:
    """Mends batch after batch."""

    def __init__(
        self, source: Connector, sink: Connector, agreement: Agreement, settings: RepairSettings, done: Repaired
    ) -> None:
        self.source = source
        self.sink = sink
        self.agreement = agreement
        self.settings = settings
        self.done = done
        self._deleted = 0

    async def run(self, report: Iterable[Placed]) -> None:
        """Mends everything that the report names."""
        by_ids = self.agreement.source.capabilities.source.get_by_ids
        for batch in batches(_with_ids(report), BATCH_BY_IDS if by_ids else BATCH_BY_LISTING):
            todo = {id_bytes(each.id_kind, each.id_value): each for each in batch}
            await (self._mend_by_ids(todo) if by_ids else self._mend_by_listing(todo))

    async def _mend_by_ids(self, todo: Wanted) -> None:
        """Some at a time, as many as are about `MOST_BYTES`."""
        left, some = list(todo.items()), FIRST_IDS
        while left:
            portion, left = dict(left[:some]), left[some:]
            size = await self._mend_portion(portion)
            some = max(1, min(BATCH_BY_IDS, MOST_BYTES * len(portion) // max(size, 1)))

    async def _mend_portion(self, portion: Wanted) -> int:
        """Goes on until what was applied is what the source has: its changes may come in another way too, before ours.

        Answers the bytes that were read at first.
        """
        applied: dict[bytes, bytes] = {}
        size = 0
        for _ in range(MOST_ROUNDS):
            found = await self._read(portion)
            size = size or sum(map(len, found.values()))
            stale = [key for key in portion if applied.get(key) != found.get(key, b"")]
            if not stale:
                break
            await self._apply({key: portion[key] for key in stale}, found)
            applied |= {key: found.get(key, b"") for key in stale}
        else:
            raise TransientError(
                "documents keep changing at the source while they are mended", remedy="run repair again"
            )
        self._count(portion, applied)
        return size

    async def _read(self, portion: Wanted) -> dict[bytes, bytes]:
        """What the source has of the ids now, by id, in the sink's type."""
        first = next(iter(portion.values()))
        ids = [
            wire.GetByIdsRequest.IdRequest(id=[wire.BsonValue(type=each.id_kind, data=each.id_value, name="_id")])
            for each in portion.values()
        ]
        answer = await self.source.GetByIds(
            wire.GetByIdsRequest(namespace=first.namespace, ids=ids, type=self.agreement.type)
        )
        found = [item.data for item in answer.data]
        return {key: data for key, data in zip(portion, found, strict=True) if data}

    async def _mend_by_listing(self, todo: Wanted) -> None:
        """Lists the source once for all of them. What is read this way does not change while it is read."""
        first = next(iter(todo.values()))
        applied: dict[bytes, bytes] = {}
        request = wire.GeneratePlanRequest(namespaces=[first.namespace], initial_sync=True)
        for part in (await self.source.GeneratePlan(request)).partitions:
            if part.namespace != first.namespace:
                continue
            cursor = b""
            while True:
                page = await self.source.ListData(
                    wire.ListDataRequest(partition=part, type=self.agreement.type, cursor=cursor)
                )
                found = {key: data for key, data in self._by_id(list(page.data)) if key in todo}
                await self._apply({key: todo[key] for key in found}, found)
                applied |= dict.fromkeys(found, b"written")
                cursor = page.next_cursor
                if not cursor:
                    break
        absent = {key: each for key, each in todo.items() if key not in applied}
        await self._apply(absent, {})
        self._count(todo, applied)

    def _by_id(self, page: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for document, data in zip(codec.convert(page, self.agreement.type, wire.BSON), page, strict=True):
            yield id_bytes(*raw.id_of(document)), data

    async def _apply(self, wanted: Wanted, found: Mapping[bytes, bytes]) -> None:
        """Writes what was found and deletes what was not, as far as that is allowed."""
        there = {key: each for key, each in wanted.items() if key in found}
        await self._delete([each for each in there.values() if ID in each.fields], counted=False)
        updates = [_update(each, found[key]) for key, each in there.items()]
        await self._write_updates(wanted, updates)
        await self._delete([each for key, each in wanted.items() if key not in found and self._may_delete(each)])

    def _may_delete(self, difference: Difference) -> bool:
        return self.settings.delete_extra and difference.kind != "missing"

    async def _delete(self, differences: Sequence[Difference], *, counted: bool = True) -> None:
        if not differences:
            return
        most = self.settings.max_delete
        if counted and most is not None and self._deleted + len(differences) > most:
            raise LimitError(
                f"the report asks to delete more than --max-delete {most:,} documents",
                remedy="look at the report; if it is right, run again with a higher --max-delete",
            )
        updates = [wire.Update(id=[_id(each)], type=wire.DELETE) for each in differences]
        request = wire.WriteUpdatesRequest(
            namespace=differences[0].destination, updates=updates, type=self.agreement.type
        )
        await self.sink.WriteUpdates(request)
        self._deleted += len(differences) if counted else 0

    async def _write_updates(self, wanted: Wanted, updates: Sequence[wire.Update]) -> None:
        """By updates where the sink takes them, else as data, which overwrites by id too."""
        if not updates:
            return
        name = next(iter(wanted.values())).destination
        if self.agreement.sink.updates or not self.agreement.sink.HasField("updates"):
            try:
                await self.sink.WriteUpdates(
                    wire.WriteUpdatesRequest(namespace=name, updates=updates, type=self.agreement.type)
                )
            except UnimplementedError:
                self.agreement.sink.updates = False
            else:
                return
        data = [update.data for update in updates]
        await self.sink.WriteData(wire.WriteDataRequest(namespace=name, data=data, type=self.agreement.type))

    def _count(self, wanted: Wanted, applied: Mapping[bytes, bytes]) -> None:
        for key, each in wanted.items():
            self.done.count(each.destination, self._deed(each, bool(applied.get(key))))

    def _deed(self, difference: Difference, written: bool) -> Deed:
        if written:
            return "written"
        if difference.kind == "missing":
            return "gone at the source"
        return "deleted" if self.settings.delete_extra else "left"


def _with_ids(report: Iterable[Placed]) -> Iterator[Difference]:
    for placed in report:
        if not placed.difference.id_kind:
            raise DataError(
                f"line {placed.line} of the report names a document without an id", remedy="copy its namespace again"
            )
        yield placed.difference


def _id(difference: Difference) -> wire.BsonValue:
    return wire.BsonValue(type=difference.id_kind, data=difference.id_value, name="_id")


def _update(difference: Difference, data: bytes) -> wire.Update:
    kind = wire.INSERT if difference.kind == "missing" or ID in difference.fields else wire.UPDATE
    return wire.Update(id=[_id(difference)], type=kind, data=data)
