"""Writes test_data/state/layout-N.db: a state file of every layout that dsync has had, with the same flows in each.

Raise VERSION in dsync/state/sqlite.py, run this, and commit the new file: the old ones stay as they are.
"""

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dsync import wire
from dsync.state.sqlite import MIGRATIONS, VERSION, digest
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position

FOLDER = Path(__file__).resolve().parent.parent / "test_data" / "state"


def flow(name: str, status: str, updated: float) -> dict[str, Any]:
    """A flow as its row holds it."""
    return {
        "id": name.ljust(16, "0"),
        "name": name,
        "source": "mongodb:rs0",
        "destination": "file:/backup",
        "settings": {
            "namespace": "shop:shop2",
            "source": {"initial_sync_query": ""},
            "destination": {"format": "bson"},
        },
        "batch": {"native": 1, "type": 1, "bytes": 4194304, "documents": 10000},
        "status": status,
        "generation": 2,
        "namespaces": {"shop2.orders": {"empty": True, "identity": "a1b2"}},
        "created": 1700000000.5,
        "updated": updated,
    }


FLOWS = [flow("copying", "copying", 1700000100.0), flow("following", "following", 1700000200.25)]


def partitions() -> Iterator[tuple[PlannedPartition, Checkpoint]]:
    """Of the first flow: one that is done, one in its middle, one that was not begun."""
    for number, checkpoint in enumerate(
        (
            Checkpoint(done=True, read=25_000),
            Checkpoint(cursor=b"\0cursor\xff", read=10_000, set_aside=3),
            Checkpoint(),
        )
    ):
        if checkpoint.read:
            checkpoint.written.add(namespace="shop2.orders", batches=3, documents=checkpoint.read, bytes=1 << 20)
        partition = wire.Partition(namespace="shop.orders", cursor=b"range %d" % number, estimated_count=25_000)
        yield PlannedPartition(number=number, partition=partition, destination="shop2.orders"), checkpoint


def positions() -> Iterator[Position]:
    """Of the second flow."""
    for number in range(2):
        partition = wire.UpdatesPartition(namespaces=["shop.orders"], cursor=b"before the copy")
        yield Position(number=number, partition=partition, cursor=b"token %d" % number, updates=7 + number)


def write(path: Path, layout: int) -> None:
    """A file of a layout; its rows were written in the first one, and migrated."""
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.create_function("digest", -1, digest, deterministic=True)
        database.execute("pragma journal_mode = wal")
        for step in range(1, layout + 1):
            database.executescript(MIGRATIONS[step])
            database.execute(f"pragma user_version = {step}")
            if step == 1:
                fill(database)


def fill(database: sqlite3.Connection) -> None:
    """The rows as the first layout has them."""
    for each in FLOWS:
        database.execute("insert into flows values (?, ?, ?)", (each["id"], each["updated"], json.dumps(each)))
    for planned, checkpoint in partitions():
        row = (FLOWS[0]["id"], planned.number, planned.SerializeToString(), checkpoint.SerializeToString())
        database.execute("insert into partitions values (?, ?, ?, ?)", row)
    for position in positions():
        place = (FLOWS[1]["id"], position.number)
        database.execute("insert into positions values (?, ?, ?)", (*place, position.SerializeToString()))


def main() -> None:
    """Writes the file of the present layout, and those that are missing."""
    FOLDER.mkdir(exist_ok=True)
    for layout in range(1, VERSION + 1):
        path = FOLDER / f"layout-{layout}.db"
        if layout == VERSION or not path.exists():
            write(path, layout)
            sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
