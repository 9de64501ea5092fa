"""The state survives, is private, belongs to one run at a time, and is never mistaken for an empty one."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dsync import wire
from dsync.errors import HeldError, StateError, UsageError
from dsync.state import Flow, State, open_state
from dsync.state.sqlite import VERSION, SqliteState
from dsync.wire.gen.dsync.v1.flow_pb2 import PlannedPartition, Position


def flow(name: str = "f") -> Flow:
    return Flow(id=name, name=name, source="s", destination="d", settings={"a": [1]}, batch={"bytes": 1})


def plan(count: int) -> list[PlannedPartition]:
    return [PlannedPartition(number=n, partition=wire.Partition(namespace="a", cursor=b"%d" % n)) for n in range(count)]


async def test_the_file_and_its_journals_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.db"
    async with SqliteState(path) as state:
        await state.lock("f")
        await state.begin(flow(), plan(1))
        every = [found for found in path.parent.rglob("*") if found.is_file()]
        assert len(every) >= 3
        assert {stat.S_IMODE(found.stat().st_mode) for found in every} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_a_damaged_file_is_an_error_and_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"this is not a database" * 100)
    before = path.read_bytes()
    with pytest.raises(StateError, match="is damaged and was left as it is"):
        async with SqliteState(path):
            pass
    assert path.read_bytes() == before


async def _damage(path: Path, statement: str) -> State:
    async with SqliteState(path) as state:
        await state.begin(flow(), plan(1), [Position(number=0)])
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    return SqliteState(path)


@pytest.mark.parametrize(
    "statement",
    [
        "update flows set body = '{'",
        "update flows set body = '{\"unknown\": 1}'",
        "update partitions set checkpoint = x'ff'",
        "update positions set position = x'ff'",
        "drop table partitions",
    ],
)
async def test_a_damaged_row_is_an_error_never_nothing(tmp_path: Path, statement: str) -> None:
    damaged = await _damage(tmp_path / "state.db", statement)
    with pytest.raises(StateError, match=r"state\.db"):
        async with damaged as state:
            assert await state.flow("f")
            assert await state.partitions("f")
            assert await state.positions("f")


async def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    newer = await _damage(tmp_path / "state.db", f"pragma user_version = {VERSION + 1}")
    with pytest.raises(StateError, match="newer dsync"):
        await newer.open()
    await newer.close()


async def test_a_state_that_cannot_be_opened_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="--metadata"):
        await SqliteState(tmp_path / "file" / "state.db").open()
    with pytest.raises(UsageError, match="--metadata cannot be kept in 'redis://'"):
        open_state("redis://host")


async def test_a_second_run_is_told_which_process_has_the_flow(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with SqliteState(path) as first, SqliteState(path) as second:
        await first.lock("f")
        with pytest.raises(HeldError, match=f"process {os.getpid()}"):
            await second.lock("f")
        await second.lock("g")


async def test_a_second_run_is_told_so_while_the_first_one_is_paused_in_a_write(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with SqliteState(path) as first:
        await first.lock("f")
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("begin immediate")
        async with SqliteState(path) as second:
            with pytest.raises(HeldError, match=f"process {os.getpid()}"):
                await second.lock("f")
        writer.close()


async def test_a_flow_is_held_until_the_last_process_with_its_lock_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with SqliteState(path) as first:
        await first.lock("f")
        worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=first.inherited)
    try:
        async with SqliteState(path) as second:
            with pytest.raises(HeldError):
                await second.lock("f")
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            await second.lock("f")
    finally:
        worker.kill()
        worker.communicate()


async def test_a_new_run_waits_for_workers_of_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    hold = (
        "import asyncio, os, subprocess, sys\n"
        "from pathlib import Path\n"
        "from dsync.state.sqlite import SqliteState\n"
        "async def main():\n"
        "    async with SqliteState(Path(sys.argv[1])) as state:\n"
        "        await state.lock('f')\n"
        "        subprocess.Popen(['sleep', '1'], pass_fds=state.inherited)\n"
        "        os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    killed = subprocess.run([sys.executable, "-c", hold, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    async with SqliteState(path) as state:
        await state.lock("f")
