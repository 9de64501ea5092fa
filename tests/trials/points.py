"""kill -9 at the N-th fsync, write, rename or send of a copy, the same command again: nothing lost, nothing twice, no rest.

As a program: `python -m tests.trials.points --trials 100 --seed 1`. Needs strace.
"""

from __future__ import annotations

import random
import signal

from tests.kit.cli import Dsync
from tests.trials import peek, strace
from tests.trials.ends import make
from tests.trials.kills import between, check_equal, finish, source_of
from tests.trials.program import RUN_SECONDS, Outcome, Servers, Trials, servers, tail

PAIRS = (
    *(("bson", "jsonl"), ("jsonl", "bson"), ("bson", "bson"), ("bson", "csv")),
    *(("mongo", "bson"), ("jsonl", "s3"), ("bson", "mongo")),
)
# How far counting makes sense: a run of these sizes makes about so many of each call in one thread.
FILE_CALLS = {
    "copy_file_range": 2,
    "fdatasync": 15,
    "fsync": 15,
    "ftruncate": 3,
    "link": 4,
    "mkdir": 6,
    "pwrite64": 40,
    "rename": 6,
    "unlink": 8,
    "unlinkat": 2,
    "write": 15,
}
NETWORK_CALLS = {"sendto": 20, "pwrite64": 40, "fdatasync": 15}
# Small pages, so that there are many batches.
PAGES = {"bson": ("--batch-size", "500"), "jsonl": ("--batch-size", "500"), "mongo": ("--max-page-size", "500")}
MOST_KILLS = 3


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial: up to three runs that are killed at points that the seed says, then one that is not."""
    chance = random.Random(seed)
    kinds = PAIRS[seed % len(PAIRS)]
    source = source_of(shared, kinds[0], seed % 3)
    target = make(kinds[1], f"points_{kinds[1]}_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    dsync = Dsync(shared.folder / f"points_home_{seed}")
    dsync.folder.mkdir()
    command = ["--mode", "InitialSync", "--workers", str(chance.choice((1, 2)))]
    command += ["--writer-batch-size", str(chance.choice((500, 1000, 5000)))]
    command += between(source, target, *PAGES[kinds[0]])
    outcome = Outcome(seed, f"{kinds[0]} to {kinds[1]}")
    calls = NETWORK_CALLS if kinds[1] in {"s3", "mongo"} else FILE_CALLS
    try:
        for _ in range(chance.randint(1, MOST_KILLS)):
            call = chance.choice(sorted(calls))
            # early ones are met by every thread and process, late ones by few
            number = int((calls[call] + 1) ** chance.random())
            # a run that ends before the point is followed by another one with an earlier one
            while not run_killed(dsync, command, call, number, outcome) and number > 1:
                number //= 2
        finish(dsync, command, outcome)
        check_equal(source, target, outcome)
    finally:
        target.remove()
    return outcome


def run_killed(dsync: Dsync, command: list[str], call: str, number: int, outcome: Outcome) -> bool:
    """Whether a run was killed at a point, or ended with 0 before it came there; the state is sound afterwards."""
    injection = strace.Injection(call, "signal=SIGKILL", str(number))
    done = strace.run(dsync, injection, *command, timeout=RUN_SECONDS)
    killed = done.returncode == -signal.SIGKILL
    outcome.about += f", {injection}"
    outcome.counts["kills" if killed else "ends before the point"] += 1
    if not killed and done.returncode != 0:
        outcome.wrong.append(f"{injection}: a run ended with {done.returncode}: {tail(done.stderr.decode())}")
    outcome.wrong += [f"{injection}: the state is not sound: {what}" for what in peek.unsound(dsync)]
    return killed


TRIALS = Trials("kills at points", __doc__, servers, trial, 100, strace.missing)

if __name__ == "__main__":
    TRIALS.main()
