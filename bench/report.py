"""The figures of a bench as a table for people and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Row:
    """One workload: medians of the full size; `slope` is the rate between the two sizes, `fixed_seconds` what is left."""

    name: str
    count: int
    seconds: float
    peak_bytes: int
    slope: float | None = None
    fixed_seconds: float | None = None
    loop_seconds: float | None = None
    loop_peak_bytes: int | None = None
    floor: float | None = None
    rate_floor: float | None = None
    most_bytes: int | None = None
    equal: bool | None = None

    @property
    def rate(self) -> float:
        """Documents a second of the whole command."""
        return self.count / self.seconds

    @property
    def times(self) -> float | None:
        """How many times the loop's rate."""
        return self.loop_seconds / self.seconds if self.loop_seconds else None

    @property
    def reached(self) -> bool:
        """Whether all that is asked of it holds."""
        return (
            (self.floor is None or (self.times or 0) >= self.floor)
            and (self.rate_floor is None or self.rate >= self.rate_floor)
            and (self.most_bytes is None or self.peak_bytes <= self.most_bytes)
            and self.equal is not False
        )


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of text."""
    head = ("workload", "documents", "s", "a second", "slope", "fixed s", "x loop", "floor", "MB", "loop MB", "")
    cells = [head, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        first, *others = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    verdict = ("" if row.equal is None else "equal, " if row.equal else "DIFFERENT, ") + (
        "ok" if row.reached else "MISSED"
    )
    floor = f"{row.floor}" if row.floor else f"{row.rate_floor:,.0f}/s" if row.rate_floor else ""
    return (
        row.name,
        f"{row.count:,}",
        f"{row.seconds:.2f}",
        f"{row.rate:,.0f}",
        f"{row.slope:,.0f}" if row.slope else "",
        f"{row.fixed_seconds:.2f}" if row.fixed_seconds is not None else "",
        f"{row.times:.2f}" if row.times else "",
        floor,
        f"{row.peak_bytes / MEGABYTE:.0f}",
        f"{row.loop_peak_bytes / MEGABYTE:.0f}" if row.loop_peak_bytes else "",
        verdict,
    )


def write_json(
    path: Path, machine: Mapping[str, object], rows: Sequence[Row], facts: Sequence[Mapping[str, object]]
) -> None:
    """Everything, with the machine's description."""
    made = [asdict(row) | {"rate": row.rate, "times": row.times, "reached": row.reached} for row in rows]
    path.write_text(
        json.dumps({"machine": machine, "workloads": made, "facts": list(facts)}, indent=1, ensure_ascii=False) + "\n"
    )
