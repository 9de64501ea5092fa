"""Python's stack: how deep a call lies does not matter to what it costs."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable

import pytest

from dsync.stack import with_room

CALLS = 1000
DEPTHS = range(1, 400)


def nothing() -> None:
    """A call, with a frame larger than that of `faults_at`, so that one of the depths has no place for it."""


nothing.__code__ = nothing.__code__.replace(co_stacksize=100)


def faults_at(depth: int) -> int:
    """How many pages the system gives for calls from so many frames below."""
    if depth:
        return faults_at(depth - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(CALLS):
        nothing()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def most_faults(run: Callable[[Callable[[], None]], None]) -> int:
    """The most at any depth."""
    found: list[int] = []
    run(lambda: found.extend(map(faults_at, DEPTHS)))
    assert len(found) == len(DEPTHS)
    return max(found)


@pytest.mark.skipif(sys.platform != "linux", reason="the system's count of page faults")
def test_no_depth_makes_calls_ask_the_system_for_memory() -> None:
    assert most_faults(with_room) < CALLS / 10


@pytest.mark.skipif(sys.platform != "linux" or sys.version_info[:2] != (3, 11), reason="as Python 3.11 does it")
def test_without_room_there_is_a_depth_that_does() -> None:
    assert most_faults(lambda call: call()) >= CALLS


def test_what_is_raised_comes_through() -> None:
    def fail() -> None:
        raise SystemExit(7)

    with pytest.raises(SystemExit) as caught:
        with_room(fail)
    assert caught.value.code == 7
