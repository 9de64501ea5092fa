"""`make bench`: times every workload in two sizes beside the loop, the limit and other programs; a table and JSON."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import facts, measure, report, servers
from bench.place import Place
from bench.workloads import WORKLOADS, Job, Workload


def main() -> None:
    """Ends with status 4 where results differ or, at full size, a floor is missed."""
    options, start = arguments(), time.monotonic()
    workloads, figures = chosen(options.only), facts.chosen(options.only)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, servers.started() as found:
        machine = measure.machine() | found.versions() | {"runs": options.runs, "quick": options.quick}
        print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
        place = Place(found, Path(folder), 0)

        def told(some: Iterable[facts.Figure]) -> list[facts.Fact]:
            return [fact for each in some for fact in printed(each(place, options.runs, options.quick))]

        # what takes tenths of a second comes first: gigabytes keep the servers busy for minutes after they were written
        gathered = told(each for each in figures if each is facts.start_up)
        rows = [timed(each, place, options.runs, options.quick) for each in workloads]
        gathered += told(each for each in figures if each is not facts.start_up)
    if rows:
        print("\n".join(["", *report.table(rows), "", report.LEGEND]))
    report.write_json(options.json, machine, rows, [fact.to_json() for fact in gathered])
    print(f"\nin {time.monotonic() - start:.0f} s; the same as JSON: {options.json}")
    sys.exit(judged(rows, gathered, quick=options.quick))


def printed(figures: Iterator[facts.Fact]) -> Iterator[facts.Fact]:
    """Each as it comes."""
    for fact in figures:
        print(fact, flush=True)
        yield fact


def judged(rows: Sequence[report.Row], figures: Sequence[facts.Fact], *, quick: bool) -> int:
    """The exit status. Sizes of seconds tell nothing about floors, so a quick run is about equal results alone."""
    if quick:
        missed = [row.name for row in rows if row.equal is False]
        print(f"results that differ: {'; '.join(missed) or 'none'}; floors are for full sizes")
    else:
        missed = [row.name for row in rows if not row.reached] + [fact.name for fact in figures if not fact.reached]
        print(f"missed: {'; '.join(missed) or 'none'}")
    return 4 if missed else 0


def arguments() -> argparse.Namespace:
    """What `make bench ARGS=…` may say."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one run: whether it works, not how fast it is"
    )
    parser.add_argument("--runs", type=int, help="runs of each command after its warm-up; medians count (default: 3)")
    parser.add_argument("--only", action="append", default=[], help="only rows whose name contains this")
    parser.add_argument("--json", type=Path, default=Path("bench-results.json"), help="where the figures go")
    options = parser.parse_args()
    options.runs = options.runs or (1 if options.quick else 3)
    return options


def chosen(only: Sequence[str]) -> list[Workload]:
    """The workloads that were asked for. Raises SystemExit where a name matches nothing."""
    for word in only:
        if not any(word.lower() in name.lower() for name in (*(w.name for w in WORKLOADS), *facts.GROUPS)):
            names = ", ".join((*(each.name for each in WORKLOADS), *facts.GROUPS))
            sys.exit(f"nothing is called {word!r}; there are {names}")
    return [each for each in WORKLOADS if not only or any(word.lower() in each.name.lower() for word in only)]


def timed(workload: Workload, place: Place, runs: int, quick: bool) -> report.Row:
    """The figures of one workload."""
    job = workload.make(replace(place, count=workload.small))
    count, slope, fixed = workload.small, None, None
    if not quick:
        at_small = measure.repeat(job.dsync, job.clear, runs).seconds
        count = workload.full
        job = workload.make(replace(place, count=count))
    left: dict[str, Any] = {}
    timings = measure.in_turn(_commands(job), job.clear, runs, _look(job, left))
    if not quick:
        seconds = timings["dsync"].seconds
        if seconds > at_small:
            slope = workload.work * (count - workload.small) / (seconds - at_small)
            fixed = at_small - workload.work * workload.small / slope
    figures = {name: _figure(timing) for name, timing in timings.items()}
    row = report.Row(
        name=workload.name,
        count=count,
        ours=figures.pop("dsync"),
        slope=slope,
        fixed_seconds=fixed,
        against_name=workload.against,
        against=figures.pop("against", None),
        limit_name=workload.limit,
        limit=figures.pop("limit", None),
        others=figures,
        floor=None if quick else workload.floor,
        rate_floor=None if quick else workload.rate,
        most_bytes=None if quick else workload.most_bytes,
        work=workload.work,
        equal=all(each == left["dsync"] for each in left.values()) if left else None,
    )
    print(list(report.table([row]))[1], flush=True)
    return row


def _commands(job: Job) -> dict[str, list[str]]:
    given = {"dsync": job.dsync, "against": job.against, "limit": job.limit, **job.others}
    return {name: command for name, command in given.items() if command}


def _look(job: Job, left: dict[str, Any]) -> Any:
    def look(name: str) -> None:
        if name in job.results:
            left[name] = job.results[name]()

    return look


def _figure(timing: measure.Timing) -> report.Figure:
    return report.Figure(timing.seconds, timing.cpu_seconds, timing.peak_bytes)


if __name__ == "__main__":
    main()
