"""The state as one SQLite file, readable by its owner alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from dsync.errors import HeldError, StateError
from dsync.state.store import Flow, Progress, State, parsed
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position

# How long the workers of a killed run may take to notice and end.
ORPHAN_SECONDS = 10.0
# Of the file's layout. Raise it with a step in MIGRATIONS that leads from the one before.
VERSION = 1
MIGRATIONS = {
    1: """
    create table flows (id text primary key, updated real not null, body text not null) without rowid;
    create table partitions (
        flow text not null, number integer not null, planned blob not null, checkpoint blob not null,
        primary key (flow, number)
    ) without rowid;
    create table positions (
        flow text not null, number integer not null, position blob not null, primary key (flow, number)
    ) without rowid;
    """
}


class SqliteState(State):
    """One file, beside it a folder of lock files, one a flow, which the operating system releases with the last process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        self._locks: list[int] = []

    async def open(self) -> None:
        """See State."""
        self._make_private()
        with self._explained():
            self._database = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            self._execute("pragma journal_mode = wal")
            self._execute("pragma synchronous = full")
            self._migrate()

    async def close(self) -> None:
        """See State."""
        if self._database is not None:
            self._database.close()
            self._database = None
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _make_private(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite would create the file, and its journals after it, readable by all
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StateError(
                f"the state {str(self.path)!r} cannot be opened: {error.strerror}",
                remedy="name another with --metadata",
            ) from error

    def _migrate(self) -> None:
        with self._transaction():
            (version,) = self._execute("pragma user_version").fetchone()
            if version > VERSION:
                raise StateError(
                    f"the state {str(self.path)!r} was written by a newer dsync (layout {version}, this one knows {VERSION})",
                    remedy="upgrade dsync, or name another state with --metadata",
                )
            for step in range(version + 1, VERSION + 1):
                for statement in filter(str.strip, MIGRATIONS[step].split(";")):
                    self._execute(statement)
                self._execute(f"pragma user_version = {step}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StateError(
                f"the state {str(self.path)!r} cannot be used: {error}",
                remedy="free the disk or name another with --metadata",
            ) from error
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise StateError(
                f"the state {str(self.path)!r} is damaged and was left as it is: {error}",
                remedy="move it away to start afresh, or name another with --metadata",
            ) from error

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        assert self._database is not None, "the state is not open"
        return self._database.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained():
            self._execute("begin immediate")
            try:
                yield
            except BaseException:
                self._execute("rollback")
                raise
            self._execute("commit")

    async def lock(self, flow_id: str) -> None:
        """See State; held by every process that inherits the descriptor."""
        folder = self.path.with_name(self.path.name + ".locks")
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / flow_id, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            await _take(lock, flow_id)
        except BaseException:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)
        self._locks.append(lock)

    @property
    def inherited(self) -> tuple[int, ...]:
        """See State."""
        return tuple(self._locks)

    async def flow(self, flow_id: str) -> Flow | None:
        """See State."""
        with self._explained():
            row = self._execute("select body from flows where id = ?", (flow_id,)).fetchone()
            return Flow(**json.loads(row[0])) if row else None

    async def flows(self) -> list[Flow]:
        """See State."""
        with self._explained():
            rows = self._execute("select body from flows order by updated").fetchall()
            return [Flow(**json.loads(body)) for (body,) in rows]

    async def begin(
        self, flow: Flow, partitions: Sequence[PlannedPartition], positions: Sequence[Position] = ()
    ) -> None:
        """See State."""
        with self._transaction():
            self._put(flow)
            self._forget_plan(flow.id)
            for planned in partitions:
                row = (flow.id, planned.number, planned.SerializeToString(), Checkpoint().SerializeToString())
                self._execute("insert into partitions values (?, ?, ?, ?)", row)
            self._put_positions(flow.id, positions)

    def _forget_plan(self, flow_id: str) -> None:
        for table in ("partitions", "positions"):
            self._execute(f"delete from {table} where flow = ?", (flow_id,))  # noqa: S608 - the names are these two

    def _put_positions(self, flow_id: str, positions: Sequence[Position]) -> None:
        for position in positions:
            row = (flow_id, position.number, position.SerializeToString())
            self._execute("insert or replace into positions values (?, ?, ?)", row)

    async def update(self, flow: Flow) -> None:
        """See State."""
        with self._transaction():
            self._put(flow)

    def _put(self, flow: Flow) -> None:
        self._execute(
            "insert or replace into flows values (?, ?, ?)", (flow.id, flow.updated, json.dumps(asdict(flow)))
        )

    async def partitions(self, flow_id: str) -> list[Progress]:
        """See State."""
        query = "select planned, checkpoint from partitions where flow = ? order by number"
        with self._explained():
            rows = self._execute(query, (flow_id,)).fetchall()
            return [
                Progress(parsed(PlannedPartition, planned), parsed(Checkpoint, checkpoint))
                for planned, checkpoint in rows
            ]

    async def save(self, flow_id: str, checkpoints: Mapping[int, Checkpoint]) -> None:
        """See State."""
        with self._transaction():
            for number, checkpoint in checkpoints.items():
                row = (checkpoint.SerializeToString(), flow_id, number)
                self._execute("update partitions set checkpoint = ? where flow = ? and number = ?", row)

    async def positions(self, flow_id: str) -> list[Position]:
        """See State."""
        with self._explained():
            rows = self._execute("select position from positions where flow = ? order by number", (flow_id,)).fetchall()
            return [parsed(Position, body) for (body,) in rows]

    async def save_positions(self, flow_id: str, positions: Sequence[Position]) -> None:
        """See State."""
        with self._transaction():
            self._put_positions(flow_id, positions)

    async def reset(self, flow_id: str) -> bool:
        """See State."""
        with self._transaction():
            self._forget_plan(flow_id)
            return self._execute("delete from flows where id = ?", (flow_id,)).rowcount > 0


async def _take(lock: int, flow_id: str) -> None:
    """Locks, and waits a while for the workers of a run that was killed: they end by themselves."""
    end = time.monotonic() + ORPHAN_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 100, 0).decode(errors="replace").strip()
            if _lives(holder) or time.monotonic() > end:
                raise HeldError(
                    f"the flow {flow_id!r} is held by {holder or 'another process'}",
                    remedy="wait for its end or stop it",
                ) from None
            await asyncio.sleep(0.05)
        else:
            return


def _lives(holder: str) -> bool:
    """Whether the process that a lock file names is still there."""
    number = holder.removeprefix("process ")
    return number.isdigit() and _process_exists(int(number))


def _process_exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
