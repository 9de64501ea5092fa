"""How often the processes of dsync look for cycles of garbage."""

from __future__ import annotations

import gc

# Python's 700 new objects pass with every page of rows, and hardly any of them is ever part of a cycle: looking that often costs
# a tenth of a copy of CSV, and a sixth of the start. A page holds thousands; what a few of them leave is found soon enough.
NEW_OBJECTS = 20_000


def collect_seldom() -> None:
    """For a process that is dsync's own; a program that uses dsync as a library decides for itself."""
    _, middle, oldest = gc.get_threshold()
    gc.set_threshold(NEW_OBJECTS, middle, oldest)


def leave_to_the_system() -> None:
    """For the very end of a process: Python would look through everything that is left, several times, for cycles that nobody
    misses any more: 0.1 s with boto3 loaded."""
    gc.freeze()
