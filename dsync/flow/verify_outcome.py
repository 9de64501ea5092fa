"""What a verification was asked to do, and what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dsync.endpoint import Endpoint
from dsync.errors import DsyncError
from dsync.flow.digest import Form
from dsync.flow.verify_scope import Pair
from dsync.flow.verify_spill import KINDS, Kind
from dsync.flow.verify_window import DESTINATION, SOURCE
from dsync.namespaces import Selection
from dsync.transform import Transform

Result = Literal["equal", "different", "incomplete"]


@dataclass(frozen=True, slots=True)
class VerifySettings:
    """What a verification was asked to do, apart from its two ends; times are seconds."""

    selection: Selection = field(default_factory=Selection)
    merge_namespaces: bool = False
    form: Form = field(default_factory=Form)
    # Partitions read at a time, on each side.
    tasks: int = 4
    retry_for: float = 600.0
    memory_limit: int | None = None
    # What differs is read again so many times, after a pause each, before it is reported.
    recheck: int = 2
    recheck_pause: float = 1.0
    # Stop after so many differences.
    limit: int | None = None
    # Compare the numbers of documents alone.
    quick_count: bool = False
    # This run's part (from 1) of so many, by a hash of the id.
    part: int = 1
    parts: int = 1
    # Verify so many partitions of the source, picked at random; None: all.
    sample: int | None = None
    ignore_extra: bool = False
    duplicates: Literal["fail", "last"] = "fail"
    # What the copy went through.
    transform: str | Endpoint | Transform | None = None
    # Where the state of dsync lives, which is not compared: State.own_namespaces.
    state: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class NamespaceOutcome:
    """What was found in a namespace; a count of None is unknown."""

    pair: Pair
    documents: list[int | None] = field(default_factory=lambda: [None, None])
    differences: Counter[Kind] = field(default_factory=Counter)
    # Only where the counts are all that is compared: otherwise what differs says more.
    counts_differ: bool = False


@dataclass(slots=True)
class Outcome:
    """What a verification found. `result` is "incomplete" until everything was compared."""

    result: Result = "incomplete"
    namespaces: list[NamespaceOutcome] = field(default_factory=list)
    # What was left to other runs or to chance; empty: nothing.
    covered: str = ""
    notes: list[str] = field(default_factory=list)
    # What source and destination are, without credentials.
    ends: tuple[str, str] = ("", "")
    error: DsyncError | None = None
    seconds: float = 0.0

    @property
    def differs(self) -> bool:
        """Whether any difference was found."""
        return any(each.differences or each.counts_differ for each in self.namespaces)

    @property
    def differences(self) -> Counter[Kind]:
        """How many of each kind."""
        total: Counter[Kind] = Counter()
        for each in self.namespaces:
            total.update(each.differences)
        return total

    def documents(self, side: int) -> int | None:
        """The documents of a side; None where any namespace's count is unknown."""
        counts = [each.documents[side] for each in self.namespaces]
        known = [count for count in counts if count is not None]
        return sum(known) if self.namespaces and len(known) == len(counts) else None

    def summary(self) -> dict[str, Any]:
        """The report's last line."""
        found = self.differences
        summary: dict[str, Any] = {"result": self.result}
        if self.result != "equal":  # a repair must not go the other way round
            summary |= {"source": self.ends[0], "destination": self.ends[1]}
        summary |= {kind: found[kind] for kind in KINDS}
        for side, name in ((SOURCE, "source_documents"), (DESTINATION, "destination_documents")):
            count = self.documents(side)
            summary[name] = "unknown" if count is None else count
        if self.covered:
            summary["covered"] = self.covered
        if self.error:
            summary["error"] = self.error.message
        return summary | {"notes": self.notes}
