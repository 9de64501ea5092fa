"""A part of every kind of trial on each run of the tests; `make soak` runs them in full.

`DSYNC_TRIAL_SHARE` multiplies how many are run, `DSYNC_TRIAL_SEED` is the first seed of each kind, `DSYNC_TRIAL_SECONDS` how long
an undisturbed run may take.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trials import cuts, decisions, faults, kills, points, rereads, signals, storm, stream_kills
from tests.trials.program import Servers, Trials

SHARE = float(os.environ.get("DSYNC_TRIAL_SHARE", "1"))
FIRST_SEED = int(os.environ.get("DSYNC_TRIAL_SEED", "0"))
# Each pair of stores, each fault and each kind of run is among them at least once.
PARTS: list[tuple[Trials[Any], int]] = [
    (kills.TRIALS, len(kills.PAIRS)),
    (stream_kills.TRIALS, 6),
    (points.TRIALS, len(points.PAIRS)),
    (cuts.TRIALS, 12),
    (faults.TRIALS, 12),
    (decisions.TRIALS, 10),
    (signals.TRIALS, 8),
]
EACH = [(trials, FIRST_SEED + n) for trials, count in PARTS for n in range(max(1, round(SHARE * count)))]
STORM = storm.storm(storm.Weather(minutes=0.5, every_seconds=15, per_second=200, documents=3000))
# Servers of their own, since one is restarted and the other is counted.
ALONE = [(STORM, FIRST_SEED), (rereads.TRIALS, FIRST_SEED + 1)]


def named(value: object) -> str | None:
    return value.name if isinstance(value, Trials) else None


@pytest.fixture(scope="module")
def shared(mongo_uri: str, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    yield Servers(mongo_uri, s3_endpoint, Path(tmp_path_factory.mktemp("trials")))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("trials", "seed"), EACH, ids=named)
def test_whatever_happens_to_a_run_the_same_command_loses_nothing(
    trials: Trials[Servers], seed: int, shared: Servers
) -> None:
    if trials.missing():
        pytest.skip(trials.missing())
    outcome = trials.run(seed, shared)
    assert not outcome.wrong, outcome


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("trials", "seed"), ALONE, ids=named)
def test_under_faults_the_lag_stays_small_and_a_kill_costs_little(
    trials: Trials[Any], seed: int, mongo_uri: str
) -> None:
    del mongo_uri  # skipped where there is no server
    with trials.opened() as own:
        outcome = trials.run(seed, own)
    assert not outcome.wrong, outcome
