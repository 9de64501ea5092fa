"""Of several failures one decides how a run ends: the one that asks for the most."""

from __future__ import annotations

import itertools

import pytest

from dsync.errors import (
    DataError,
    DifferencesError,
    DsyncError,
    EndpointError,
    GapError,
    LimitError,
    SetAsideError,
    TransientError,
    decisive,
)

# From the one that decides always to the one that decides alone: a decision is needed, something failed, mend the endpoint, try
# again, differences, documents set aside.
IN_ORDER: list[type[DsyncError]] = [
    GapError,
    DataError,
    EndpointError,
    TransientError,
    DifferencesError,
    SetAsideError,
]


@pytest.mark.parametrize(
    ("stronger", "weaker"), list(itertools.combinations(IN_ORDER, 2)), ids=lambda kind: kind.__name__.lower()
)
def test_the_stronger_of_two_failures_decides_whichever_came_first(
    stronger: type[DsyncError], weaker: type[DsyncError]
) -> None:
    strong, weak = stronger("one"), weaker("other")
    assert decisive([strong, weak]) is strong
    assert decisive([weak, strong]) is strong


def test_the_first_of_equals_decides() -> None:
    first, second = GapError("one"), LimitError("other")
    assert decisive([first, second]) is first
