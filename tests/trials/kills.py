"""kill -9 at random moments of a copy, the same command again, until it ends with 0: then nothing is lost and nothing twice.

As a program: `python -m tests.trials.kills --trials 300 --seed 1`. Every line of its output names the seed that repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.kit import mongod, oracle, s3
from tests.kit.cli import Dsync
from tests.trials.ends import End, generate, make

KINDS = ("mongo", "bson", "jsonl", "s3")
PAIRS = [(source, target) for source in KINDS for target in KINDS]
MOST_KILLS = 5
LAST_RUN_SECONDS = 120


@dataclass
class Outcome:
    """What came of a trial."""

    seed: int
    source: str
    destination: str
    kills: int = 0
    # Of the last run: documents that earlier, killed runs had already brought over.
    resumed: bool = False
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Servers:
    """What the trials of a session share."""

    mongo_uri: str
    s3_endpoint: str
    folder: Path

    def source(self, kind: str, seed: int) -> End:
        """A filled source, made once for a seed and kind."""
        name = f"source_{kind}_{seed}"
        end = make(kind, name, self.folder, self.mongo_uri, self.s3_endpoint)
        if name not in _FILLED:
            end.fill(generate(seed))
            _FILLED.add(name)
        return end


_FILLED: set[str] = set()


@contextmanager
def servers() -> Iterator[Servers]:
    """A mongod and an S3 endpoint of their own."""
    with mongod.replica_set() as uri, s3.endpoint() as url, s3.credentials(), tempfile.TemporaryDirectory() as folder:
        yield Servers(uri, url, Path(folder))


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial; everything in it follows from the seed, but for the moments at which the kills meet the program."""
    chance = random.Random(seed)
    kinds = PAIRS[seed % len(PAIRS)]
    outcome = Outcome(seed, *kinds)
    source = shared.source(kinds[0], seed % 3)
    target = make(kinds[1], f"target_{kinds[1]}_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    home = shared.folder / f"home_{seed}"
    home.mkdir()
    command = ["--mode", "InitialSync", "--writer-batch-size", str(chance.choice((100, 500, 2000)))]
    command += chance.choice(([], ["--workers", "1"], ["--write-rate-limit", "8000"]))
    if kinds[0] == kinds[1] == "mongo":
        command += ["--ns", f"{source.words()[0].rpartition('/')[2].partition('?')[0]}:{_database(target)}"]
    elif kinds[0] == "mongo":
        command += ["--ns", f"{_database(source)}.ns0:ns0,{_database(source)}.ns1:ns1"]
    command += [*source.words(), *target.words()]
    try:
        run_killed(Dsync(home), command, chance, outcome)
        report = oracle.compare(source.read(), target.read())
        outcome.wrong += [] if report.equal else [str(report)]
        outcome.wrong += [f"left over: {name}" for name in target.leftovers()]
    finally:
        target.remove()
    return outcome


def _database(end: End) -> str:
    return end.words()[0].rpartition("/")[2].partition("?")[0]


def run_killed(dsync: Dsync, command: list[str], chance: random.Random, outcome: Outcome) -> None:
    """Runs the command with kills, then to its end; an exit status that is not true is wrong."""
    for _ in range(chance.randint(1, MOST_KILLS)):
        process = dsync.start(*command)
        time.sleep(chance.uniform(0.3, 2.5))
        ended = process.poll()
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        if ended == 0:
            return
        if ended is not None:
            outcome.wrong.append(f"a run ended with {ended}: {errors.decode()[-500:]}")
            return
        outcome.kills += 1
    try:
        last = dsync(*command, expect=None, timeout=LAST_RUN_SECONDS)
    except subprocess.TimeoutExpired:
        outcome.wrong.append("the last run did not end")
        return
    outcome.resumed = "by earlier runs" in last.err
    if last.status:
        outcome.wrong.append(f"the last run ended with {last.status}: {last.err[-500:]}")


def main() -> None:
    """Runs trials, prints a line for each that went wrong and a summary; exits with 1 if any did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    outcomes = []
    with servers() as shared:
        for seed in range(asked.seed, asked.seed + asked.trials):
            outcomes.append(trial(seed, shared))
            if outcomes[-1].wrong:
                print(json.dumps(asdict(outcomes[-1])), flush=True)  # noqa: T201
    bad = sum(bool(outcome.wrong) for outcome in outcomes)
    kills, resumed = sum(o.kills for o in outcomes), sum(o.resumed for o in outcomes)
    print(f"{len(outcomes)} trials, {kills} kills, {resumed} resumed inside the copy, {bad} wrong")  # noqa: T201
    sys.exit(bool(bad))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
