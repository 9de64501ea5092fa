"""`make bench`: times every workload in two sizes, dsync beside the loop, and writes a table and JSON."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import facts, measure, report, servers
from bench.workloads import WORKLOADS, Job, Place, Workload


def main() -> None:
    """Ends with status 4 where a floor is missed or results differ."""
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, servers.started() as found:
        machine = measure.machine() | {"s3": found.s3_kind, "runs": options.runs, "quick": options.quick}
        print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
        place = Place(found, Path(folder), 0)
        rows = [timed(each, place, options.runs, options.quick) for each in chosen(options.only)]
        gathered: list[facts.Fact] = []
        if not options.only:
            for fact in facts.gathered(replace(place, count=100_000), options.runs, quick=options.quick):
                print(fact, flush=True)
                gathered.append(fact)
    print("\n".join(["", *report.table(rows)]))
    report.write_json(options.json, machine, rows, [fact.to_json() for fact in gathered])
    print(f"\nthe same as JSON: {options.json}")
    missed = [each for each in rows if not each.reached], [each for each in gathered if not each.reached]
    sys.exit(4 if any(missed) else 0)


def arguments() -> argparse.Namespace:
    """What `make bench ARGS=…` may say."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes only: whether it works, not how fast it is")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command after its warm-up; medians count")
    parser.add_argument("--only", action="append", default=[], help="only workloads whose name contains this")
    parser.add_argument("--json", type=Path, default=Path("bench-results.json"), help="where the figures go")
    return parser.parse_args()


def chosen(only: Sequence[str]) -> list[Workload]:
    """The workloads that were asked for. Raises SystemExit where a name matches none."""
    found = [each for each in WORKLOADS if not only or any(word.lower() in each.name.lower() for word in only)]
    return found or sys.exit(
        f"no workload is called {' or '.join(only)}; there are {', '.join(w.name for w in WORKLOADS)}"
    )


def timed(workload: Workload, place: Place, runs: int, quick: bool) -> report.Row:
    """The figures of one workload."""
    small = replace(place, count=workload.small)
    job = workload.make(small)
    at_small = measure.repeat(job.dsync, job.clear, runs)
    at_full, count = at_small, workload.small
    slope = fixed = None
    if not quick:
        count = workload.full
        job = workload.make(replace(place, count=count))
        at_full = measure.repeat(job.dsync, job.clear, runs)
        slope = (count - workload.small) / (at_full.seconds - at_small.seconds)
        fixed = at_small.seconds - workload.small / slope
    row = report.Row(
        workload.name,
        count,
        at_full.seconds,
        at_full.peak_bytes,
        slope,
        fixed,
        floor=workload.floor,
        rate_floor=workload.rate,
        most_bytes=workload.most_bytes,
    )
    return _beside_loop(row, job, runs)


def _beside_loop(row: report.Row, job: Job, runs: int) -> report.Row:
    if job.loop:
        ours = job.dsync_result()
        timing = measure.repeat(job.loop, job.clear, runs)
        theirs = job.loop_result()
        equal = None if ours is None else ours == theirs
        row = replace(row, loop_seconds=timing.seconds, loop_peak_bytes=timing.peak_bytes, equal=equal)
    print(list(report.table([row]))[1], flush=True)
    return row


if __name__ == "__main__":
    main()
