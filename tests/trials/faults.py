"""A server that fails on purpose: temporary errors are outlived, permanent ones said, and the same command completes.

As a program: `python -m tests.trials.faults --trials 200 --seed 1`.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pymongo import MongoClient

from tests.kit.cli import Dsync, Result
from tests.trials.ends import Mongo, generate
from tests.trials.kills import between, check_equal, finish, source_of
from tests.trials.load import Load
from tests.trials.program import RUN_SECONDS, Outcome, Servers, Trials, mongo_only, with_options
from tests.trials.stream_kills import catch_up, judge

# ShutdownInProgress, PrimarySteppedDown, NotWritablePrimary, InterruptedAtShutdown, HostUnreachable, HostNotFound,
# NetworkTimeout, MaxTimeMSExpired, WriteConcernFailed, WriteConflict; 0 is a closed connection.
TEMPORARY = (91, 189, 10107, 11600, 6, 7, 89, 50, 64, 112, 0)
READS, WRITES = ["find", "getMore", "aggregate"], ["insert", "update", "delete"]


@dataclass(frozen=True)
class Permanent:
    """An error that no other try mends: on which commands, and what the run says before and after its first write."""

    code: int
    before: int
    after: int
    said: str


# Unauthorized, AuthenticationFailed; BadValue, KeyTooLong, DocumentValidationFailure, CannotCreateIndex as the data's fault.
PERMANENT = (
    Permanent(13, 3, 5, "Unauthorized"),
    Permanent(18, 3, 5, "AuthenticationFailed"),
    Permanent(2, 1, 1, "BadValue"),
    Permanent(17280, 1, 1, "17280"),
    Permanent(121, 1, 1, "DocumentValidationFailure"),
)


def trial(seed: int, shared: Servers) -> Outcome:
    """One trial: temporary errors in a copy or in a stream, permanent ones, a validator, or errors of a write concern."""
    chance = random.Random(seed)
    kind = (temporary_copy, temporary_stream, permanent_copy, temporary_copy, permanent_stream, validator)[seed % 6]
    outcome = Outcome(seed, kind.__name__.replace("_", " "))
    kind(seed, shared, chance, outcome)
    return outcome


@contextmanager
def failing(client: MongoClient[Any], application: str, mode: Any, commands: list[str], **data: Any) -> Iterator[None]:
    """Commands of one application fail while the context lasts; others notice nothing."""
    fields = {"failCommands": commands, "appName": application, **data}
    client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": fields})
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def fault_of(chance: random.Random) -> dict[str, Any]:
    """A temporary error as the fail point wants it."""
    code = chance.choice(TEMPORARY)
    if not code:
        return {"closeConnection": True}
    if code == 64:
        return {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {}}}
    return {"errorCode": code}


def mongo_copy(seed: int, shared: Servers, chance: random.Random) -> tuple[list[str], Mongo, Any, str]:
    """A copy of which one end or both are MongoDB under an application name of this trial: command, destination, source, name."""
    application = f"faults-{seed}"
    uri = with_options(shared.mongo_uri, appName=application)
    kind = chance.choice(("bson", "mongo"))
    source = source_of(shared, kind, seed % 3)
    if isinstance(source, Mongo):
        source = replace(source, uri=uri)
    target = Mongo(uri, f"faults_target_{seed}")
    pages = ("--max-page-size", "500") if kind == "mongo" else ("--batch-size", "500")
    command = ["--mode", "InitialSync", "--writer-batch-size", str(chance.choice((500, 2000)))]
    return [*command, *between(source, target, *pages)], target, source, application


def home(shared: Servers, seed: int) -> Dsync:
    """A dsync with a home of the trial's own."""
    dsync = Dsync(shared.folder / f"faults_home_{seed}")
    dsync.folder.mkdir()
    return dsync


def temporary_copy(seed: int, shared: Servers, chance: random.Random, outcome: Outcome) -> None:
    """Errors that pass, for less time than is tried again, or for longer."""
    command, target, source, application = mongo_copy(seed, shared, chance)
    dsync = home(shared, seed)
    data = fault_of(chance)
    lasting = chance.random() < 0.3
    mode: Any = {"activationProbability": 1.0} if lasting else chance.choice(({"times": 1}, {"times": 3}))
    mode = {"skip": chance.randrange(12)} if lasting else mode
    commands = WRITES if "writeConcernError" in data else [*READS, *WRITES]
    outcome.about += f": {data}, {mode}"
    with MongoClient[Any](shared.mongo_uri) as client:
        try:
            with failing(client, application, mode, commands, **data):
                patience = "2" if lasting else "60"
                first = dsync("--retry-for", patience, *command, expect=None, timeout=RUN_SECONDS)
            outcome.check_status(first, *((0, 3, 5) if lasting else (0,)))
            check_truth(first, target, outcome)
            if first.status:
                finish(dsync, command, outcome)
            check_equal(source, target, outcome)
        finally:
            target.remove()


def check_truth(result: Result, target: Mongo, outcome: Outcome) -> None:
    """What an exit status says about the destination."""
    outcome.counts[f"ended with {result.status}"] += 1
    there = sum(1 for _ in target.read()) if result.status == 3 else 0
    if there:
        outcome.wrong.append(f"exit status 3 says that nothing was written, and {there} documents are there")


def permanent_copy(seed: int, shared: Servers, chance: random.Random, outcome: Outcome) -> None:
    """An error that does not pass, from the k-th command on."""
    command, target, source, application = mongo_copy(seed, shared, chance)
    dsync = home(shared, seed)
    # a copy of 13,200 documents in batches of 2,000 makes seven commands at the least
    error, skipped = chance.choice(PERMANENT), chance.choice((0, 0, 1, 2, 4, 5))
    outcome.about += f": {error.code} after {skipped}"
    with MongoClient[Any](shared.mongo_uri) as client:
        try:
            mode = {"skip": skipped} if skipped else "alwaysOn"
            with failing(client, application, mode, WRITES, errorCode=error.code):
                first = dsync("--retry-for", "5", *command, expect=None, timeout=RUN_SECONDS)
            allowed = (error.before, error.after) if skipped else (error.before,)
            if outcome.check_status(first, *allowed) and error.said not in first.err:
                outcome.wrong.append(f"the message does not say {error.said}: {first.err[-400:]}")
            check_truth(first, target, outcome)
            finish(dsync, command, outcome)
            check_equal(source, target, outcome)
        finally:
            target.remove()


def validator(seed: int, shared: Servers, chance: random.Random, outcome: Outcome) -> None:
    """A collection at the destination refuses some documents by its own rules, until the rules are changed."""
    source = source_of(shared, "bson", seed % 3)
    target = Mongo(shared.mongo_uri, f"faults_target_{seed}")
    dsync = home(shared, seed)
    refused = chance.randrange(1, len(generate(seed % 3)["ns0"]))
    command = ["--mode", "InitialSync", "--duplicates", "last", *between(source, target)]
    with MongoClient[Any](shared.mongo_uri) as client:
        try:
            database = client[target.name]
            rule = {"nested.list.0": {"$ne": refused}}
            database.create_collection("ns0", validator=rule)
            first = dsync(*command, expect=None, timeout=RUN_SECONDS)
            if outcome.check_status(first, 1) and "ns0" not in first.err:
                outcome.wrong.append(f"the message does not name the namespace: {first.err[-400:]}")
            outcome.counts["ended with 1"] += 1
            database.command({"collMod": "ns0", "validator": {}})
            finish(dsync, command, outcome)
            check_equal(source, target, outcome)
        finally:
            target.remove()


def stream_command(seed: int, shared: Servers, application: str) -> list[str]:
    """A run that follows changes, under an application name at both ends."""
    uri = with_options(shared.mongo_uri, appName=application)
    ends = [uri, "--stream-wait", "0.5", uri]
    return ["--mode", "Full", "--ns", f"faults_source_{seed}:faults_target_{seed}", *ends]


@contextmanager
def under_load(seed: int, shared: Servers, outcome: Outcome, dsync: Dsync, command: list[str]) -> Iterator[Load]:
    """A load before and while the context lasts; then the same command catches up and the oracle compares."""
    source, target = f"faults_source_{seed}", f"faults_target_{seed}"
    load = Load(shared.mongo_uri, source, seed, 200)
    load.fill(300)
    load.start()
    with MongoClient[Any](shared.mongo_uri) as client:
        try:
            yield load
            load.stop()
            outcome.counts["writes"] += load.acknowledged
            catch_up(dsync, command, outcome)
            judge(load, shared.mongo_uri, source, target, outcome)
        finally:
            client.drop_database(source)
            client.drop_database(target)


def temporary_stream(seed: int, shared: Servers, chance: random.Random, outcome: Outcome) -> None:
    """Errors that come by chance, over and over, while changes are followed: the run goes on."""
    application, dsync, data = f"faults-{seed}", home(shared, seed), fault_of(chance)
    command = ["--retry-for", "60", *stream_command(seed, shared, application)]
    mode = {"activationProbability": chance.choice((0.05, 0.2, 0.5))}
    commands = WRITES if "writeConcernError" in data else [*READS, *WRITES]
    outcome.about += f": {data}, {mode}"
    with under_load(seed, shared, outcome, dsync, command), MongoClient[Any](shared.mongo_uri) as client:
        process = dsync.start(*command)
        with failing(client, application, mode, commands, **data):
            time.sleep(chance.uniform(2, 6))
        time.sleep(chance.uniform(0, 2))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        if process.returncode != -signal.SIGKILL:
            outcome.wrong.append(f"the run ended with {process.returncode}: {errors.decode()[-500:]}")


def permanent_stream(seed: int, shared: Servers, chance: random.Random, outcome: Outcome) -> None:
    """An error that does not pass while changes are followed: the run ends, says it, and the same command goes on."""
    application, dsync, error = f"faults-{seed}", home(shared, seed), chance.choice(PERMANENT)
    command = ["--retry-for", "5", *stream_command(seed, shared, application)]
    commands = chance.choice((WRITES, ["aggregate", "getMore"])) if error.code == 13 else WRITES
    outcome.about += f": {error.code} on {commands[0]}"
    with under_load(seed, shared, outcome, dsync, command), MongoClient[Any](shared.mongo_uri) as client:
        dsync("--until-caught-up", *command, timeout=RUN_SECONDS)
        with failing(client, application, "alwaysOn", commands, errorCode=error.code):
            first = dsync(*command, expect=None, timeout=RUN_SECONDS)
        outcome.counts[f"ended with {first.status}"] += 1
        if outcome.check_status(first, error.after) and error.said not in first.err:
            outcome.wrong.append(f"the message does not say {error.said}: {first.err[-400:]}")


TRIALS = Trials("server faults", __doc__, mongo_only, trial, 200)

if __name__ == "__main__":
    TRIALS.main()
