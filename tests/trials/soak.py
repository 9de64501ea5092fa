"""All trials in their full numbers, a part of each kind in turn, with the results in a file: `make soak`.

As a program: `python -m tests.trials.soak --minutes 120 --seed 1`. What the results hold for the same state of the code is not
run again, so the same command goes on. Exits with 0 when every trial was run and none went wrong, with 1 when any
went wrong, with 2 when none did but the time was over before all were run, or a kind could not be run here.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.trials import cuts, decisions, faults, kills, points, rereads, signals, storm, stream_kills
from tests.trials.program import Summary, Trials, hear_interrupts
from tests.trials.results import FOLDER, Results

KINDS: dict[str, Trials[Any]] = {
    "kills": kills.TRIALS,
    "stream_kills": stream_kills.TRIALS,
    "points": points.TRIALS,
    "cuts": cuts.TRIALS,
    "faults": faults.TRIALS,
    "decisions": decisions.TRIALS,
    "signals": signals.TRIALS,
    "rereads": rereads.TRIALS,
    "storm": storm.TRIALS,
}
# Each kind comes on in so many parts, so that a run that ends early has seen something of all.
PARTS = 10


def main() -> None:
    """Runs what is left to run, writes each part's result at once, prints the table in the end."""
    asked = _asked()
    hear_interrupts()
    chosen = {name: KINDS[name] for name in asked.only or KINDS}
    results = Results(asked.results)
    until = None if asked.minutes is None else time.monotonic() + 60 * asked.minutes
    wanted = {name: range(asked.seed, asked.seed + number(trials, asked.share)) for name, trials in chosen.items()}
    for name, seeds in turns(wanted):
        run(KINDS[name], results.left(KINDS[name].name, seeds), until, results)
    names = {KINDS[name].name: seeds for name, seeds in wanted.items()}
    print("\n".join(results.table(names)), flush=True)  # noqa: T201
    sys.exit(status(results, names))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="begin no trial after this time")
    parser.add_argument("--seed", type=int, default=1, help="the first one of each kind")
    parser.add_argument("--share", type=float, default=1.0, help="of the full numbers; at least one trial of each kind")
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), metavar="KIND", help=", ".join(KINDS))
    today = dt.datetime.now(dt.UTC).date().isoformat()
    parser.add_argument("--results", type=Path, default=FOLDER / f"{today}.jsonl")
    return parser.parse_args()


def number(trials: Trials[Any], share: float) -> int:
    """How many of a kind."""
    return max(1, round(trials.count * share))


def turns(wanted: dict[str, range]) -> Iterator[tuple[str, range]]:
    """The seeds of every kind in parts, the kinds in turn; what is few is not parted."""
    for part in range(PARTS):
        for name, seeds in wanted.items():
            size = -(-len(seeds) // PARTS) if len(seeds) >= PARTS else len(seeds)
            if some := seeds[part * size : (part + 1) * size]:
                yield name, some


def run(trials: Trials[Any], seeds: Sequence[int], until: float | None, results: Results) -> None:
    """Runs the seeds and adds what came of them; nothing where the time is over or the kind cannot be run."""
    for some in consecutive(seeds):
        if trials.missing() or (until is not None and time.monotonic() > until):
            return
        summary = trials.run_all(some, until)
        print(summary, flush=True)  # noqa: T201
        if summary.trials:
            results.add(summary)


def consecutive(seeds: Iterable[int]) -> Iterator[list[int]]:
    """Runs of seeds that follow each other."""
    some: list[int] = []
    for seed in seeds:
        if some and seed != some[-1] + 1:
            yield some
            some = []
        some.append(seed)
    if some:
        yield some


def status(results: Results, wanted: dict[str, range]) -> int:
    """The truth about the results as an exit status."""
    if any(results.wrong(name, seeds) for name, seeds in wanted.items()):
        return 1
    return 2 if any(results.left(name, seeds) for name, seeds in wanted.items()) else 0


__all__ = ["KINDS", "Summary", "consecutive", "main", "number", "status", "turns"]

if __name__ == "__main__":
    main()
