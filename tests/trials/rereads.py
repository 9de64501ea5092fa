"""A killed copy of one partition of 500,000 documents reads less than 5 % of it again, counted by the servers themselves.

As a program: `python -m tests.trials.rereads --trials 4 --seed 1`. Two ways: from MongoDB, whose own counter says how many
documents it handed out in all runs together; and to MongoDB from one BSON file, where what the destination holds when all
processes are gone, less what the next run takes for done, is what is written again.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bson
from pymongo import MongoClient

from tests.kit import mongod, oracle
from tests.kit.cli import Dsync, Result
from tests.trials import peek
from tests.trials.program import Outcome, Trials, earlier, with_options

DOCUMENTS = 500_000
SHARE = 0.05
# Each trial kills once, since each kill may cost this share.
SECONDS = 900


@dataclass(frozen=True)
class Large:
    """One collection and one file of the same documents."""

    uri: str
    folder: Path
    documents: int

    @property
    def file(self) -> Path:
        """All documents, one after the other."""
        return self.folder / "many.bson"


def document(number: int) -> bytes:
    """A small document."""
    return bson.encode({"_id": number, "name": f"name {number}", "amount": number * 7, "open": number % 2 == 0})


@contextmanager
def large(documents: int = DOCUMENTS) -> Iterator[Large]:
    """A server and a file with all documents in them."""
    with mongod.replica_set() as uri, TemporaryDirectory() as folder, MongoClient[Any](uri) as client:
        shared = Large(uri, Path(folder), documents)
        with shared.file.open("wb") as file:
            for start in range(0, documents, 10_000):
                some = [document(number) for number in range(start, min(start + 10_000, documents))]
                file.write(b"".join(some))
                client["large"]["many"].insert_many(map(bson.raw_bson.RawBSONDocument, some), ordered=False)
        yield shared


def trial(seed: int, shared: Large) -> Outcome:
    """One copy, killed once somewhere in its middle, and ended."""
    outcome = Outcome(seed, ("from MongoDB", "to MongoDB")[seed % 2])
    dsync = Dsync(shared.folder / f"home_{seed}")
    dsync.folder.mkdir()
    chance = random.Random(seed)
    (from_mongo if seed % 2 == 0 else to_mongo)(seed, shared, chance, dsync, outcome)
    return outcome


def kill_at(dsync: Dsync, command: list[str], documents: int) -> None:
    """Kills the run when its state says that so many documents are done."""
    process = dsync.start(*command)
    until = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < until:
        if peek.documents_done(dsync) >= documents:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # workers end by themselves when their coordinator is gone
    time.sleep(2)


def from_mongo(seed: int, shared: Large, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """What the server has handed out in both runs, beyond one of each document."""
    command = ["--mode", "InitialSync", with_options(shared.uri, "large"), "--doc-partition", "10000000"]
    command += [f"{dsync.folder}/out/", "--format", "bson"]
    with MongoClient[Any](shared.uri) as client:
        before = returned(client)
        kill_at(dsync, command, chance.randrange(shared.documents // 5, shared.documents * 4 // 5))
        last = dsync(*command, expect=None, timeout=SECONDS)
        again = returned(client) - before - shared.documents
    judge(last, again, shared, outcome)
    with shared.file.open("rb") as file:
        left = ((name, data) for name, data in (("many", each) for each in oracle.documents(file.read())))
        right = list(oracle.bson_side(dsync.folder / "out", "many"))
    report = oracle.compare(left, right)
    outcome.wrong += [] if report.equal else [str(report)]


def to_mongo(seed: int, shared: Large, chance: random.Random, dsync: Dsync, outcome: Outcome) -> None:
    """What the destination held at the kill, and the next run did not take for done."""
    target = f"rereads_{seed}"
    command = ["--mode", "InitialSync", str(shared.file), "--partition-size", "4GiB", with_options(shared.uri, target)]
    with MongoClient[Any](shared.uri) as client:
        kill_at(dsync, command, chance.randrange(shared.documents // 5, shared.documents * 4 // 5))
        (name,) = client[target].list_collection_names()
        there = client[target][name].count_documents({})
        last = dsync(*command, expect=None, timeout=SECONDS)
        judge(last, there - earlier(last.err), shared, outcome)
        left = (("many", each) for each in oracle.documents(shared.file.read_bytes()))
        right = (("many", data) for _, data in oracle.mongo_side(shared.uri, target))
        report = oracle.compare(left, right)
        outcome.wrong += [] if report.equal else [str(report)]
        client.drop_database(target)


def returned(client: MongoClient[Any]) -> int:
    """Documents that the server has handed out since its start."""
    return int(client.admin.command("serverStatus")["metrics"]["document"]["returned"])


def judge(last: Result, again: int, shared: Large, outcome: Outcome) -> None:
    """The last run ends with 0 and has not done too much again."""
    outcome.check_status(last, 0)
    outcome.about += f": {again:,} of {shared.documents:,} again, {earlier(last.err):,} taken for done"
    print(outcome.about, flush=True)  # noqa: T201
    outcome.counts["read again"] += max(0, again)
    if not earlier(last.err):
        outcome.wrong.append("the last run began anew")
    if again >= SHARE * shared.documents:
        outcome.wrong.append(f"{again:,} documents again are {again / shared.documents:.1%} of all")


TRIALS = Trials("reads after a kill", __doc__, large, trial, 4)

if __name__ == "__main__":
    TRIALS.main()
