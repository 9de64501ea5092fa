"""Files of every older layout are read, and a migration happens wholly or not at all."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import asdict

from dsync.errors import StateError, TransientError
from dsync.run import migrate
from dsync.state import sqlite
from dsync.state.sqlite import VERSION, SqliteState, digest
from dsync.testing.faults import Faulty, fail
from dsync.testing.store import MemoryStore
from tests.engine.driving import connector, contents, documents, settings, store_with
from tools import make_state
from tools.make_state import FLOWS, FOLDER, partitions, positions

TABLES = {"flows": "body", "partitions": "planned, checkpoint", "positions": "position"}
# Opens a state in a process that is killed at the K-th statement of its migration, before or after it is carried out.
KILLED = """
import asyncio, os, sys
from pathlib import Path
from dsync.state.sqlite import SqliteState

path, number, when = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
execute, count = SqliteState._execute, 0

def counted(self, statement, values=()):
    global count
    count += 1
    if count == number and when == "before":
        os.kill(os.getpid(), 9)
    cursor = execute(self, statement, values)
    if count == number:
        os.kill(os.getpid(), 9)
    return cursor

SqliteState._execute = counted
async def main():
    async with SqliteState(path):
        pass
asyncio.run(main())
"""


@pytest.fixture(params=range(1, VERSION + 1), ids="layout-{}".format)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the file of a layout."""
    return Path(shutil.copy(FOLDER / f"layout-{request.param}.db", tmp_path / "state.db"))


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    return Path(shutil.copy(FOLDER / "layout-1.db", tmp_path / "state.db"))


async def check_rows(path: Path) -> None:
    """Everything that the tool has put in is there."""
    async with SqliteState(path) as state:
        assert [asdict(flow) for flow in await state.flows()] == [{**flow, "away": 0.0} for flow in FLOWS]
        found = await state.partitions(FLOWS[0]["id"])
        assert [(each.planned, each.checkpoint) for each in found] == list(partitions())
        assert await state.positions(FLOWS[1]["id"]) == list(positions())


def layout(path: Path) -> int:
    """The layout that a file says it has. Raises AssertionError where its tables are of another one."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.create_function("digest", -1, digest, deterministic=True)
        (version,) = database.execute("pragma user_version").fetchone()
        for table, columns in TABLES.items():
            names = [row[1] for row in database.execute(f"pragma table_info({table})")]
            assert ("digest" in names) == (version >= 2), table
            if version >= 2:
                query = f"select count(*) from {table} where digest != digest({columns})"
                assert database.execute(query).fetchone() == (0,)
        return int(version)


async def test_a_file_of_every_layout_is_read_and_becomes_one_of_this(old: Path) -> None:
    await check_rows(old)
    assert layout(old) == VERSION
    await check_rows(old)


def test_there_is_a_file_of_every_layout_and_the_tool_makes_the_present_one(tmp_path: Path) -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == [f"layout-{n}.db" for n in range(1, VERSION + 1)]
    make_state.write(tmp_path / "made.db", VERSION)
    made, kept = (
        contextlib.closing(sqlite3.connect(path)) for path in (tmp_path / "made.db", FOLDER / f"layout-{VERSION}.db")
    )
    with made as one, kept as other:
        assert list(one.iterdump()) == list(other.iterdump())


async def test_a_copy_that_was_begun_under_the_old_layout_goes_on(tmp_path: Path) -> None:
    path, source, target = tmp_path / "state.db", store_with(a=documents(3000)), MemoryStore("target")
    shape = {"partitions": 1, "page_documents": 100, "preferred_batch_bytes": 3000}
    asked = settings(path, copiers=1)
    with pytest.raises(TransientError):
        first = Faulty(connector(target, **shape), [fail("WriteData", 25, TransientError("gone"))])
        await migrate(connector(source, **shape), first, asked)
    with contextlib.closing(sqlite3.connect(path)) as database:
        for table in TABLES:
            database.execute(f"alter table {table} drop column digest")
        for column in ("partitions", "positions"):
            database.execute(f"alter table flows drop column {column}")
        database.execute("pragma user_version = 1")
    tracker = await migrate(connector(source, **shape), connector(target, **shape), asked)
    assert contents(target, "a") == contents(source, "a")
    assert tracker.run_documents < 1000


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_in_a_migration_leaves_the_old_or_the_new_never_half(oldest: Path, when: str) -> None:
    kept, seen, number, status = oldest.read_bytes(), set[int](), 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        number += 1
        for rest in oldest.parent.glob("state.db-*"):
            rest.unlink()
        oldest.write_bytes(kept)
        command = [sys.executable, "-c", KILLED, str(oldest), str(number), when]
        status = subprocess.run(command, capture_output=True, check=False).returncode
        seen.add(layout(oldest))
        await check_rows(oldest)
    assert status == 0
    assert number > 8
    assert seen == {1, VERSION}


async def test_a_migration_that_fails_leaves_the_file_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = layout(old)
    with monkeypatch.context() as newer:
        newer.setattr(sqlite, "VERSION", VERSION + 1)
        newer.setitem(sqlite.MIGRATIONS, VERSION + 1, "create table more (a); drop table positions; drop table nothing")
        with pytest.raises(StateError, match=r"state\.db"):
            await check_rows(old)
    assert layout(old) == before
    await check_rows(old)


async def test_what_a_newer_dsync_has_migrated_is_refused_and_kept(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(sqlite, "VERSION", VERSION + 1)
        newer.setitem(sqlite.MIGRATIONS, VERSION + 1, "create table more (a)")
        await check_rows(old)
    kept = old.read_bytes()
    with pytest.raises(StateError, match=f"newer dsync.*layout {VERSION + 1}.*upgrade dsync"):
        await check_rows(old)
    assert old.read_bytes() == kept


async def test_processes_that_begin_together_migrate_once(oldest: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(oldest), "0", "never"]
    several = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    ended = [process.communicate()[1].decode() for process in several]
    assert [process.returncode for process in several] == [0] * 4, ended
    await check_rows(oldest)
