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
    named = list(tracker.namespaces.values())
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
    way = at.destination if at.source == at.destination else f"{at.source} -> {at.destination}"
    done = (
        "" if at.partitions_done == at.partitions else f", {at.partitions_done} of {number(at.partitions, 'partition')}"
    )
    aside = f", {at.set_aside:,} of them set aside" if at.set_aside else ""
    return f"  {way}: {number(at.documents, 'document')}, {size(at.bytes)}{aside}{done}"


def total_line(tracker: Tracker) -> str:
    """The whole run: how much, how long, how fast."""
    seconds = max(tracker.seconds, 1e-9)
    before = tracker.documents - tracker.run_documents
    earlier = f" ({number(before, 'document')} by earlier runs)" if before else ""
    rate = f"{tracker.run_documents / seconds:,.0f} documents/s, {size(tracker.run_bytes / seconds)}/s"
    return f"{number(tracker.documents, 'document')}, {size(tracker.bytes)}{earlier} in {seconds:.1f} s ({rate})"


def stream_line(tracker: Tracker) -> str:
    """The change streams: how much was applied, and how far behind the least durable of them is."""
    lag = tracker.lag_seconds
    behind = "" if lag is None else f", {lag:.1f} s behind" if lag >= 1 else ", up to date"
    return f"{number(tracker.updates, 'update')} applied{behind}"


def progress_line(tracker: Tracker) -> str:
    """One line about a run under way."""
    if tracker.stage == "following":
        return f"following: {stream_line(tracker)}"
    done, total = tracker.partitions
    estimated = sum(at.estimated for at in tracker.namespaces.values())
    known = all(at.estimated for at in tracker.namespaces.values())
    share = f" of about {estimated:,}" if estimated and known else ""
    rate = tracker.run_documents / max(tracker.seconds, 1e-9)
    return (
        f"{tracker.stage}: {tracker.documents:,}{share} documents, {size(tracker.bytes)},"
        f" {done} of {number(total, 'partition')}, {rate:,.0f} documents/s"
    )
