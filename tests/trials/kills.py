"""kill -9 at random moments of a copy, the same command again, until it ends with 0: then nothing is lost and nothing twice.

As a program: `python -m tests.trials.kills --trials 300 --seed 1`. Every line of its output names the seed that repeats it.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time

from tests.kit import oracle
from tests.kit.cli import Dsync
from tests.trials import peek
from tests.trials.ends import End, database_of, generate, make
from tests.trials.program import RUN_SECONDS, Outcome, Servers, Trials, earlier, servers, tail

KINDS = ("mongo", "bson", "jsonl", "s3")
PAIRS = [(source, target) for source in KINDS for target in KINDS]
MOST_KILLS = 5
# Documents a second, so that a copy takes a while.
RATES = ("3000", "6000")

_FILLED: set[tuple[str, str]] = set()


def source_of(shared: Servers, kind: str, seed: int) -> End:
    """A filled source, made once for a seed and kind."""
    name = f"source_{kind}_{seed}"
    end = make(kind, name, shared.folder, shared.mongo_uri, shared.s3_endpoint)
    if (str(shared.folder), name) not in _FILLED:
        end.fill(generate(seed))
        _FILLED.add((str(shared.folder), name))
    return end


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial; everything in it follows from the seed, but for the moments at which the kills meet the program."""
    chance = random.Random(seed)
    kinds = PAIRS[seed % len(PAIRS)]
    outcome = Outcome(seed, f"{kinds[0]} to {kinds[1]}")
    source = source_of(shared, kinds[0], seed % 3)
    target = make(kinds[1], f"target_{kinds[1]}_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    dsync = Dsync(shared.folder / f"home_{seed}")
    dsync.folder.mkdir()
    command = ["--mode", "InitialSync", "--writer-batch-size", str(chance.choice((100, 500, 2000)))]
    command += chance.choice((["--workers", "2"], ["--workers", "1"], *(["--write-rate-limit", r] for r in RATES)))
    command += between(source, target)
    try:
        run_killed(dsync, command, chance, outcome)
        check_equal(source, target, outcome)
    finally:
        target.remove()
    return outcome


def between(source: End, target: End, *options: str) -> list[str]:
    """The ends of a command line, with the names mapped where a database is one of them, and options of the source."""
    here, there = database_of(source), database_of(target)
    names: list[str] = []
    if here and there:
        names = ["--ns", f"{here}:{there}"]
    elif here:
        names = ["--ns", f"{here}.ns0:ns0,{here}.ns1:ns1"]
    return [*names, *source.words(), *options, *target.words(written=True)]


def check_equal(source: End, target: End, outcome: Outcome) -> None:
    """Nothing lost, extra, changed, twice or left over."""
    report = oracle.compare(source.read(), target.read())
    outcome.wrong += [] if report.equal else [str(report)]
    outcome.wrong += [f"left over: {name}" for name in target.leftovers()]


def run_killed(dsync: Dsync, command: list[str], chance: random.Random, outcome: Outcome) -> None:
    """Runs the command with kills, then to its end; an exit status that is not true is wrong."""
    ended: int | None = None
    for _ in range(chance.randint(1, MOST_KILLS)):
        process = dsync.start(*command)
        wait(dsync, process, chance)
        ended = process.poll()
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        if ended:
            outcome.wrong.append(f"a run ended with {ended}: {tail(errors.decode())}")
            return
        outcome.counts["kills" if ended is None else "ends before the kill"] += 1
        inside = peek.status(dsync) == "copying" and peek.documents_done(dsync) > 0
        outcome.counts["of them with a part copied"] += ended is None and inside
    if ended is None:
        finish(dsync, command, outcome)


def wait(dsync: Dsync, process: subprocess.Popen[bytes], chance: random.Random) -> None:
    """For a random time, or until the state says that so many documents are done."""
    if chance.random() < 0.4:
        time.sleep(chance.uniform(0.2, 2))
        return
    documents = chance.randrange(12_000)
    # what is left of an earlier, complete copy counts no more when this one has begun
    time.sleep(0.3)
    while process.poll() is None and not (peek.status(dsync) == "copying" and peek.documents_done(dsync) > documents):
        time.sleep(0.02)


def finish(dsync: Dsync, command: list[str], outcome: Outcome) -> None:
    """The same command, to its end."""
    try:
        last = dsync(*command, expect=None, timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        outcome.wrong.append(f"the last run did not end within {RUN_SECONDS} s")
        return
    outcome.counts["resumed inside the copy"] += bool(earlier(last.err))
    outcome.check_status(last, 0)


TRIALS = Trials("kills in the copy", __doc__, servers, trial, 300)

if __name__ == "__main__":
    TRIALS.main()
