"""The state as one SQLite file, readable by its owner alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from dsync.errors import HeldError, StateError
from dsync.state.store import Flow, Progress, State, parsed
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position

# How long the workers of a killed run may take to notice and end.
ORPHAN_SECONDS = 10.0
# Of the file's layout. Raise it with a step in MIGRATIONS that leads from the one before; `tools/make_state.py` then keeps a
# file of the layout that was, for the tests.
VERSION = 2
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
    """,
    # a digest in every row, and how many rows there are: SQLite notices damage to its own structures, not to what stands in them
    2: """
    alter table flows add column digest blob not null default x'';
    alter table partitions add column digest blob not null default x'';
    alter table positions add column digest blob not null default x'';
    alter table flows add column partitions integer not null default 0;
    alter table flows add column positions integer not null default 0;
    update flows set digest = digest(body),
        partitions = (select count(*) from partitions where flow = flows.id),
        positions = (select count(*) from positions where flow = flows.id);
    update partitions set digest = digest(planned, checkpoint);
    update positions set digest = digest(position);
    """,
}
PUT = """insert into flows (id, updated, body, digest) values (?1, ?2, ?3, digest(?3))
    on conflict do update set updated = ?2, body = ?3, digest = digest(?3)"""
SAVE = "update partitions set checkpoint = ?1, digest = digest(planned, ?1) where flow = ?2 and number = ?3"
DIGEST_BYTES = 8
# What SQLite says of tables that are not those of the layout.
OTHER_TABLES = ("no such ", "duplicate column ")
# Of a SQLite file.
HEADER_BYTES = 100


def digest(*parts: bytes | str) -> bytes:
    """Stands for the contents of a row."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.digest()


def sound(known: bytes, *parts: Any) -> tuple[Any, ...]:
    """The parts of a row. Raises ValueError where its digest is another one."""
    if known != digest(*parts):
        raise ValueError("a row is not what was written")
    return parts


class SqliteState(State):
    """One file, beside it a folder of lock files, one a flow, which the operating system releases with the last process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        self._locks: list[int] = []

    async def open(self) -> None:
        """See State."""
        with self._explained(), self._alone():
            # before anything is written: what is damaged or newer stays as it is
            self._look()
            self._make_private()
            self._database = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            self._database.create_function("digest", -1, digest, deterministic=True)
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

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One opens the state at a time: SQLite does not wait for another that makes the same file at the same moment."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _look(self) -> None:
        """Reads what is there. Raises StateError where it is newer, ValueError where it is damaged."""
        if not self.path.is_file():
            return
        if (size := self.path.stat().st_size) < HEADER_BYTES:
            # SQLite takes it for a new one, which it is where a run was killed before it came to its locks
            if size or self._lock_folder.exists():
                raise ValueError("the file is cut off")
            return
        with contextlib.closing(
            sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        ) as found:
            (said,) = found.execute("pragma quick_check(1)").fetchone()
            if said != "ok":
                raise ValueError(said)
            self._refuse_newer(found.execute("pragma user_version").fetchone()[0])

    def _refuse_newer(self, version: int) -> None:
        if version > VERSION:
            raise StateError(
                f"the state {str(self.path)!r} was written by a newer dsync (layout {version}, this one knows {VERSION})",
                remedy="upgrade dsync, or name another state with --metadata",
            )

    def _make_private(self) -> None:
        # SQLite would create the file, and its journals after it, readable by all
        file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            found = os.fstat(file)
            if found.st_mode & 0o077 and found.st_uid == os.geteuid():
                os.fchmod(file, 0o600)
        finally:
            os.close(file)

    def _migrate(self) -> None:
        if self._execute("pragma user_version").fetchone() == (VERSION,):
            return  # without a lock, which a run that is paused may hold
        with self._transaction():
            (version,) = self._execute("pragma user_version").fetchone()
            self._refuse_newer(version)
            for step in range(version + 1, VERSION + 1):
                for statement in filter(str.strip, MIGRATIONS[step].split(";")):
                    self._execute(statement)
                self._execute(f"pragma user_version = {step}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(
                f"the state {str(self.path)!r} cannot be opened: {error.strerror}",
                remedy="name another with --metadata",
            ) from error
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            if isinstance(error, sqlite3.OperationalError) and not str(error).startswith(OTHER_TABLES):
                locked = "locked" in str(error)
                raise StateError(
                    f"the state {str(self.path)!r} cannot be used: {error}",
                    remedy=f"{'end the run that holds it' if locked else 'free the disk'} or name another with --metadata",
                ) from error
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
        with self._explained():
            self._lock_folder.mkdir(mode=0o700, exist_ok=True)
            lock = os.open(self._lock_folder / flow_id, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            await _take(lock, flow_id)
        except BaseException:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)
        self._locks.append(lock)

    @property
    def _lock_folder(self) -> Path:
        return self.path.with_name(self.path.name + ".locks")

    @property
    def inherited(self) -> tuple[int, ...]:
        """See State."""
        return tuple(self._locks)

    async def flow(self, flow_id: str) -> Flow | None:
        """See State."""
        with self._explained():
            row = self._execute("select digest, body from flows where id = ?", (flow_id,)).fetchone()
            return Flow(**json.loads(sound(*row)[0])) if row else None

    async def flows(self) -> list[Flow]:
        """See State."""
        with self._explained():
            rows = self._execute("select digest, body from flows order by updated").fetchall()
            return [Flow(**json.loads(sound(*row)[0])) for row in rows]

    async def begin(
        self, flow: Flow, partitions: Sequence[PlannedPartition], positions: Sequence[Position] = ()
    ) -> None:
        """See State."""
        with self._transaction():
            self._put(flow)
            self._execute(
                "update flows set partitions = ?, positions = ? where id = ?",
                (len(partitions), len(positions), flow.id),
            )
            self._forget_plan(flow.id)
            for planned in partitions:
                row = (flow.id, planned.number, planned.SerializeToString(), Checkpoint().SerializeToString())
                self._execute("insert into partitions values (?1, ?2, ?3, ?4, digest(?3, ?4))", row)
            self._put_positions(flow.id, positions)

    def _forget_plan(self, flow_id: str) -> None:
        for table in ("partitions", "positions"):
            self._execute(f"delete from {table} where flow = ?", (flow_id,))  # noqa: S608 - the names are these two

    def _put_positions(self, flow_id: str, positions: Sequence[Position]) -> None:
        for position in positions:
            row = (flow_id, position.number, position.SerializeToString())
            self._execute("insert or replace into positions values (?1, ?2, ?3, digest(?3))", row)

    async def update(self, flow: Flow) -> None:
        """See State."""
        with self._transaction():
            self._put(flow)

    def _put(self, flow: Flow) -> None:
        row = (flow.id, flow.updated, json.dumps(asdict(flow)))
        self._execute(PUT, row)

    async def partitions(self, flow_id: str) -> list[Progress]:
        """See State."""
        query = "select digest, planned, checkpoint from partitions where flow = ? order by number"
        with self._explained():
            rows = self._all("partitions", query, flow_id)
            return [
                Progress(parsed(PlannedPartition, planned), parsed(Checkpoint, checkpoint))
                for planned, checkpoint in (sound(*row) for row in rows)
            ]

    def _all(self, table: str, query: str, flow_id: str) -> list[Any]:
        """The rows of a flow. Raises ValueError where some are missing."""
        known = self._execute(f"select {table} from flows where id = ?", (flow_id,)).fetchone()  # noqa: S608 - likewise
        rows = self._execute(query, (flow_id,)).fetchall()
        if known is not None and len(rows) < known[0]:
            raise ValueError(f"{len(rows)} of {known[0]} {table} are left")
        return rows

    async def save(self, flow_id: str, checkpoints: Mapping[int, Checkpoint]) -> None:
        """See State."""
        with self._transaction():
            for number, checkpoint in checkpoints.items():
                row = (checkpoint.SerializeToString(), flow_id, number)
                self._execute(SAVE, row)

    async def positions(self, flow_id: str) -> list[Position]:
        """See State."""
        with self._explained():
            query = "select digest, position from positions where flow = ? order by number"
            rows = self._all("positions", query, flow_id)
            return [parsed(Position, sound(*row)[0]) for row in rows]

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
