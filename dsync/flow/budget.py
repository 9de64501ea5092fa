"""How much memory a run may take, and what follows from it."""

from __future__ import annotations

import os
from pathlib import Path

# Seen: a process with connectors open and nothing under way.
PROCESS_BYTES = 80 << 20
# Documents under way exist about this many times: page, request, driver, socket.
COPIES = 4
# More than this under way in a process brings nothing (measured with 32 copiers on a slow sink).
MOST_UNDER_WAY = 128 << 20
LEAST_UNDER_WAY = 4 << 20
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def default_memory_limit() -> int:
    """A quarter of the memory of the machine or of its cgroup, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *filter(None, map(_cgroup_limit, CGROUP_LIMITS))]) // 4


def memory_limit(asked: int | None) -> int:
    """What a run takes at the most: what was asked for, or the default."""
    return asked or default_memory_limit()


def _cgroup_limit(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def processes(memory_limit: int, asked: int | None) -> int:
    """How many processes may copy: as many as asked, by default the cores, as far as the memory goes."""
    wanted = asked or len(os.sched_getaffinity(0))
    return max(1, min(wanted, memory_limit // (PROCESS_BYTES + COPIES * LEAST_UNDER_WAY)))


def gauge_bytes(memory_limit: int, process_count: int) -> int:
    """The bytes of documents that may be under way in each process."""
    room = (memory_limit // process_count - PROCESS_BYTES) // COPIES
    return max(LEAST_UNDER_WAY, min(MOST_UNDER_WAY, room))
