"""What all trials have in common: an outcome each, a range of seeds, a line for what went wrong, a summary."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

from tests.kit import mongod, s3
from tests.kit.cli import Result

Shared = TypeVar("Shared")
# Seconds that a run may take which nothing disturbs; a machine under load needs more.
RUN_SECONDS = float(os.environ.get("DSYNC_TRIAL_SECONDS", "180"))


def _nothing() -> str:
    return ""


@dataclass
class Outcome:
    """What came of a trial; `counts` are summed up over all trials."""

    seed: int
    about: str
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check_status(self, result: Result, *allowed: int) -> bool:
        """Whether a run ended with one of these; everything else is wrong, and so is a traceback."""
        if "Traceback" in result.err or "a defect" in result.err:
            self.wrong.append(f"a defect shows: {tail(result.err)}")
        if result.status in allowed:
            return True
        self.wrong.append(f"exit status {result.status} instead of {allowed}: {tail(result.err)}")
        return False

    def line(self) -> str:
        """The outcome as a line of JSON."""
        return json.dumps({"seed": self.seed, "about": self.about, "counts": self.counts, "wrong": self.wrong})


@dataclass
class Summary:
    """What came of a range of seeds."""

    name: str
    first_seed: int
    trials: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """What the results keep."""
        return {
            "kind": self.name,
            "first_seed": self.first_seed,
            "trials": self.trials,
            "counts": dict(sorted(self.counts.items())),
            "wrong": [json.loads(outcome.line()) for outcome in self.wrong],
            "seconds": round(self.seconds, 1),
        }

    def __str__(self) -> str:
        counted = "".join(f", {count:,} {name}" for name, count in sorted(self.counts.items()))
        seeds = f"seeds {self.first_seed} to {self.first_seed + self.trials - 1}"
        return f"{self.name}: {self.trials} trials ({seeds}){counted}, {len(self.wrong)} wrong, {self.seconds:.0f} s"


@dataclass(frozen=True)
class Trials(Generic[Shared]):
    """A kind of trial: `opened` holds the servers that its trials share, `run` is one trial, all of it following from its seed."""

    name: str
    about: str
    opened: Callable[[], AbstractContextManager[Shared]]
    run: Callable[[int, Shared], Outcome]
    # As many as `make soak` runs.
    count: int
    # Why they cannot be run here; empty where they can.
    missing: Callable[[], str] = _nothing

    def run_all(self, seeds: Sequence[int], until: float | None = None) -> Summary:
        """Runs the seeds, or as many as end before the monotonic time `until`; prints a line for each that went wrong."""
        summary, began = Summary(self.name, seeds[0]), time.monotonic()
        with self.opened() as shared:
            for seed in seeds:
                if until is not None and time.monotonic() > until:
                    break
                outcome = self._attempt(seed, shared)
                summary.trials += 1
                summary.counts += outcome.counts
                if outcome.wrong:
                    summary.wrong.append(outcome)
                    print(outcome.line(), flush=True)  # noqa: T201
        summary.seconds = time.monotonic() - began
        return summary

    def _attempt(self, seed: int, shared: Shared) -> Outcome:
        """One trial; one that breaks is wrong too, and the next goes on."""
        try:
            return self.run(seed, shared)
        except Exception as error:  # noqa: BLE001
            return Outcome(seed, self.name, wrong=[f"the trial broke: {type(error).__name__}: {error}"])

    def main(self) -> None:
        """The module as a program: exits with 1 if any trial went wrong."""
        parser = argparse.ArgumentParser(description=self.about)
        parser.add_argument("--trials", type=int, default=self.count)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--minutes", type=float, help="begin no trial after this time")
        asked = parser.parse_args()
        hear_interrupts()
        if self.missing():
            sys.exit(f"skipped: {self.missing()}")
        until = None if asked.minutes is None else time.monotonic() + 60 * asked.minutes
        summary = self.run_all(range(asked.seed, asked.seed + asked.trials), until)
        print(summary, flush=True)  # noqa: T201
        sys.exit(bool(summary.wrong))


def hear_interrupts() -> None:
    """A shell that starts this in the background lets it and all that it starts ignore SIGINT, which trials send."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Servers:
    """A mongod, an S3 endpoint and a folder that the trials of a session share."""

    mongo_uri: str
    s3_endpoint: str
    folder: Path


@contextmanager
def servers() -> Iterator[Servers]:
    """Servers of their own."""
    with mongod.replica_set() as uri, s3.endpoint() as url, s3.credentials(), TemporaryDirectory() as folder:
        yield Servers(uri, url, Path(folder))


@contextmanager
def mongo_only() -> Iterator[Servers]:
    """A mongod of their own."""
    with mongod.replica_set() as uri, TemporaryDirectory() as folder:
        yield Servers(uri, "", Path(folder))


def tail(text: str, characters: int = 600) -> str:
    """The end of an output."""
    return text[-characters:]


def earlier(err: str) -> int:
    """How many documents a run's summary says were brought over by earlier runs."""
    found = re.search(r"\(([\d,]+) documents? by earlier runs\)", err)
    return int(found[1].replace(",", "")) if found else 0


def with_options(uri: str, database: str = "", **options: Any) -> str:
    """A URI of a replica set with a database and further options."""
    bare, _, query = uri.partition("?")
    more = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{bare.rstrip('/')}/{database}?{'&'.join(filter(None, (query, more)))}"
