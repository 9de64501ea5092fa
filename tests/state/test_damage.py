"""A damaged state is an error that names it; it is kept as it is and never taken for an empty or an earlier one."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dsync.errors import StateError
from dsync.state.sqlite import VERSION, SqliteState
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint
from tests.kit.cli import Dsync
from tests.state.test_migration import check_rows
from tests.state.test_state import flow, plan
from tools.make_state import FOLDER

WHOLE = (FOLDER / f"layout-{VERSION}.db").read_bytes()
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state.db.locks").mkdir()
    return Path(shutil.copy(FOLDER / f"layout-{VERSION}.db", tmp_path / "state.db"))


async def refused(path: Path, data: bytes) -> bool:
    """Whether these bytes are refused by name and stay; otherwise every row of the sound file is in them."""
    path.write_bytes(data)
    try:
        await check_rows(path)
    except StateError as error:
        assert str(path) in str(error)
        assert "--metadata" in str(error)
        assert path.read_bytes() == data
        return True
    finally:
        for rest in path.parent.glob("state.db-*"):
            rest.unlink()
    return False


@pytest.mark.parametrize("size", [0, 1, 50, 99, 100, 1000, PAGE, PAGE + 1, 2 * PAGE, len(WHOLE) // 2, len(WHOLE) - 1])
async def test_a_file_that_was_cut_off(path: Path, size: int) -> None:
    assert await refused(path, WHOLE[:size])


@pytest.mark.parametrize("number", range(len(WHOLE) // PAGE))
@pytest.mark.parametrize("filling", ["garbage", "zeros", "another page"])
async def test_a_page_with_something_else_in_it(path: Path, number: int, filling: str) -> None:
    other = (number + 1) * PAGE % len(WHOLE)
    page = {
        "garbage": random.Random(number).randbytes(PAGE),
        "zeros": bytes(PAGE),
        "another page": WHOLE[other : other + PAGE],
    }[filling]
    await refused(path, WHOLE[: number * PAGE] + page + WHOLE[(number + 1) * PAGE :])


async def test_single_bits_anywhere(path: Path) -> None:
    chance, noticed = random.Random(1), 0
    for _ in range(300):
        damaged, place = bytearray(WHOLE), chance.randrange(len(WHOLE))
        damaged[place] ^= 1 << chance.randrange(8)
        noticed += await refused(path, bytes(damaged))
    assert noticed


@pytest.mark.parametrize(
    "statement",
    [
        "update partitions set checkpoint = x''",
        "update partitions set checkpoint = (select checkpoint from partitions where number = 0)",
        "update partitions set planned = x'00'",
        "update partitions set planned = 'text'",
        "update positions set position = x''",
        "update flows set body = replace(body, 'following', 'copying')",
        "update flows set body = null",
        "update flows set digest = x''",
        "delete from partitions where number = 1",
        "delete from positions",
        "drop table positions",
        "alter table flows drop column body",
    ],
)
async def test_rows_that_dsync_has_not_written(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, contextlib.suppress(sqlite3.IntegrityError), database:
        database.execute(statement)
    if path.read_bytes() != WHOLE:
        with pytest.raises(StateError, match=r"state\.db' is damaged and was left as it is"):
            await check_rows(path)


async def test_a_state_that_others_may_read_is_made_private(path: Path) -> None:
    path.chmod(0o644)
    await check_rows(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
async def test_a_state_that_may_not_be_read_is_named(path: Path) -> None:
    path.chmod(0)
    with pytest.raises(StateError, match=r"state\.db' cannot be"):
        await check_rows(path)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _locks_as_file(path: Path) -> None:
    folder = path.with_name("state.db.locks")
    folder.rmdir()
    folder.write_text("")


@pytest.mark.parametrize(
    "spoil",
    [_as_folder, _locks_as_file, lambda path: path.write_bytes(b"not a database" * 99)],
    ids=["a folder", "locks that are a file", "text"],
)
async def test_what_is_no_state_at_all(path: Path, spoil: Callable[[Path], object]) -> None:
    spoil(path)
    with pytest.raises(StateError, match=r"state\.db' (cannot be opened|is damaged).*--metadata"):
        async with SqliteState(path) as state:
            await state.lock("f")


async def test_a_file_that_a_killed_run_had_just_made_is_a_new_state(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch()
    async with SqliteState(path) as state:
        assert await state.flows() == []


async def test_a_damaged_log_of_a_killed_run_costs_work_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with SqliteState(path) as state:
        await state.begin(flow(), plan(1))
        for number in range(1, 40):
            await state.save("f", {0: Checkpoint(read=number)})
        log, file = path.with_name("state.db-wal").read_bytes(), path.read_bytes()
    for seed in range(20):
        place = random.Random(seed).randrange(len(log) - 100)
        path.with_name("state.db-wal").write_bytes(log[:place] + random.Random(seed).randbytes(64) + log[place + 64 :])
        path.write_bytes(file)
        path.with_name("state.db-shm").unlink(missing_ok=True)
        with contextlib.suppress(StateError):
            async with SqliteState(path) as state:
                found = [progress.checkpoint.read for progress in await state.partitions("f")]
                assert not found or 0 <= found[0] < 40


def test_the_command_line_fails_names_the_file_and_writes_nothing(path: Path, tmp_path: Path) -> None:
    path.write_bytes(WHOLE[: len(WHOLE) // 2])
    (tmp_path / "a.jsonl").write_text('{"_id": 1}\n')
    dsync = Dsync(tmp_path)
    for words in (["a.jsonl", "b.jsonl"], ["state", "list"]):
        failed = dsync("--metadata", path, *words, expect=1)
        assert f"the state {str(path)!r} is damaged and was left as it is" in failed.err
        assert "move it away to start afresh" in failed.err
    assert not (tmp_path / "b.jsonl").exists()
    assert path.read_bytes() == WHOLE[: len(WHOLE) // 2]
    path.rename(tmp_path / "damaged.db")
    dsync("--metadata", path, "a.jsonl", "b.jsonl")
