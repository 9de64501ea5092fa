"""Connections that break while a copy or a change stream runs: it goes on, or ends with a true exit status and goes on later.

As a program: `python -m tests.trials.cuts --trials 100 --seed 1`.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from urllib.parse import urlsplit

from pymongo import MongoClient

from tests.kit.cli import Dsync, Result
from tests.trials.ends import S3, End, Mongo, make
from tests.trials.kills import between, check_equal, finish, source_of
from tests.trials.load import Load
from tests.trials.program import RUN_SECONDS, Outcome, Servers, Trials, servers, tail, with_options
from tests.trials.proxy import FAULTS, Fault, Proxy, before
from tests.trials.stream_kills import catch_up, judge

# (source, destination, which of them is behind the proxy)
COPIES = (
    *(("mongo", "bson", 0), ("bson", "mongo", 1), ("mongo", "mongo", 0), ("mongo", "mongo", 1)),
    *(("s3", "bson", 0), ("jsonl", "s3", 1)),
)
STREAMS = (("stream", "mongo", 0), ("stream", "mongo", 1))
KINDS = (*COPIES, *STREAMS)
# Short, so that what hangs is given up and tried again within a trial.
MONGO_PATIENCE = ["--server-timeout", "5", "--ping-timeout", "5", "--operation-timeout", "5"]
# Of the run after it; how long to try again is no part of a flow.
UNDISTURBED = ["--retry-for", "120"]
# Small pages and batches, so that each is well within that time.
SOURCE_OPTIONS = {
    "mongo": [*MONGO_PATIENCE, "--max-page-size", "500"],
    "bson": ["--batch-size", "500"],
    "jsonl": ["--batch-size", "500"],
    "s3": [],
}
# What a copy of these sizes moves is between one and three megabytes.
MOST_BYTES = 2_500_000


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial of a copy or of a stream."""
    chance = random.Random(seed)
    source, target, broken = KINDS[seed % len(KINDS)]
    fault = FAULTS[(seed // len(KINDS)) % len(FAULTS)]
    outcome = Outcome(seed, f"{source} to {target}, {fault} at the {('source', 'destination')[broken]}")
    if source == "stream":
        cut_stream(seed, shared, chance, broken, fault, outcome)
    else:
        cut_copy(seed, shared, chance, (source, target), broken, fault, outcome)
    return outcome


def behind(stack: ExitStack, end: End) -> tuple[End, Proxy]:
    """The same end through a proxy."""
    if isinstance(end, S3):
        url = urlsplit(end.endpoint)
        proxy = stack.enter_context(before(url.hostname or "", url.port or 80))
        return replace(end, endpoint=f"http://127.0.0.1:{proxy.port}"), proxy
    assert isinstance(end, Mongo)
    uri, proxy = mongo_behind(stack, end.uri)
    return replace(end, uri=uri), proxy


def mongo_behind(stack: ExitStack, uri: str) -> tuple[str, Proxy]:
    """A direct connection through a proxy: of a set the driver would take the members' own addresses."""
    host, _, port = uri.partition("://")[2].partition("/")[0].partition(":")
    proxy = stack.enter_context(before(host, int(port)))
    return f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true", proxy


def disturb(process: subprocess.Popen[bytes], proxy: Proxy, chance: random.Random, fault: Fault, after: int) -> None:
    """Lets the fault come, once or twice, and lasts for a random time while the process lives."""
    for _ in range(chance.randint(1, 2)):
        proxy.break_with(fault, after)
        until = time.monotonic() + 20
        while process.poll() is None and not proxy.struck and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(chance.choice((0.0, 0.5, 2.0, 6.0)))
        proxy.mend()
        after = chance.randrange(MOST_BYTES // 2)


def cut_copy(
    seed: int,
    shared: Servers,
    chance: random.Random,
    kinds: tuple[str, str],
    broken: int,
    fault: Fault,
    outcome: Outcome,
) -> None:
    """A copy that is disturbed, then the same command undisturbed."""
    plain = [
        source_of(shared, kinds[0], seed % 3),
        make(kinds[1], f"cut_{kinds[1]}_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint),
    ]
    dsync = Dsync(shared.folder / f"cut_home_{seed}")
    dsync.folder.mkdir()
    if isinstance(plain[1], S3):
        plain[1].words()  # makes the bucket
    with ExitStack() as stack:
        ends = list(plain)
        ends[broken], proxy = behind(stack, plain[broken])
        command = ["--mode", "InitialSync", "--writer-batch-size", "500"]
        command += between(ends[0], ends[1], *SOURCE_OPTIONS[kinds[0]])
        command += MONGO_PATIENCE if kinds[1] == "mongo" else []
        try:
            process = dsync.start("--retry-for", str(chance.choice((0, 3, 20))), *command)
            disturb(process, proxy, chance, fault, chance.randrange(MOST_BYTES))
            status = ended(process, command, outcome)
            if status == 3 and (there := sum(1 for _ in plain[1].read())):
                outcome.wrong.append(f"exit status 3 says that nothing was written, and {there} documents are there")
            if status != 0:
                finish(dsync, [*UNDISTURBED, *command], outcome)
            check_equal(plain[0], plain[1], outcome)
        finally:
            plain[1].remove()


def ended(process: subprocess.Popen[bytes], command: list[str], outcome: Outcome) -> int:
    """The status of a run that was disturbed: 0, or 3 and 5 as the point in time has it."""
    try:
        out, err = process.communicate(timeout=RUN_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        _, err = process.communicate()
        outcome.wrong.append(f"a disturbed run did not end within {RUN_SECONDS} s: {tail(err.decode())}")
        return -1
    result = Result(tuple(command), process.returncode, out.decode(), err.decode())
    outcome.check_status(result, 0, 3, 5)
    outcome.counts[f"ended with {result.status}"] += 1
    if result.status in {3, 5} and not result.err.strip().splitlines()[-1].startswith(("dsync: ", "note: ")):
        outcome.wrong.append(f"no message at the end: {tail(result.err)}")
    return result.status


def cut_stream(seed: int, shared: Servers, chance: random.Random, broken: int, fault: Fault, outcome: Outcome) -> None:
    """A stream under writes that is disturbed, then the same command until it has caught up."""
    source, target = f"cut_source_{seed}", f"cut_target_{seed}"
    dsync = Dsync(shared.folder / f"cut_home_{seed}")
    dsync.folder.mkdir()
    load = Load(shared.mongo_uri, source, seed, 200)
    load.fill(500)
    with ExitStack() as stack, MongoClient[dict[str, object]](shared.mongo_uri) as client:
        uris = [with_options(shared.mongo_uri)] * 2
        uris[broken], proxy = mongo_behind(stack, shared.mongo_uri)
        command = ["--mode", "Full", "--ns", f"{source}:{target}"]
        command += [uris[0], *MONGO_PATIENCE, "--stream-wait", "0.5", uris[1], *MONGO_PATIENCE]
        load.start()
        try:
            process = dsync.start("--retry-for", str(chance.choice((0, 3, 30))), *command)
            disturb(process, proxy, chance, fault, chance.randrange(MOST_BYTES // 4))
            time.sleep(chance.uniform(0, 3))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                outcome.counts["went on"] += 1
            else:
                ended(process, command, outcome)
            load.stop()
            outcome.counts["writes"] += load.acknowledged
            catch_up(dsync, [*UNDISTURBED, *command], outcome)
            judge(load, shared.mongo_uri, source, target, outcome)
        finally:
            client.drop_database(source)
            client.drop_database(target)


TRIALS = Trials("cut connections", __doc__, servers, trial, 100)

if __name__ == "__main__":
    TRIALS.main()
