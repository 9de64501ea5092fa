"""A generator of majority-acknowledged writes, which remembers what the server has acknowledged: the truth of a stream trial."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
from pymongo import DeleteOne, MongoClient, ReplaceOne, UpdateOne, WriteConcern
from pymongo.errors import PyMongoError

from tests.kit import oracle

COLLECTIONS = ("orders", "people.addresses")
# Seconds for which an operation that was not acknowledged is repeated; every one of them may be.
REPEAT_SECONDS = 120


@dataclass
class Truth:
    """Every document that should be there, and how often each id was written."""

    documents: dict[tuple[str, bytes], dict[str, Any]] = field(default_factory=dict)
    versions: dict[tuple[str, bytes], int] = field(default_factory=dict)

    def side(self) -> Iterator[oracle.Placed]:
        """What the oracle compares."""
        for (namespace, _), document in self.documents.items():
            yield namespace, bson.encode(document)

    def judge(self, found: list[oracle.Placed]) -> list[str]:
        """What is wrong with a side: lost, extra, twice, and changed, of which the stale are older versions."""
        report = oracle.compare(self.side(), found)
        if report.equal:
            return []
        stale = 0
        for namespace, data in found:
            document = bson.decode(data)
            truth = self.documents.get((namespace, key(document["_id"])))
            stale += truth is not None and document.get("version", 0) < truth["version"]
        return [f"{report}; of the changed {stale} are stale"]


def key(identity: Any) -> bytes:
    """An id by type and value."""
    return bson.encode({"": identity})


class Load:
    """Writes from a thread of its own, `per_second` operations in small batches, until `stop`; each batch is acknowledged by a
    majority or repeated until it is.
    """

    def __init__(self, uri: str, database: str, seed: int, per_second: int) -> None:
        self.truth = Truth()
        self.acknowledged = 0
        self.failure = ""
        # Unacknowledged batches that had to be repeated.
        self.repeated = 0
        self._chance = random.Random(seed)
        self._per_second = per_second
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=2000)
        self._database = self._client.get_database(database, write_concern=WriteConcern("majority", j=True))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._ids: dict[str, list[Any]] = {name: [] for name in COLLECTIONS}

    def fill(self, documents: int) -> None:
        """Puts documents in before the first run."""
        for start in range(0, documents, 2000):
            for name in COLLECTIONS:
                made = [self._new(name) for _ in range(min(2000, documents - start))]
                self._database[name].insert_many(made)
                for document in made:
                    self._remember(name, document)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self) -> None:
        """Ends when all that was begun is acknowledged. Raises RuntimeError where it cannot be."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(REPEAT_SECONDS + 10)
        self._client.close()
        if self.failure or self._thread.is_alive():
            raise RuntimeError(f"the load failed: {self.failure or 'it did not end'}")

    def _write(self) -> None:
        # many small batches, or as many as there is time to acknowledge
        batch = max(1, self._per_second // (20 if self._per_second < 1000 else 5))
        due = time.monotonic()
        while not self._stopping.is_set():
            name = self._chance.choice(COLLECTIONS)
            try:
                self._acknowledge(name, [self._operation(name) for _ in range(batch)])
            except PyMongoError as error:
                self.failure = f"{type(error).__name__}: {error}"
                return
            self.acknowledged += batch
            due += batch / self._per_second
            # after a pause of the server's the lost time is not made up for
            due = max(due, time.monotonic() - 1)
            self._stopping.wait(max(0.0, due - time.monotonic()))

    def _acknowledge(self, name: str, operations: list[Any]) -> None:
        """Ordered, and each one says what is to be there in the end, so that a batch may be repeated as a whole."""
        until = time.monotonic() + REPEAT_SECONDS
        while True:
            try:
                self._database[name].bulk_write(operations)
            except PyMongoError:
                if time.monotonic() > until:
                    raise
                self.repeated += 1
                time.sleep(0.1)
            else:
                return

    def _operation(self, name: str) -> Any:
        """One of insert, update, replace, delete, insert again; the truth follows at once, since it is repeated until it holds."""
        ids = self._ids[name]
        what = self._chance.random()
        if what < 0.25 or not ids:
            document = self._new(name)
            self._remember(name, document)
            return ReplaceOne({"_id": document["_id"]}, document, upsert=True)
        identity = self._chance.choice(ids) if what < 0.8 else ids[-self._chance.randint(1, min(20, len(ids)))]
        place = (name, key(identity))
        known = self.truth.documents.get(place)
        if known is None or what < 0.5:
            document = self._document(name, identity)
            self._remember(name, document)
            return ReplaceOne({"_id": identity}, document, upsert=True)
        if what < 0.85:
            changes = {"version": self._next(place), "number": bson.Int64(self._chance.randrange(1 << 40))}
            self.truth.documents[place] = known | changes
            return UpdateOne({"_id": identity}, {"$set": changes})
        del self.truth.documents[place]
        return DeleteOne({"_id": identity})

    def _new(self, name: str) -> dict[str, Any]:
        count = len(self._ids[name])
        identity = (count, f"id {count}", {"a": count, "b": "x"}, float(count) + 0.5)[count % 4]
        self._ids[name].append(identity)
        return self._document(name, identity)

    def _document(self, name: str, identity: Any) -> dict[str, Any]:
        return {
            "_id": identity,
            "version": self._next((name, key(identity))),
            "number": bson.Int64(self._chance.randrange(1 << 40)),
            "text": "x" * self._chance.randrange(60),
            "nested": {"list": [1, None, self._chance.random()]},
        }

    def _next(self, place: tuple[str, bytes]) -> int:
        version = self.truth.versions.get(place, 0) + 1
        self.truth.versions[place] = version
        return version

    def _remember(self, name: str, document: dict[str, Any]) -> None:
        self.truth.documents[(name, key(document["_id"]))] = document
