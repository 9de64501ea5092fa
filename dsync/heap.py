"""How much freed memory a process of dsync keeps for its next page."""

from __future__ import annotations

import sys

# Of mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 64 << 20
# Larger ones leave gaps that nothing else fits into: memory would grow for minutes until there are enough of them.
LARGEST_KEPT_BYTES = 4 << 20


def keep_freed() -> None:
    """For a process that is dsync's own, before it copies: pages of a megabyte come and go, and what the system takes back it
    gives again as zeros, page fault by page fault: a fifth of a reader's time. No more than on glibc, where it is known."""
    if sys.platform != "linux":
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
