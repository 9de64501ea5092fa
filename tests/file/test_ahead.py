"""A file is put together while later batches are still written, and is the file that it would be anyway."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from connectors.file.connector import FileConnector
from dsync import wire
from tests.file.reading import FLOW, batch, data_files, files, read

FORMATS = ("jsonl", "bson", "json", "csv")


def documents(partition: int, ordinal: int) -> list[bytes]:
    return [b'{"_id":"%d-%d-%d"}' % (partition, ordinal, number) for number in range(1 + (partition + ordinal) % 3)]


def counted(counts: dict[int, int]) -> wire.FinishNamespaceRequest:
    parts = [wire.FinishNamespaceRequest.Part(partition=str(number), count=count) for number, count in counts.items()]
    return wire.FinishNamespaceRequest(namespace="people", flow=FLOW, parts=parts)


def assembled(folder: Path) -> list[str]:
    return [name for name in files(folder) if "assembled" in name]


async def stage(connector: FileConnector, partition: int, ordinal: int) -> None:
    name = str(partition)
    await connector.WriteData(batch("people", ordinal, documents(partition, ordinal), wire.EXTENDED_JSON, name))


@pytest.mark.parametrize("packed", ["none", "gzip"])
@pytest.mark.parametrize("data_format", FORMATS)
async def test_the_file_is_the_same_whatever_was_foreseen(tmp_path: Path, data_format: str, packed: str) -> None:
    counts = {0: 2, 1: 1, 2: 3, 3: 2}
    written = {}
    for said in ([], [1], [1, 2], [2, 4], [1, 2, 3, 4]):
        folder = tmp_path / "".join(map(str, said))
        async with FileConnector(f"{folder}/", {"format": data_format, "compression": packed}) as connector:
            for partition, count in counts.items():
                for ordinal in range(count):
                    await stage(connector, partition, ordinal)
                if partition + 1 in said:
                    before = max((end for end in said if end <= partition), default=0)
                    await connector.prepare_finish(
                        counted({number: counts[number] for number in range(before, partition + 1)})
                    )
            await connector.FinishNamespace(counted(counts))
        [name] = data_files(folder)
        written[tuple(said)] = (folder / name).read_bytes()
        assert len(files(folder)) == 2
    assert len(set(written.values())) == 1


async def test_work_is_done_ahead(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await stage(connector, 0, 0)
        await stage(connector, 0, 1)
        await connector.prepare_finish(counted({0: 2}))
        [name] = assembled(tmp_path)
        text = b"".join(document + b"\n" for ordinal in (0, 1) for document in documents(0, ordinal))
        assert (tmp_path / name).read_bytes() == text


async def test_a_batch_that_is_written_once_more_is_taken_as_it_is_in_the_end(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        for partition in (0, 1):
            await stage(connector, partition, 0)
        await connector.prepare_finish(counted({0: 1, 1: 1}))
        await connector.WriteData(batch("people", 0, [b'{"_id":"new"}'], wire.EXTENDED_JSON, "0"))
        await connector.FinishNamespace(counted({0: 1, 1: 1}))
    assert (await read(tmp_path))["people"] == [b'{"_id":"new"}', *documents(1, 0)]


async def test_an_end_in_another_order_begins_anew(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        for partition in (0, 1):
            await stage(connector, partition, 0)
        await connector.prepare_finish(counted({0: 1}))
        await connector.prepare_finish(counted({1: 1}))
        await connector.FinishNamespace(counted({1: 1, 0: 1}))
    assert (await read(tmp_path))["people"] == [*documents(1, 0), *documents(0, 0)]


async def test_what_is_foreseen_and_not_there_is_left_to_the_end(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await stage(connector, 0, 0)
        await connector.prepare_finish(counted({0: 2}))
        assert not assembled(tmp_path)
        await connector.FinishNamespace(counted({0: 1}))
    assert (await read(tmp_path))["people"] == documents(0, 0)


async def test_nothing_is_left_of_what_was_put_together_for_nothing(tmp_path: Path) -> None:
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await stage(connector, 0, 0)
        await connector.prepare_finish(counted({0: 1}))
        assert assembled(tmp_path)
    assert not assembled(tmp_path)
    async with FileConnector(f"{tmp_path}/", {}) as connector:
        await connector.FinishNamespace(counted({0: 1}))
    assert (await read(tmp_path))["people"] == documents(0, 0)


async def test_any_history_ends_in_the_same_file(tmp_path: Path) -> None:
    for seed in range(60):
        chance = random.Random(seed)
        folder = tmp_path / str(seed)
        counts = {partition: chance.randint(0, 3) for partition in range(chance.randint(1, 6))}
        connector = FileConnector(f"{folder}/", {"format": chance.choice(["jsonl", "bson"])})
        await connector.open()
        expected: list[bytes] = []
        told = 0
        for partition, count in counts.items():
            for ordinal in range(count):
                await stage(connector, partition, ordinal)
                expected += documents(partition, ordinal)
            if chance.random() < 0.5:
                await connector.prepare_finish(counted(dict(list(counts.items())[told : partition + 1])))
                told = partition + 1 if chance.random() < 0.8 else told
            if (
                expected and chance.random() < 0.3
            ):  # the same batch by a worker that was slow, or anew by another process
                again = chance.choice([number for number in range(partition + 1) if counts[number]])
                await stage(connector, again, 0)
            if chance.random() < 0.2:
                await connector.close()
        await connector.FinishNamespace(counted(counts))
        await connector.close()
        found = await read(folder)
        assert found.get("people", []) == expected, seed
        assert not assembled(folder), seed
