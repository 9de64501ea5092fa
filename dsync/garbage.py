"""How often the processes of dsync look for cycles of garbage."""

from __future__ import annotations

import gc

# Python's 700 new objects pass with every page of rows, and hardly any of them is ever part of a cycle: looking that often costs
# a tenth of a copy of CSV. A page holds thousands; what a few of them leave is found soon enough.
NEW_OBJECTS = 20_000
# A start makes a hundred thousand, of drivers mostly, and nearly all of them stay: each look at them would be for nothing.
START_OBJECTS = 1_000_000
# After which a start is over.
START_SECONDS = 0.5


def ignore_the_start() -> None:
    """For a process that is dsync's own, as its first act; a program that uses dsync as a library decides for itself."""
    gc.set_threshold(START_OBJECTS, *gc.get_threshold()[1:])


def collect_seldom() -> None:
    """For a process that is dsync's own, once it has imported what it needs: all that is there by now stays unlooked at."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


def leave_to_the_system() -> None:
    """For the very end of a process: Python would look through everything that is left, several times, for cycles that nobody
    misses any more: 0.1 s with boto3 loaded."""
    gc.freeze()
