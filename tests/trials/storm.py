"""MongoDB to MongoDB under steady acknowledged writes, with a fault a minute: equal in the end, and never behind for long.

As a program: `python -m tests.trials.storm --minutes 10 --every 60 --per-second 1000 --seed 1`. The load begins before the copy
and goes on until the quiet at the end. Every fault must be over, and what is newest at the source be no older than five seconds
at the destination, before the next one comes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError

from tests.kit import mongod
from tests.kit.cli import Dsync
from tests.trials.cuts import mongo_behind
from tests.trials.faults import READS, TEMPORARY, WRITES, failing
from tests.trials.load import Load
from tests.trials.program import RUN_SECONDS, Outcome, Trials, hear_interrupts, tail
from tests.trials.proxy import FAULTS, Proxy
from tests.trials.stream_kills import catch_up, judge_at

SOURCE, TARGET, PROBE = "source", "target", "probe"
MOST_LAG_SECONDS = 5.0
# Statuses after which the same command is to be run again.
AGAIN = {3, 5}
STARTED_WITH = 100_000


@dataclass(frozen=True)
class Weather:
    """How long, how often, how much."""

    minutes: float = 10
    every_seconds: float = 60
    per_second: int = 1000
    documents: int = STARTED_WITH


@dataclass
class Lag:
    """A document of the source that is written again and again with a number; which number was seen at the destination."""

    source_uri: str
    target_uri: str
    written: dict[int, float] = field(default_factory=dict)
    seen: int = -1
    stopping: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        """Ten times a second; what is not acknowledged counts for nothing."""
        with MongoClient[Any](self.source_uri, serverSelectionTimeoutMS=500, socketTimeoutMS=2000) as client:
            database = client.get_database(SOURCE, write_concern=WriteConcern("majority"))
            for number in itertools.count():
                if self.stopping.wait(0.1):
                    return
                with contextlib.suppress(PyMongoError):
                    database[PROBE].replace_one({"_id": 0}, {"_id": 0, "number": number}, upsert=True)
                    self.written[number] = time.monotonic()

    def watch(self) -> None:
        """Looks at the destination, without dsync."""
        with MongoClient[Any](self.target_uri, serverSelectionTimeoutMS=500, socketTimeoutMS=2000) as client:
            while not self.stopping.wait(0.1):
                with contextlib.suppress(PyMongoError):
                    found = client[TARGET][PROBE].find_one({"_id": 0})
                    self.seen = int(found["number"]) if found else -1

    def seconds(self) -> float:
        """For how long the oldest write that is not at the destination has been at the source; 0 where all is there."""
        waiting = [moment for number, moment in list(self.written.items()) if number > self.seen]
        return time.monotonic() - min(waiting) if waiting else 0.0

    @contextmanager
    def measured(self) -> Iterator[Lag]:
        """Written and watched while the context lasts."""
        threads = [threading.Thread(target=work, daemon=True) for work in (self.write, self.watch)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(30)


class Kept:
    """The command, run again whenever it ends with a status that asks for that, as an operator would."""

    def __init__(self, dsync: Dsync, command: list[str], outcome: Outcome) -> None:
        self.dsync = dsync
        self.command = command
        self.outcome = outcome
        self._stopping = threading.Event()
        self._process = self._begin()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _begin(self) -> subprocess.Popen[bytes]:
        # a pipe that nobody reads would fill up
        with Path(self.dsync.folder, "messages").open("ab") as messages:
            return subprocess.Popen(
                self.dsync.command(*self.command),
                cwd=self.dsync.folder,
                env=self.dsync.variables(),
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
            )

    def messages(self) -> str:
        """What all runs have said."""
        return Path(self.dsync.folder, "messages").read_text(errors="replace")

    def _keep(self) -> None:
        while not self._stopping.is_set():
            status = self._process.wait()
            if self._stopping.is_set():
                return
            self.outcome.counts[f"ended with {status}"] += 1
            if status not in {*AGAIN, -signal.SIGKILL}:
                self.outcome.wrong.append(f"a run ended by itself with {status}: {tail(self.messages())}")
            time.sleep(1)
            self._process = self._begin()

    def kill(self) -> None:
        """kill -9; it is run again."""
        self._process.kill()

    def stop(self) -> None:
        """Asks it to end, and says what was wrong with how it did."""
        self._stopping.set()
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(RUN_SECONDS)
        self._thread.join(RUN_SECONDS)
        if status != 128 + signal.SIGTERM:
            self.outcome.wrong.append(f"exit status {status} after SIGTERM: {tail(self.messages())}")


@dataclass(frozen=True)
class Scene:
    """All that faults can happen to."""

    chance: random.Random
    servers: tuple[mongod.Mongod, mongod.Mongod]
    proxies: tuple[Proxy, Proxy]
    kept: Kept

    def kill_dsync(self) -> str:
        """kill -9 of dsync, once or twice."""
        self.kept.kill()
        if twice := self.chance.random() < 0.5:
            time.sleep(2.5)
            self.kept.kill()
        return f"dsync killed{' twice' if twice else ''}"

    def restart_server(self) -> str:
        """mongod ends, by a crash or in order, and comes again after a while."""
        which = self.chance.randrange(2)
        number = self.chance.choice((signal.SIGKILL, signal.SIGTERM))
        self.servers[which].kill(number)
        time.sleep(self.chance.uniform(0, 5))
        self.servers[which].start()
        return f"the {('source', 'destination')[which]} restarted after {number.name}"

    def break_connections(self) -> str:
        """Connections of one end are disturbed for some seconds."""
        which, fault = self.chance.randrange(2), self.chance.choice(FAULTS)
        self.proxies[which].break_with(fault)
        time.sleep(self.chance.uniform(0.2, 8))
        self.proxies[which].mend()
        return f"{fault} at the {('source', 'destination')[which]}"

    def fail_commands(self) -> str:
        """Commands of dsync fail at one end for some seconds."""
        which, code = self.chance.randrange(2), self.chance.choice(TEMPORARY)
        data: dict[str, Any] = {"errorCode": code} if code not in {0, 64} else {"closeConnection": True}
        share = self.chance.choice((0.2, 0.7, 1.0))
        mode = {"activationProbability": share}
        with (
            MongoClient[Any](self.servers[which].uri) as client,
            failing(client, "storm", mode, [*READS, *WRITES], **data),
        ):
            time.sleep(self.chance.uniform(1, 8))
        return f"{data} for {share:.0%} of commands at the {('source', 'destination')[which]}"

    def faults(self) -> Iterator[Callable[[], str]]:
        """All kinds in turn, each turn in another order."""
        kinds = [self.kill_dsync, self.restart_server, self.break_connections, self.fail_commands]
        while True:
            self.chance.shuffle(kinds)
            yield from kinds


@contextmanager
def two_servers() -> Iterator[tuple[mongod.Mongod, mongod.Mongod]]:
    """A source and a destination, apart, so that one can be restarted."""
    with mongod.Mongod() as source, mongod.Mongod() as target:
        yield source, target


def storm(weather: Weather) -> Trials[tuple[mongod.Mongod, mongod.Mongod]]:
    """Trials of this length and strength."""

    def trial(seed: int, shared: tuple[mongod.Mongod, mongod.Mongod]) -> Outcome:
        outcome = Outcome(seed, "mongo to mongo in a storm")
        with TemporaryDirectory() as folder, ExitStack() as stack:
            try:
                weather_it(seed, shared, weather, Dsync(Path(folder)), outcome, stack)
            finally:
                for server, name in zip(shared, (SOURCE, TARGET), strict=True):
                    with MongoClient[Any](server.uri) as client:
                        client.drop_database(name)
        return outcome

    return Trials("storm", __doc__, two_servers, trial, 1)


def weather_it(
    seed: int,
    servers: tuple[mongod.Mongod, mongod.Mongod],
    weather: Weather,
    dsync: Dsync,
    outcome: Outcome,
    stack: ExitStack,
) -> None:
    """A load, a run that is kept going, a fault every so often; then quiet, and the oracle."""
    load = Load(servers[0].uri, SOURCE, seed, weather.per_second)
    load.fill(weather.documents)
    behind = [mongo_behind(stack, server.uri) for server in servers]
    uris = [f"{uri}&appName=storm" for uri, _ in behind]
    patience = ["--server-timeout", "5", "--ping-timeout", "5", "--operation-timeout", "10"]
    command = ["--mode", "Full", "--ns", f"{SOURCE}:{TARGET}", uris[0], *patience, uris[1], *patience]
    load.start()
    began = time.monotonic()
    with Lag(servers[0].uri, servers[1].uri).measured() as lag:
        kept = Kept(dsync, command, outcome)
        scene = Scene(random.Random(seed), servers, (behind[0][1], behind[1][1]), kept)
        # the first one comes while documents are copied
        strike(scene, lag, began + min(3, weather.every_seconds), weather, outcome)
        load.stop()
        outcome.counts["writes"] += load.acknowledged
        outcome.counts["writes a second"] += int(load.acknowledged / (time.monotonic() - began))
    kept.stop()
    catch_up(dsync, command, outcome)
    outcome.wrong += judge_at(load, (servers[0].uri, SOURCE), (servers[1].uri, TARGET), {PROBE})


def strike(scene: Scene, lag: Lag, first: float, weather: Weather, outcome: Outcome) -> None:
    """A fault every so often until the time is over, and how long it takes until the lag is small again."""
    end = first + 60 * weather.minutes
    due = first
    for fault in scene.faults():
        time.sleep(max(0.0, due - time.monotonic()))
        about = fault()
        outcome.counts["faults"] += 1
        due += weather.every_seconds
        recovered = back(lag, due)
        print(f"storm: {about}; {recovered}", flush=True)  # noqa: T201
        if recovered is None:
            outcome.wrong.append(f"after {about}: still {lag.seconds():.1f} s behind when the next fault was due")
        else:
            outcome.counts["most seconds to recover"] = max(outcome.counts["most seconds to recover"], int(recovered))
        if due >= end:
            time.sleep(max(0.0, end - time.monotonic()))
            return


def back(lag: Lag, until: float) -> float | None:
    """Seconds until the lag is small and stays so for a while; None where it is not in time."""
    began, small_since = time.monotonic(), None
    while (now := time.monotonic()) < until:
        small_since = (small_since or now) if lag.seconds() < MOST_LAG_SECONDS else None
        if small_since and now - small_since >= 3:
            return small_since - began
        time.sleep(0.1)
    return None


TRIALS = storm(Weather())


def main() -> None:
    """The module as a program: exits with 1 if any trial went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--per-second", type=int, default=1000)
    parser.add_argument("--documents", type=int, default=STARTED_WITH)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    hear_interrupts()
    weather = Weather(asked.minutes, asked.every, asked.per_second, asked.documents)
    summary = storm(weather).run_all([asked.seed])
    print(summary, flush=True)  # noqa: T201
    sys.exit(bool(summary.wrong))


if __name__ == "__main__":
    main()
