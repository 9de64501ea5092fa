"""What mystore has besides: its options, its data, partitions."""

from __future__ import annotations

from pathlib import Path

import pytest

import dsync

PEOPLE = Path(__file__).parents[1] / "test_data" / "people.jsonl"
SETTINGS = dsync.Settings(metadata="memory:", mode="InitialSync")


async def test_the_data_comes_back_byte_for_byte(tmp_path: Path) -> None:
    store = f"mystore://{tmp_path / 'store.db'}"
    for source, destination in ((str(PEOPLE), store), (store, str(tmp_path / "again.jsonl"))):
        assert (await dsync.migrate(source, destination, SETTINGS)).documents == 3
    assert sorted((tmp_path / "again.jsonl").read_bytes().splitlines()) == sorted(PEOPLE.read_bytes().splitlines())


async def test_large_namespaces_are_read_in_several_partitions(tmp_path: Path) -> None:
    store = f"mystore://{tmp_path / 'store.db'}"
    source = dsync.Endpoint("/dev/fakesource", {"num_docs_per_partition": 120_000})
    await dsync.migrate(source, store, SETTINGS)
    done = await dsync.migrate(store, "/dev/null", SETTINGS)
    assert (done.documents, done.partitions) == (120_000, (3, 3))


@pytest.mark.parametrize("wrong", [{"page_documents": 0}, {"page_documents": "many"}, {"page_document": 1}])
async def test_wrong_options_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(dsync.errors.UsageError, match=r"page[_-]document"):
        await dsync.migrate(dsync.Endpoint(f"mystore://{tmp_path / 'store.db'}", wrong), "/dev/null", SETTINGS)
