"""Thousands of random files: every chunk size and every partitioning says what a byte-by-byte reader says."""

from __future__ import annotations

import random

import pytest

from connectors.file import csvcuts
from connectors.file.csvread import CsvSettings
from tests.csv import reference
from tests.csv.reading import open_table, read_partitioned

FILES_PER_SEED = 300
DELIMITERS = [",", ",", ",", "\t", ";", "|", "\x01", " ", "}"]


def check(rng: random.Random, data: bytes, delimiter: str, width: int) -> bool:
    """Reads a file under given column names in several ways; whether it was sound."""
    names = [f"n{place}" for place in range(width)]
    settings = CsvSettings(delimiter=delimiter, header="no", columns=tuple(names))
    expected = reference.meaning(data, delimiter.encode(), width)
    by_module = reference.by_csv_module(data, delimiter)
    if expected.fault is None:
        assert by_module == [row for _, row in expected.rows]
    first_ragged = reference.meaning(data, delimiter.encode()).rows[:1]
    if data.startswith(b"\xef\xbb\xbf") or not first_ragged or len(first_ragged[0][1]) != width:
        return False  # the header's matter
    table = open_table(settings, data)
    for _ in range(3):
        targets = [rng.randrange(len(data) + 1) for _ in range(rng.randrange(5))]
        reading = read_partitioned(table, data, targets, rng.choice([1, 2, 5, 17, 50, 1000]))
        if expected.fault is None:
            assert reading.fault is None
            assert reading.documents == reference.documents(names, expected.rows)
            assert reading.lines == [line for line, _ in expected.rows]
        else:
            line, reason = expected.fault
            assert reading.fault is not None
            assert reading.fault.line == line
            assert reason in reading.fault.reason or (reason == "ragged" and "where there" in reading.fault.reason)
    return expected.fault is None


@pytest.mark.parametrize("seed", range(6))
def test_sound_files_read_the_same_in_every_chunking_and_partitioning(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(csvcuts, "_WINDOW_BYTES", rng.choice([1, 3, 40]))
    sound = 0
    for _ in range(FILES_PER_SEED):
        delimiter, width = rng.choice(DELIMITERS), rng.choice([1, 2, 3, 8])
        sound += check(rng, reference.sound_file(rng, delimiter, width), delimiter, width)
    assert sound > FILES_PER_SEED / 2


@pytest.mark.parametrize("seed", range(10))
def test_broken_files_fail_on_the_same_line_in_every_chunking_and_partitioning(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(1000 + seed)
    monkeypatch.setattr(csvcuts, "_WINDOW_BYTES", rng.choice([1, 3, 40]))
    for _ in range(FILES_PER_SEED):
        delimiter, width = rng.choice(DELIMITERS), rng.choice([1, 2, 3, 8])
        check(rng, reference.broken_file(rng, delimiter, width), delimiter, width)
