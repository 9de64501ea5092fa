"""What a run did, as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from dsync.progress import NamespaceProgress, Tracker

# Namespaces that a summary lists by name.
MOST_LISTED = 50


def size(count: float) -> str:
    """Bytes in a unit that reads well, decimal: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def number(count: int, noun: str) -> str:
    """A count with its noun: 1 document, 2,000 documents."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def summary(tracker: Tracker) -> Iterator[str]:
    """Lines about each namespace, the whole, and what was left out."""
    named = [at for at in tracker.namespaces.values() if not at.moved or at.partitions_done < at.partitions]
    for at in named[:MOST_LISTED]:
        yield namespace_line(at)
    if len(named) > MOST_LISTED:
        yield f"  and {number(len(named) - MOST_LISTED, 'more namespace')}"
    yield total_line(tracker)
    done, total = tracker.partitions
    if done < total:
        yield f"incomplete: {done:,} of {number(total, 'partition')} copied"
    if tracker.streams:
        yield stream_line(tracker)
    for warning in tracker.warnings:
        yield f"note: {warning}"


def namespace_line(at: NamespaceProgress) -> str:
    """One namespace: where from, where to, how much, how far."""
    way = at.destination if at.source in ("", at.destination) else f"{at.source} -> {at.destination}"
    done = (
        "" if at.partitions_done == at.partitions else f", {at.partitions_done} of {number(at.partitions, 'partition')}"
    )
    aside = f", {at.set_aside:,} of them set aside" if at.set_aside else ""
    left_out = f", {at.filtered:,} filtered out" if at.filtered else ""
    failed = f", {at.failed:,} that the transform failed on set aside" if at.failed else ""
    return f"  {way}: {number(at.documents, 'document')}, {size(at.bytes)}{aside}{left_out}{failed}{done}"


def total_line(tracker: Tracker) -> str:
    """The whole run: how much, how long, how fast."""
    seconds = max(tracker.seconds, 1e-9)
    before = tracker.documents - tracker.run_documents
    earlier = f" ({number(before, 'document')} by earlier runs)" if before else ""
    rate = f"{tracker.run_documents / seconds:,.0f} documents/s, {size(tracker.run_bytes / seconds)}/s"
    filtered = sum(at.filtered for at in tracker.namespaces.values())
    left_out = f", {filtered:,} filtered out" if filtered else ""
    return (
        f"{number(tracker.documents, 'document')}, {size(tracker.bytes)}{earlier}{left_out} in {seconds:.1f} s ({rate})"
    )


def stream_line(tracker: Tracker) -> str:
    """The change streams: how much was applied, how far behind the least durable of them is, whether all is over there."""
    left_out = f", {tracker.filtered:,} filtered out" if tracker.filtered else ""
    return f"{number(tracker.updates, 'update')} applied{left_out}{lag(tracker)}"


def lag(tracker: Tracker) -> str:
    """How far the streams are behind, to be put behind something else; empty where it is not known."""
    seconds = tracker.lag_seconds
    if tracker.safe_to_cut_over:
        return ", up to date, safe to cut over"
    waiting = f", {tracker.lag_events:,} waiting" if tracker.lag_events else ""
    behind = "" if seconds is None else f", {duration(seconds)} behind" if seconds else ", up to date"
    unsettled = f", not safe to cut over: {tracker.unsettled[0]}" if tracker.unsettled else ""
    return f"{waiting}{behind}{unsettled}"


def duration(seconds: float) -> str:
    """A time in a unit that reads well: 0.4 s, 12 min, 3.1 h."""
    if seconds < 60:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def progress_line(tracker: Tracker) -> str:
    """One line about a run under way."""
    if tracker.stage == "following":
        return f"following: {stream_line(tracker)}"
    done, total = tracker.partitions
    planned = [at for at in tracker.namespaces.values() if at.partitions]
    estimated = sum(at.estimated for at in planned)
    known = all(at.estimated for at in planned)
    share = f" of about {estimated:,}" if estimated and known else ""
    rate = tracker.run_documents / max(tracker.seconds, 1e-9)
    return (
        f"{tracker.stage}: {tracker.documents:,}{share} documents, {size(tracker.bytes)},"
        f" {done} of {number(total, 'partition')}, {rate:,.0f} documents/s"
    )
