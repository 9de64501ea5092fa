"""What a worker on another machine may do, and until when."""

from __future__ import annotations

import json
import os
import signal
import time

from msgspec import Struct
from msgspec.structs import asdict

# One clock may run so much faster than another one (NTP slews by 0.05 % at the most).
DRIFT = 1.01
# The exit status of a process that hears of a grant after its end.
ENDED_BEFORE = 1


class Grant(Struct, frozen=True):
    """Leave to write until a time of the worker's own monotonic clock, with this much under way, this fast.

    The time comes from a reading of that clock, taken before the coordinator sent the grant: however long it was on its way, it
    ends no later than the coordinator reckons with.
    """

    until: float
    gauge_bytes: int
    # 0: no limit.
    documents_per_second: float = 0.0

    def to_json(self) -> bytes:
        """The grant as it travels."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Grant:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


def end_at(until: float) -> None:
    """Has the system end this process at a time of the monotonic clock, in place of any earlier word; at once where it is past.

    The system's timer needs no thread of ours to run: a process that is busy, stuck or stopped ends before it does anything
    more.
    """
    left = until - time.monotonic()
    if left <= 0:
        os._exit(ENDED_BEFORE)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, left)
