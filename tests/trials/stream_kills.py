"""kill -9 at random moments of a copy and its change stream while the source is written to; then nothing is lost, extra or stale.

As a program: `python -m tests.trials.stream_kills --trials 150 --seed 1`.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Collection

from pymongo import MongoClient

from tests.kit import oracle
from tests.kit.cli import Dsync
from tests.trials import peek
from tests.trials.load import Load
from tests.trials.program import RUN_SECONDS, Outcome, Servers, Trials, mongo_only, tail

MOST_KILLS = 5
# Of the runs that are ended, the share that is asked to end; it has to do so by itself, with the right exit status.
ASKED = 0.2
END_SECONDS = 30


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial: a load, runs that are killed, the end of the load, and a last run until it has caught up."""
    chance = random.Random(seed)
    source, target = f"stream_source_{seed}", f"stream_target_{seed}"
    outcome = Outcome(seed, "mongo to mongo under writes")
    load = Load(shared.mongo_uri, source, seed, chance.choice((50, 200, 600)))
    dsync = Dsync(shared.folder / f"stream_home_{seed}")
    dsync.folder.mkdir()
    command = ["--mode", "Full", "--ns", f"{source}:{target}", "--cdc-resume-token-interval", "0.2"]
    command += chance.choice(([], ["--workers", "1"], ["--write-rate-limit", "5000"]))
    command += [shared.mongo_uri, *chance.choice(([], ["--per-namespace-streams"])), shared.mongo_uri]
    load.fill(chance.choice((200, 2000, 6000)))
    load.start()
    try:
        run_ended(dsync, command, chance, outcome)
        load.stop()
        outcome.counts["writes"] += load.acknowledged
        catch_up(dsync, command, outcome)
        judge(load, shared.mongo_uri, source, target, outcome)
    finally:
        with MongoClient[dict[str, object]](shared.mongo_uri) as client:
            client.drop_database(source)
            client.drop_database(target)
    return outcome


def run_ended(dsync: Dsync, command: list[str], chance: random.Random, outcome: Outcome) -> None:
    """Runs that follow for ever, each ended after a random time: most by kill -9, some by a signal that asks."""
    for _ in range(chance.randint(1, MOST_KILLS)):
        process = dsync.start(*command)
        time.sleep(chance.uniform(0.4, 4.0))
        asked = chance.choice((signal.SIGTERM, signal.SIGINT)) if chance.random() < ASKED else None
        ended = process.poll()
        process.send_signal(asked or signal.SIGKILL)
        try:
            _, errors = process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, errors = process.communicate()
            late = f"a run that was asked to end by signal {asked} did not within {END_SECONDS} s"
            outcome.wrong.append(f"{late}: {tail(errors.decode())}")
            continue
        status = process.returncode
        outcome.counts["asked to end" if asked else "kills"] += 1
        outcome.counts["of them in the stream"] += peek.status(dsync) == "following"
        if ended is not None:
            outcome.wrong.append(f"a run ended by itself with {ended}: {tail(errors.decode())}")
        elif asked and status != 128 + asked and status != -asked and not interpreter_ended(errors):
            # a signal before dsync listens to it ends the process as it ends any
            outcome.wrong.append(f"exit status {status} after signal {asked}: {tail(errors.decode())}")


def interpreter_ended(errors: bytes) -> bool:
    """Whether the signal met the interpreter while it was still reading its own modules."""
    return errors.rstrip().endswith(b"KeyboardInterrupt") and b"in main" not in errors


def catch_up(dsync: Dsync, command: list[str], outcome: Outcome) -> None:
    """The same command until all changes are applied."""
    last = dsync("--until-caught-up", *command, expect=None, timeout=RUN_SECONDS)
    outcome.check_status(last, 0)


def judge(load: Load, uri: str, source: str, target: str, outcome: Outcome) -> None:
    """Both sides against what was acknowledged."""
    outcome.wrong += judge_at(load, (uri, source), (uri, target))


def judge_at(load: Load, source: tuple[str, str], target: tuple[str, str], beside: Collection[str] = ()) -> list[str]:
    """What is wrong with the target, each side a URI and a database; collections `beside` are not the load's."""
    before, after = (
        [placed for placed in oracle.mongo_side(*side) if placed[0] not in beside] for side in (source, target)
    )
    if wrong := load.truth.judge(before):
        raise RuntimeError(f"the source itself is not what was acknowledged: {wrong}")
    return load.truth.judge(after)


TRIALS = Trials("kills in the stream", __doc__, mongo_only, trial, 150)

if __name__ == "__main__":
    TRIALS.main()
