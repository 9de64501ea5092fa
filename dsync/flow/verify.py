"""Compares what two stores hold: lists both itself, over the full range, and says which documents are missing, extra or changed."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from dsync import wire
from dsync.cancel import cancel, together
from dsync.connector import Connector
from dsync.endpoint import End, settled
from dsync.errors import DsyncError, UnimplementedError, UsageError
from dsync.flow import budget
from dsync.flow.agree import choose_types
from dsync.flow.ends import opened_together, opened_transform, retrying
from dsync.flow.plan import state_in
from dsync.flow.verify_listing import PairListing, Reading, Side, pages
from dsync.flow.verify_outcome import NamespaceOutcome, Outcome, VerifySettings
from dsync.flow.verify_recheck import Rechecker, names_of, parts_of
from dsync.flow.verify_report import Difference, Report, count_line, report_at
from dsync.flow.verify_scope import Pair, Scope, make_scope
from dsync.flow.verify_spill import Spill, Suspect
from dsync.flow.verify_transform import Transformed, through
from dsync.flow.verify_window import DESTINATION, SIDES
from dsync.progress import NamespaceProgress, Tracker
from dsync.transform import Transform

logger = logging.getLogger(__name__)

# Documents that wait for their equals, in bytes: more finds no more. And their share of the memory that a run may take.
MOST_WINDOW_BYTES = 48 << 20
WINDOW_SHARE = 6
# Suspects that are rechecked together, between two pauses.
GROUP = 50_000


async def verify(
    source: End,
    destination: End,
    settings: VerifySettings | None = None,
    report: Report | str | Path | None = None,
    *,
    on_difference: Callable[[Difference], None] | None = None,
    tracker: Tracker | None = None,
    stop: asyncio.Event | None = None,
) -> Outcome:
    """Compares the two and writes every difference to the report, a file at a path, with a summary at its end.

    `on_difference` is called with each, besides. Raises a DsyncError where the comparison cannot begin. One that began and could
    not be finished, because something failed or `stop` was set, is "incomplete" and keeps its error.
    """
    if not isinstance(report, Report):
        with report_at(report) as opened:
            return await verify(
                source, destination, settings, opened, on_difference=on_difference, tracker=tracker, stop=stop
            )
    source, destination = settled(source, "source"), settled(destination, "destination", both=True)
    settings = settings or VerifySettings()
    run = Verification(settings, report, tracker or Tracker(), on_difference)
    try:
        async with (
            opened_together(*(retrying(end, settings.retry_for) for end in (source, destination))) as (
                ours,
                theirs,
            ),
            opened_transform(settings.transform) as run.transform,
        ):
            await _unless_stopped(run, ours, theirs, stop or asyncio.Event())
    except DsyncError as error:
        if not run.began:
            raise
        run.outcome.result, run.outcome.error = "incomplete", error
    finally:
        run.outcome.seconds = run.tracker.seconds
        if run.began:
            report.end(run.outcome.summary())
    return run.outcome


async def _unless_stopped(run: Verification, source: Connector, destination: Connector, stop: asyncio.Event) -> None:
    work = asyncio.create_task(run.run(source, destination))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            run.began = True
            raise DsyncError("it was interrupted", remedy="run it again")
        work.result()
    finally:
        await cancel([work, stopped])
        await asyncio.gather(work, stopped, return_exceptions=True)


class Verification:
    """One verification, from its two open ends to its outcome."""

    def __init__(
        self,
        settings: VerifySettings,
        report: Report,
        tracker: Tracker,
        on_difference: Callable[[Difference], None] | None,
    ) -> None:
        self.settings = settings
        self.report = report
        self.tracker = tracker
        self.on_difference = on_difference
        self.transform: Transform | None = None
        self.outcome = Outcome()
        # Whether anything was compared yet.
        self.began = False
        self._by_number: dict[int, NamespaceOutcome] = {}

    async def run(self, source: Connector, destination: Connector) -> None:
        """Compares everything. Raises a DsyncError where that does not come to an end."""
        settings = self.settings
        ends = source, destination
        infos = [await end.GetInfo(wire.GetInfoRequest()) for end in ends]
        refuse_unreadable(infos)
        self.outcome.ends = infos[0].id, infos[1].id
        selection = replace(settings.selection, hidden=await state_in(source, settings.state))
        own = await state_in(destination, settings.state)
        if self.transform is not None:
            shown = await self._look_through(self.transform, ends, infos)
            selection = shown.selection(selection)
            source, ends = shown, (shown, destination)
            infos[0] = await shown.GetInfo(wire.GetInfoRequest())
        scope = await make_scope(source, destination, infos, selection, merge=settings.merge_namespaces, own=own)
        self.outcome.notes += scope.warnings
        refuse_itself(scope, infos)
        if settings.form.as_text:
            self.outcome.notes.append("compared as text: types, null, missing and empty were not told apart")
        sides, common = make_sides(ends, infos)
        pairs = self._sampled(scope)
        self._by_number = {pair.number: NamespaceOutcome(pair) for pair in pairs}
        self.outcome.namespaces = list(self._by_number.values())
        self._show(pairs)
        self.began = True
        if settings.quick_count:
            todo = iter(pairs)
            await together([self._count_pairs(sides, todo) for _ in range(settings.tasks)])
        else:
            await self._compare(scope.pairs, pairs, sides, common)
        self.outcome.result = "different" if self.outcome.differs else "equal"

    async def _look_through(
        self, transform: Transform, ends: Sequence[Connector], infos: Sequence[wire.GetInfoResponse]
    ) -> Transformed:
        """The source as the transform shows it, read once to know its namespaces."""
        settings = self.settings
        shown, warnings = await through(
            transform,
            ends,
            infos,
            settings.selection,
            merge=settings.merge_namespaces,
            retry_for=settings.retry_for,
        )
        self.tracker.stage = "looking through the transform"
        await shown.look(settings.tasks)
        self.outcome.notes += warnings
        if shown.seen.filtered:
            self.outcome.notes.append(f"the transform filters out {shown.seen.filtered:,} documents")
        return shown

    def _sampled(self, scope: Scope) -> list[Pair]:
        """The pairs with the partitions that this run reads."""
        settings, outcome = self.settings, self.outcome
        if settings.parts > 1:
            outcome.covered = f"partition {settings.part} of {settings.parts}"
        if settings.sample is None:
            return scope.pairs
        every = [(pair.number, part) for pair in scope.pairs for part in pair.source_parts]
        picked = random.sample(every, min(settings.sample, len(every)))
        outcome.covered = f"{len(picked)} of {len(every)} partitions"
        parts: dict[int, list[wire.Partition]] = {}
        for number, part in picked:
            parts.setdefault(number, []).append(part)
        return [replace(pair, source_parts=parts[pair.number]) for pair in scope.pairs if pair.number in parts]

    def _show(self, pairs: Sequence[Pair]) -> None:
        self.tracker.stage = "verifying"
        for pair in pairs:
            parts = [*pair.source_parts, *pair.destination_parts]
            estimates = [part.estimated_count for part in parts]
            self.tracker.namespaces[pair.destination] = NamespaceProgress(
                pair.shown, pair.destination, partitions=len(parts), estimated=sum(estimates) if all(estimates) else 0
            )

    async def _compare(
        self, every: Sequence[Pair], pairs: Sequence[Pair], sides: Sequence[Side], common: wire.Type | None
    ) -> None:
        settings = self.settings
        reading = Reading(
            settings.form, secrets.token_bytes(32), common=common, part=settings.part, parts=settings.parts
        )
        rechecker = Rechecker(
            every, sides, reading, any_of=settings.duplicates == "last", ignore_extra=self._ignores_extra
        )
        with Spill() as spill:
            await self._list(pairs, sides, reading, spill)
            logger.info("both sides are listed; %d documents found no equal at once", spill.records)
            async for group in self._groups(spill):
                await self._settle(group, rechecker)
                if self._at_limit():
                    self.outcome.notes.append(
                        f"stopped at the limit of {settings.limit:,}: there may be more differences"
                    )
                    return

    @property
    def _ignores_extra(self) -> bool:
        # what a sample does not read at the source is not extra at the destination
        return self.settings.ignore_extra or self.settings.sample is not None

    async def _list(self, pairs: Sequence[Pair], sides: Sequence[Side], reading: Reading, spill: Spill) -> None:
        """Large pairs one after another, several partitions at a time; small ones side by side."""
        tasks = self.settings.tasks
        window = min(MOST_WINDOW_BYTES, budget.memory_limit(self.settings.memory_limit) // WINDOW_SHARE)

        async def listed(pair: Pair, readers: int, window_bytes: int) -> None:
            listing = PairListing(pair, sides, reading, spill, window_bytes, self.tracker)
            looks_up = self.settings.sample is not None and sides[DESTINATION].by_ids
            await (listing.run_by_ids(readers) if looks_up else listing.run(readers))
            known: list[int | None] = [*listing.counts]
            if looks_up:
                known[DESTINATION] = None
            self._by_number[pair.number].documents = known

        async def one_after_another(todo: Iterator[Pair]) -> None:
            for pair in todo:
                await listed(pair, 1, window // tasks)

        small = []
        for pair in pairs:
            if max(len(pair.source_parts), len(pair.destination_parts)) < tasks:
                small.append(pair)
            else:
                await listed(pair, tasks, window)
        todo = iter(small)
        await together([one_after_another(todo) for _ in range(min(tasks, len(small)))])

    async def _groups(self, spill: Spill) -> AsyncIterator[list[Suspect]]:
        """All suspects, so many at a time; with a limit, little more than it takes to reach it."""
        limit = self.settings.limit
        most = GROUP if limit is None else min(GROUP, 2 * limit + 100)
        group: list[Suspect] = []
        for bucket in spill.buckets():
            await asyncio.sleep(0)
            for suspect in spill.join(bucket, any_of=self.settings.duplicates == "last"):
                if suspect.kind != "extra" or not self._ignores_extra:
                    group.append(suspect)
                if len(group) == most:
                    yield group
                    group = []
        if group:
            yield group

    async def _settle(self, group: list[Suspect], rechecker: Rechecker) -> None:
        """Rechecks suspects as often as asked for, and reports what differs to the end."""
        times = max(1, self.settings.recheck)
        for time in range(1, times + 1):
            if self.settings.recheck:
                await asyncio.sleep(self.settings.recheck_pause)
            still = []
            async for suspect, difference in rechecker.confirm(group):
                still.append(suspect)
                if time < times:
                    continue
                self.report.write(difference.line())
                if self.on_difference:
                    self.on_difference(difference)
                self._by_number[suspect.record.pair].differences[difference.kind] += 1
                if self._at_limit():
                    return
            if not still:
                return
            group = still

    def _at_limit(self) -> bool:
        limit = self.settings.limit
        return limit is not None and self.outcome.differences.total() >= limit

    async def _count_pairs(self, sides: Sequence[Side], todo: Iterator[Pair]) -> None:
        for pair in todo:
            outcome = self._by_number[pair.number]
            counts = await asyncio.gather(*(count(side, pair) for side in sides))
            outcome.documents = [*counts]
            outcome.counts_differ = counts[0] != counts[1]
            if outcome.counts_differ:
                self.report.write(count_line(pair.name, pair.destination, *counts))


async def count(side: Side, pair: Pair) -> int:
    """The exact number of documents of a pair on a side: the store's own word, else by listing them."""
    total = 0
    for name in names_of(pair, side):
        try:
            metadata = await side.connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=name))
            known = not metadata.count_unknown and metadata.HasField("exists")
        except UnimplementedError:
            known = False
        if known:
            total += metadata.count
            continue
        for part in await parts_of(side, name):
            async for page in pages(side, part):
                total += len(page)
    return total


def refuse_unreadable(infos: Sequence[wire.GetInfoResponse]) -> None:
    """Raises UsageError where an end cannot be read."""
    for info in infos:
        if not info.capabilities.HasField("source"):
            raise UsageError(
                f"{info.db_type!r} cannot be read from",
                remedy="verification reads both ends; give a store that keeps data",
            )


def refuse_itself(scope: Scope, infos: Sequence[wire.GetInfoResponse]) -> None:
    """Raises UsageError where a namespace would be compared with itself: that it is equal says nothing of a copy."""
    for pair in scope.pairs:
        if infos[0].id == infos[1].id and pair.listed in pair.sources:
            raise UsageError(
                f"{pair.listed!r} would be compared with itself",
                remedy="give another destination, or another name with --namespace OLD:NEW",
            )


def make_sides(ends: Sequence[Connector], infos: Sequence[wire.GetInfoResponse]) -> tuple[list[Side], wire.Type | None]:
    """How both ends are read, and the type that they share; None: none, what comes is made BSON."""
    capabilities = [info.capabilities.source for info in infos]
    asked = choose_types(*(each.supported_data_types for each in capabilities))
    sides = [
        Side(index, ends[index], asked[index], capabilities[index].get_by_ids, lines=capabilities[index].lines)
        for index in SIDES
    ]
    return sides, asked[0] if asked[0] == asked[1] else None
