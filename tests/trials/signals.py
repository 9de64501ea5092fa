"""Signals that ask a run to end, once or twice, and readers that go away: true exit statuses, and the same command goes on.

As a program: `python -m tests.trials.signals --trials 100 --seed 1`.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass

from pymongo import MongoClient

from tests.kit.cli import Dsync
from tests.trials.ends import make
from tests.trials.kills import between, check_equal, finish, source_of
from tests.trials.load import Load
from tests.trials.program import RUN_SECONDS, Outcome, Servers, Trials, servers, tail
from tests.trials.stream_kills import catch_up, judge

PAIRS = (("bson", "jsonl"), ("mongo", "bson"), ("jsonl", "s3"), ("bson", "mongo"), ("mongo", "mongo"))
# What is promised to who asks once and twice, in seconds; `DSYNC_TRIAL_SLOWNESS` multiplies it where the machine is busy.
SLOWNESS = float(os.environ.get("DSYNC_TRIAL_SLOWNESS", "1"))
ONCE_SECONDS, TWICE_SECONDS = 5.0 * SLOWNESS, 1.0 * SLOWNESS
# A process that has done its work is gone after so long.
AT_ITS_END_SECONDS = 0.3 * SLOWNESS
# A signal before dsync listens to it ends the process as it ends any.
LISTENING = b"dsync: stopping"


@dataclass(frozen=True)
class Ended:
    """How a run ended that was asked to."""

    status: int
    seconds: float
    err: bytes


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial: a copy or a stream that is asked to end, or whose reader goes away."""
    chance = random.Random(seed)
    outcome = Outcome(seed, "")
    dsync = Dsync(shared.folder / f"signals_home_{seed}")
    dsync.folder.mkdir()
    kind = (copy_asked, copy_asked, stream_asked, reader_gone)[seed % 4]
    kind(seed, shared, chance, dsync, outcome)
    return outcome


def ask(process: subprocess.Popen[bytes], chance: random.Random, outcome: Outcome) -> Ended | None:
    """Sends a signal, perhaps another after a while, and measures from the last one on; None where the run had ended before."""
    number = chance.choice((signal.SIGINT, signal.SIGTERM))
    twice = chance.random() < 0.5
    outcome.about += f", {number.name}{' twice' if twice else ''}"
    if process.poll() is not None:
        process.communicate()
        return None
    process.send_signal(number)
    asked, patience = time.monotonic(), ONCE_SECONDS
    if twice:
        try:
            process.wait(chance.uniform(0.05, 1.5))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            asked, patience = time.monotonic(), TWICE_SECONDS
    _, err = process.communicate(timeout=RUN_SECONDS)
    ended = Ended(process.returncode, time.monotonic() - asked, err)
    judge_end(ended, number, patience, outcome)
    return ended


def judge_end(ended: Ended, number: signal.Signals, patience: float, outcome: Outcome) -> None:
    """A run that listened ends with 128 and the signal's number, in time, and without a traceback."""
    listened = LISTENING in ended.err
    outcome.counts["asked while it listened" if listened else "asked before it listened"] += 1
    allowed = {128 + number} if listened else {128 + number, -number}
    # what was under way may have been all there was, or it had ended its work and listened no more
    allowed |= {0} if listened or ended.seconds < AT_ITS_END_SECONDS else set()
    if ended.status not in allowed:
        outcome.wrong.append(f"exit status {ended.status} after {number.name}: {tail(ended.err.decode())}")
    if ended.seconds > patience:
        outcome.wrong.append(f"it ended {ended.seconds:.1f} s after {number.name} instead of {patience:g} s")
    if b"Traceback" in ended.err and listened:
        outcome.wrong.append(f"a traceback shows: {tail(ended.err.decode())}")


def copy_asked(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """A copy is asked to end, up to three times; then it is let go on."""
    kinds = PAIRS[seed % len(PAIRS)]
    outcome.about = f"{kinds[0]} to {kinds[1]}"
    source = source_of(shared, kinds[0], seed % 3)
    target = make(kinds[1], f"signals_{kinds[1]}_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    command = ["--mode", "InitialSync", "--writer-batch-size", "500"]
    command += chance.choice((["--write-rate-limit", "6000"], ["--workers", "1"], [])) + between(source, target)
    try:
        for _ in range(chance.randint(1, 3)):
            process = dsync.start(*command)
            time.sleep(chance.uniform(0.3, 2.5))
            ended = ask(process, chance, outcome)
            if ended is None or ended.status == 0:
                break
        else:
            finish(dsync, command, outcome)
        check_equal(source, target, outcome)
    finally:
        target.remove()


def stream_asked(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """A run that follows changes under writes is asked to end; then it catches up."""
    source, target = f"signals_source_{seed}", f"signals_target_{seed}"
    outcome.about = "a stream under writes"
    load = Load(shared.mongo_uri, source, seed, 200)
    load.fill(500)
    load.start()
    command = ["--mode", "Full", "--ns", f"{source}:{target}", shared.mongo_uri, shared.mongo_uri]
    try:
        for _ in range(chance.randint(1, 3)):
            process = dsync.start(*command)
            time.sleep(chance.uniform(0.5, 4))
            ended = ask(process, chance, outcome)
            if ended is None or ended.status == 0:
                outcome.wrong.append("a run that follows for ever ended as if it were done")
        load.stop()
        outcome.counts["writes"] += load.acknowledged
        catch_up(dsync, command, outcome)
        judge(load, shared.mongo_uri, source, target, outcome)
    finally:
        with MongoClient[dict[str, object]](shared.mongo_uri) as client:
            client.drop_database(source)
            client.drop_database(target)


def reader_gone(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """Whoever reads the messages goes away: the copy goes on to its end. Of data: the run says that not all was taken."""
    source = source_of(shared, "bson", seed % 3)
    target = make("jsonl", f"signals_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    command = ["--mode", "InitialSync", *between(source, target)]
    outcome.about = "the reader of messages goes away"
    process = dsync.start("--verbosity", chance.choice(("WARN", "INFO", "DEBUG")), *command)
    assert process.stdout and process.stderr
    time.sleep(chance.choice((0.0, 0.2, 0.6)))
    process.stderr.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(RUN_SECONDS)
    outcome.counts["readers gone"] += 1
    if process.returncode != 0:
        outcome.wrong.append(f"the copy ended with {process.returncode} because nobody read its messages")
        process.kill()
        process.wait()
    process.stdout.close()
    check_equal(source, target, outcome)
    target.remove()
    data_reader_gone(dsync, source.words(), outcome)


def data_reader_gone(dsync: Dsync, words: list[str], outcome: Outcome) -> None:
    """Data that nobody takes to its end is no success."""
    process = dsync.start(*words, "null:///", "--log-json")
    assert process.stdout and process.stderr
    process.stdout.read(100)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    if process.wait(RUN_SECONDS) == 0 or b"Traceback" in err:
        outcome.wrong.append(f"data that nobody took ended with {process.returncode}: {tail(err.decode())}")


TRIALS = Trials("signals", __doc__, servers, trial, 100)

if __name__ == "__main__":
    TRIALS.main()
