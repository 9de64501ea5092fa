"""Runs that must stop and say so: an expired position, a full or broken disk, a second run beside the first.

As a program: `python -m tests.trials.decisions --trials 60 --seed 1`. Full disks want the right to mount, broken ones strace.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pymongo import MongoClient

from tests.kit import mongod, oracle
from tests.kit.cli import Dsync
from tests.trials import strace
from tests.trials.ends import make
from tests.trials.kills import between, check_equal, finish, source_of
from tests.trials.load import Load
from tests.trials.program import RUN_SECONDS, Outcome, Servers, Trials
from tests.trials.stream_kills import catch_up

# More than a log of one megabyte keeps; the server drops old parts of it in the background.
OVERFLOW_BYTES = 12 << 20
# Temporary errors do not mend themselves here.
IMPATIENT = ["--retry-for", "2"]
TARGETS = ("bson", "jsonl", "csv")


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial of one of the kinds."""
    chance = random.Random(seed)
    kind = (expired, full_disk, broken_disk, two_runs, full_state)[seed % 5]
    outcome = Outcome(seed, kind.__name__.replace("_", " "))
    dsync = Dsync(shared.folder / f"decisions_home_{seed}")
    dsync.folder.mkdir()
    kind(seed, shared, chance, dsync, outcome)
    return outcome


def expired(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """The source's log no longer reaches back to the position: 7, the destination untouched; --restart mends it."""
    del shared
    with (
        mongod.Mongod("--syncdelay=1", oplog_megabytes=1) as server,
        MongoClient[dict[str, object]](server.uri) as client,
    ):
        load = Load(server.uri, "source", seed, 200)
        load.fill(300)
        command = [*IMPATIENT, "--mode", "Full", "--ns", "source:target", server.uri]
        command += [*chance.choice(([], ["--per-namespace-streams"])), server.uri]
        catch_up(dsync, command, outcome)
        load.start()
        overflow(client, chance.choice((1, 2)))
        load.stop()
        before = list(client["target"]["orders"].find())
        late = dsync("--until-caught-up", *command, expect=None, timeout=RUN_SECONDS)
        outcome.counts["expired"] += 1
        if outcome.check_status(late, 7) and "--restart" not in late.err:
            outcome.wrong.append(f"the message names no remedy: {late.err[-400:]}")
        if before != list(client["target"]["orders"].find()):
            outcome.wrong.append("the destination changed")
        again = dsync("--until-caught-up", "--restart", *command, expect=None, timeout=RUN_SECONDS)
        outcome.check_status(again, 0)
        outcome.wrong += judge_known(load, server.uri)


def judge_known(load: Load, uri: str) -> list[str]:
    """What differs, but for documents that were deleted in the gap: a copy adds and replaces."""
    known = {(namespace, oracle.id_of(document)) for namespace, document in load.truth.side()}
    found = [each for each in oracle.mongo_side(uri, "target") if (each[0], oracle.id_of(each[1])) in known]
    return load.truth.judge(found)


def overflow(client: MongoClient[dict[str, object]], times: int) -> None:
    """Writes so much that the log's beginning is dropped, and waits until it is."""
    log = client["local"]["oplog.rs"]
    first = log.find_one(sort=[("$natural", 1)])
    block = "x" * (1 << 18)
    until = time.monotonic() + 120
    while True:
        for _ in range(times * OVERFLOW_BYTES >> 18):
            client["elsewhere"]["noise"].insert_one({"block": block})
        time.sleep(1.5)
        now = log.find_one(sort=[("$natural", 1)])
        if first is not None and now is not None and now["ts"] != first["ts"]:
            return
        if time.monotonic() > until:
            raise RuntimeError("the log's beginning is still there")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of so many kilobytes. Raises PermissionError where none may be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise PermissionError("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def enlarge(folder: Path) -> None:
    """Room for everything."""
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)


def full_disk(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """The destination's file system is full: the message says so, no half file stands, and with room the same command ends."""
    kind = chance.choice(TARGETS)
    source = source_of(shared, "jsonl", seed % 3)
    try:
        with small_disk(shared.folder / f"disk_{seed}", chance.randrange(40, 1800)) as disk:
            target = make(kind, "out", disk, shared.mongo_uri, shared.s3_endpoint)
            command = [*IMPATIENT, "--mode", "InitialSync", *between(source, target)]
            first = dsync(*command, expect=None, timeout=RUN_SECONDS)
            outcome.counts[f"full disk ended with {first.status}"] += 1
            if outcome.check_status(first, 1, 3, 5) and "space" not in first.err:
                outcome.wrong.append(f"the message does not say what is full: {first.err[-400:]}")
            enlarge(disk)
            finish(dsync, command, outcome)
            check_equal(source, target, outcome)
    except PermissionError:
        outcome.counts["skipped: no right to mount"] += 1


def full_state(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """The state's file system is full: the run stops and says so; with room the same command ends."""
    source = source_of(shared, "jsonl", seed % 3)
    target = make("bson", f"decisions_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    try:
        with small_disk(shared.folder / f"disk_{seed}", chance.choice((8, 16, 32, 48, 64))) as disk:
            command = ["--metadata", str(disk / "state" / "s.db"), "--mode", "InitialSync", *between(source, target)]
            first = dsync(*command, expect=None, timeout=RUN_SECONDS)
            outcome.counts[f"full state ended with {first.status}"] += 1
            if outcome.check_status(first, 0, 1) and first.status and str(disk) not in first.err:
                outcome.wrong.append(f"the message does not name the state: {first.err[-400:]}")
            enlarge(disk)
            finish(dsync, command, outcome)
            check_equal(source, target, outcome)
    except PermissionError:
        outcome.counts["skipped: no right to mount"] += 1
    finally:
        target.remove()


def broken_disk(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """A call that makes data durable fails: the run does not end with 0, and the same command completes it."""
    if strace.missing():
        outcome.counts[f"skipped: {strace.missing()}"] += 1
        return
    source = source_of(shared, "jsonl", seed % 3)
    target = make(chance.choice(TARGETS), f"decisions_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    command = [*IMPATIENT, "--mode", "InitialSync", *between(source, target)]
    call, error = chance.choice((("fsync", "EIO"), ("fdatasync", "EIO"), ("rename", "EIO"), ("pwrite64", "ENOSPC")))
    injection = strace.Injection(call, f"error={error}", f"{chance.choice((1, 1, 2, 3, 6))}+")
    outcome.about += f": {injection}"
    try:
        done = strace.run(dsync, injection, *command, timeout=RUN_SECONDS)
        outcome.counts[f"broken disk ended with {done.returncode}"] += 1
        err = done.stderr.decode()
        if done.returncode not in {0, 1, 3, 5} or "Traceback" in err or "a defect" in err:
            outcome.wrong.append(f"exit status {done.returncode}: {err[-600:]}")
        if done.returncode == 0:
            check_equal(source, target, outcome)
        finish(dsync, command, outcome)
        check_equal(source, target, outcome)
    finally:
        target.remove()


def two_runs(seed: int, shared: Servers, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """A second run of the same flow ends with 8 and names the first one, which goes on."""
    source = source_of(shared, "jsonl", seed % 3)
    target = make("bson", f"decisions_{seed}", shared.folder, shared.mongo_uri, shared.s3_endpoint)
    command = ["--mode", "InitialSync", *between(source, target, "--batch-size", "100")]
    first = dsync.start("--write-rate-limit", "2000", *command)
    try:
        wait_for_lock(dsync, first)
        paused = chance.random() < 0.5
        if paused:
            first.send_signal(signal.SIGSTOP)
        second = dsync("--write-rate-limit", "2000", *command, expect=None, timeout=RUN_SECONDS)
        first.send_signal(signal.SIGCONT)
        outcome.counts["second runs"] += 1
        if outcome.check_status(second, 8) and f"process {first.pid}" not in second.err:
            outcome.wrong.append(f"the message does not name process {first.pid}: {second.err[-400:]}")
        _, errors = first.communicate(timeout=RUN_SECONDS)
        if first.returncode:
            outcome.wrong.append(f"the first run ended with {first.returncode}: {errors.decode()[-400:]}")
        check_equal(source, target, outcome)
    finally:
        with contextlib.suppress(ProcessLookupError):
            first.kill()
        first.wait()
        target.remove()


def wait_for_lock(dsync: Dsync, process: subprocess.Popen[bytes]) -> None:
    """Returns once the run holds its flow."""
    until = time.monotonic() + 60
    while not any(path.read_text() for path in (dsync.folder / "home").rglob("state.db.locks/*")):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the first run ended with {process.returncode} before it held its flow")
        time.sleep(0.05)


@contextmanager
def shared_servers() -> Iterator[Servers]:
    """What every kind but the first, which has a server of its own, needs: a folder."""
    with TemporaryDirectory() as folder:
        yield Servers("", "", Path(folder))


TRIALS = Trials("runs that must stop", __doc__, shared_servers, trial, 60)

if __name__ == "__main__":
    TRIALS.main()
