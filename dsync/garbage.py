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
