"""The figures of a bench as a table for people and JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

MEGABYTE = 1 << 20
HEAD = (
    "workload",
    "documents",
    "s",
    "CPU s",
    "a second",
    "slope",
    "fixed s",
    "MB",
    "times",
    "floor",
    "of",
    "its s",
    "its MB",
    "limit",
    "",
)
LEGEND = """\
Medians of whole commands.
  documents  of the larger size           a second  of the whole command
  slope      documents a second between the two sizes, without start and end, which are `fixed s`
  CPU s      of the command and its processes, not of servers
  MB         the most that all its processes held together
  times      the rate as a multiple of what `of` names; `its s` and `its MB` are its seconds and memory
  limit      the share of what the bare driver, the bare parser or `cat` reaches with the same data"""


@dataclass(frozen=True)
class Figure:
    """Medians of a command."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Row:
    """One workload at its larger size; `slope` is the rate between the two sizes, `fixed_seconds` what is left."""

    name: str
    count: int
    ours: Figure
    slope: float | None = None
    fixed_seconds: float | None = None
    against_name: str = ""
    against: Figure | None = None
    limit_name: str = ""
    limit: Figure | None = None
    others: Mapping[str, Figure] = field(default_factory=dict)
    floor: float | None = None
    rate_floor: float | None = None
    most_bytes: int | None = None
    work: int = 1
    equal: bool | None = None

    @property
    def rate(self) -> float:
        """Documents a second of the whole command."""
        return self.work * self.count / self.ours.seconds

    @property
    def times(self) -> float | None:
        """How many times the rate of what it is measured against."""
        return self.work * self.against.seconds / self.ours.seconds if self.against else None

    @property
    def of_limit(self) -> float | None:
        """The share of its limit that it reaches."""
        return self.limit.seconds / self.ours.seconds if self.limit else None

    @property
    def reached(self) -> bool:
        """Whether all that is asked of it holds."""
        return (
            (self.floor is None or (self.times or 0) >= self.floor)
            and (self.rate_floor is None or self.rate >= self.rate_floor)
            and (self.most_bytes is None or self.ours.peak_bytes <= self.most_bytes)
            and self.equal is not False
        )

    def to_json(self) -> dict[str, object]:
        """For the report."""
        return asdict(self) | {
            "rate": self.rate,
            "times": self.times,
            "of_limit": self.of_limit,
            "reached": self.reached,
        }


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines of text: each workload, and below it other programs that did the same."""
    cells = [HEAD, *(line for row in rows for line in (_cells(row), *_others(row)))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    for row in cells:
        first, *others = (
            cell.ljust(width) if at in (0, 10, 13, 14) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    verdict = ("" if row.equal is None else "equal, " if row.equal else "DIFFERENT, ") + (
        "ok" if row.reached else "MISSED"
    )
    return (
        row.name,
        f"{row.work * row.count:,}",
        f"{row.ours.seconds:.2f}",
        f"{row.ours.cpu_seconds:.2f}",
        f"{row.rate:,.0f}",
        f"{row.slope:,.0f}" if row.slope else "",
        f"{row.fixed_seconds:.2f}" if row.fixed_seconds is not None else "",
        f"{row.ours.peak_bytes / MEGABYTE:.0f}",
        f"{row.times:.2f}" if row.times else "",
        f"{row.floor}" if row.floor else f"{row.rate_floor:,.0f}/s" if row.rate_floor else "",
        row.against_name,
        f"{row.against.seconds:.2f}" if row.against else "",
        f"{row.against.peak_bytes / MEGABYTE:.0f}" if row.against else "",
        f"{row.of_limit:.0%} of {row.limit_name}" if row.of_limit else "",
        verdict,
    )


def _others(row: Row) -> Iterator[tuple[str, ...]]:
    for name, figure in row.others.items():
        times = f"{row.against.seconds / figure.seconds:.2f}" if row.against else ""
        yield (
            f"  {name}",
            f"{row.count:,}",
            f"{figure.seconds:.2f}",
            f"{figure.cpu_seconds:.2f}",
            f"{row.count / figure.seconds:,.0f}",
            "",
            "",
            f"{figure.peak_bytes / MEGABYTE:.0f}",
            times,
            *[""] * 6,
        )


def write_json(
    path: Path, machine: Mapping[str, object], rows: Sequence[Row], facts: Sequence[Mapping[str, object]]
) -> None:
    """Everything, with the machine's description."""
    content = {"machine": machine, "workloads": [row.to_json() for row in rows], "facts": list(facts)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
