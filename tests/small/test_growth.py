"""The bench tells memory that grows from memory that comes and goes."""

from __future__ import annotations

import math
import random

import pytest

from bench.measure import Run


def run_of(seconds: int, bytes_a_minute: float) -> Run:
    """Samples of memory that comes and goes by a few megabytes for seconds at a time, and grows."""
    noise = random.Random(5)
    samples, away = [], 0.0
    for number in range(seconds * 20):
        away = 0.98 * away + noise.gauss(0, 300_000)
        at = number / 20
        samples.append((at, int(80_000_000 + away + bytes_a_minute * at / 60)))
    return Run(seconds, seconds, tuple(samples))


@pytest.mark.parametrize("slope", [0.0, 5e6])
def test_a_run_of_minutes_tells_its_slope(slope: float) -> None:
    found, error = run_of(300, slope).growth
    assert abs(found - slope) <= error < 1e6


def test_a_run_of_seconds_says_that_it_cannot() -> None:
    found, error = run_of(20, 0.0).growth
    assert abs(found) <= error and error > 1e6
    assert Run(0.1, 0.1, ((0.05, 1),)).growth == (0.0, math.inf)
