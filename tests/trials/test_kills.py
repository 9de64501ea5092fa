"""A part of the trials on each run of the tests; `make soak` runs them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trials.kills import PAIRS, trial
from tests.trials.program import Servers


@pytest.fixture(scope="module")
def shared(mongo_uri: str, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    yield Servers(mongo_uri, s3_endpoint, Path(tmp_path_factory.mktemp("trials")))


@pytest.mark.parametrize("seed", range(len(PAIRS)), ids=lambda seed: "-".join(PAIRS[seed]))
def test_after_kills_the_same_command_loses_nothing_and_repeats_nothing(shared: Servers, seed: int) -> None:
    outcome = trial(seed, shared)
    assert not outcome.wrong, outcome
