"""A kill at any step of publishing, and the same calls again: the new file, whole, and whose it is was known all along."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.file.connector import FileConnector
from dsync import wire
from dsync.errors import NotFoundError
from tests.file.reading import FLOW, batch, files, finish, metadata, read, write

OLD = [[b'{"old":1}'], [b'{"old":2}']]
NEW = [[b'{"new":1}'], [b'{"new":2}', b'{"new":3}']]
# Formats, and how many steps further each kill is: they differ in how a file is assembled alone.
FORMATS = {"jsonl": 1, "json": 5, "csv": 7}

# Every call that changes what is on the disk.
STEPS = (
    "mkdir",
    "open",
    "write",
    "fdatasync",
    "fsync",
    "replace",
    "rename",
    "link",
    "copy_file_range",
    "unlink",
    "rmdir",
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the connector catches it."""


@contextmanager
def killed_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[list[str]]:
    """Lets so many calls through that change the disk, and none after them; answers the calls."""
    done: list[str] = []

    def guarded(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return call(*arguments, **options)
            if len(done) == step:
                raise Killed
            done.append(name)
            # what is synced is seen by a machine that loses power, not by this one
            return None if name in ("fsync", "fdatasync") else call(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, guarded(name, getattr(os, name)))
        yield done


def snapshot(folder: Path, into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(folder, into, copy_function=shutil.copy2)


async def generation(folder: Path, batches: list[list[bytes]], options: dict[str, Any]) -> None:
    await write(f"{folder}/", "shop.people", batches, **options)


@pytest.mark.parametrize("data_format", FORMATS)
async def test_a_copy_that_is_killed_at_any_step_is_completed_by_the_same_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_format: str
) -> None:
    options = {"format": data_format}
    prepared = tmp_path / "prepared"
    await generation(prepared, OLD, options)
    old, first = await read(prepared), await metadata(f"{prepared}/", "shop.people", **options)
    step = 0
    while True:
        folder = tmp_path / "out"
        snapshot(prepared, folder)
        try:
            with killed_at(monkeypatch, step):
                await generation(folder, NEW, options)
            break
        except Killed:
            step += FORMATS[data_format]
        seen = await read(folder)
        found = await metadata(f"{folder}/", "shop.people", **options)
        assert (found.exists, found.flow, found.identity) == (True, FLOW, first.identity)
        assert found.count == len(seen["shop.people"])
        await generation(folder, NEW, options)
        assert seen in (old, await read(folder))
        assert len(files(folder)) == 2
    assert [*(await read(folder)).values()] == [[*NEW[0], *NEW[1]]] or data_format == "csv"
    assert step > 20


@pytest.mark.parametrize("data_format", FORMATS)
async def test_an_end_that_is_killed_at_any_step_is_completed_by_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_format: str
) -> None:
    options = {"format": data_format}
    prepared = tmp_path / "prepared"
    async with FileConnector(f"{prepared}/", options) as connector:
        for ordinal, documents in enumerate(NEW):
            await connector.WriteData(batch("people", ordinal, documents, wire.EXTENDED_JSON))
    step = 0
    while True:
        folder = tmp_path / "out"
        snapshot(prepared, folder)
        async with FileConnector(f"{folder}/", options) as connector:
            try:
                with killed_at(monkeypatch, step):
                    await connector.FinishNamespace(finish("people", p0=2))
                break
            except Killed:
                step += FORMATS[data_format]
        async with FileConnector(f"{folder}/", options) as connector:
            await connector.FinishNamespace(finish("people", p0=2))
            await connector.FinishNamespace(finish("people", p0=2))
        assert len((await read(folder))["people"]) == 3
        assert len(files(folder)) == 2
    assert step > 10


async def test_a_first_batch_that_is_killed_at_any_step_is_repeated_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = 0
    while True:
        folder = tmp_path / f"out-{step}"
        try:
            with killed_at(monkeypatch, step):
                async with FileConnector(f"{folder}/", {}) as connector:
                    await connector.WriteData(batch("people", 0, NEW[0], wire.EXTENDED_JSON))
            break
        except Killed:
            step += 1
        async with FileConnector(f"{folder}/", {}) as connector:
            with pytest.raises(NotFoundError):
                await connector.FinishNamespace(finish("people", p0=3))
        await write(f"{folder}/", "people", NEW)
        assert await read(folder) == {"people": [*NEW[0], *NEW[1]]}
        assert len(files(folder)) <= 3  # a marker that was begun may be left beside
    assert step > 5


async def test_an_error_of_the_disk_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.WriteData(batch("people", 0, NEW[0], wire.EXTENDED_JSON))
        for name in ("fdatasync", "fsync", "write"):
            with monkeypatch.context() as patch:
                patch.setattr(os, name, full)
                with pytest.raises(Exception, match="no space left"):
                    await connector.WriteData(batch("people", 1, NEW[1], wire.EXTENDED_JSON))
        await connector.WriteData(batch("people", 1, NEW[1], wire.EXTENDED_JSON))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(Exception, match="no space left"):
                await connector.FinishNamespace(finish("people", p0=2))
        await connector.FinishNamespace(finish("people", p0=2))
    assert await read(tmp_path) == {"people": [*NEW[0], *NEW[1]]}
    assert len(files(tmp_path)) == 2


async def test_namespaces_of_a_flow_begin_and_end_side_by_side(tmp_path: Path) -> None:
    async def copy(namespace: str) -> None:
        async with FileConnector(f"{tmp_path}/", {}) as connector:
            for _ in range(3):
                await connector.WriteData(batch(namespace, 0, NEW[0], wire.EXTENDED_JSON))
                await connector.FinishNamespace(finish(namespace, p0=1))

    await asyncio.gather(*(copy(f"n{number}") for number in range(8)))
    assert await read(tmp_path) == {f"n{number}": NEW[0] for number in range(8)}
    assert len(files(tmp_path)) == 16


async def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "copy_file_range", refuse)
    await write(f"{tmp_path}/", "people", NEW)
    await write(f"{tmp_path}/", "people", NEW)
    assert await read(tmp_path) == {"people": [*NEW[0], *NEW[1]]}
    assert (await metadata(f"{tmp_path}/", "people")).flow == FLOW


async def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.touch(0o600)
    await write(path, "people", NEW)
    assert path.stat().st_mode & 0o777 == 0o600
