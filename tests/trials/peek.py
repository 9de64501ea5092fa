"""What the SQLite state of a trial says, read beside a run or after its kill."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint
from tests.kit.cli import Dsync


def documents_done(dsync: Dsync) -> int:
    """How many documents of the copy are done; 0 before there is a state."""
    return sum(int(Checkpoint.FromString(body).read) for (body,) in _rows(dsync, "select checkpoint from partitions"))


def status(dsync: Dsync) -> str:
    """Of the flow of a home in which there is one: copying, copied or following; empty before it has begun."""
    found = [json.loads(body)["status"] for (body,) in _rows(dsync, "select body from flows")]
    return found[0] if found else ""


def unsound(dsync: Dsync) -> list[str]:
    """What SQLite's own check says of the states in a home."""
    return [row[0] for row in _rows(dsync, "pragma integrity_check") if row[0] != "ok"]


def _rows(dsync: Dsync, query: str) -> Iterator[Any]:
    for path in (dsync.folder / "home").rglob("state.db"):
        # a run that was killed at its very beginning has left no tables
        with contextlib.closing(sqlite3.connect(path)) as state, contextlib.suppress(sqlite3.OperationalError):
            yield from state.execute(query).fetchall()
