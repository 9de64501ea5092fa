"""How busy this process and the machine's cores are."""

from __future__ import annotations

import os
import time
from pathlib import Path

from msgspec import Struct


class Moment(Struct, frozen=True):
    """Seconds so far: of the clock, of this process's CPU time, and idle ones of all cores together."""

    wall: float
    cpu: float
    idle: float

    @classmethod
    def now(cls) -> Moment:
        """This one."""
        return cls(time.monotonic(), time.process_time(), _idle_seconds())

    def is_busy(self, share: float) -> bool:
        """Whether this process has kept so much of a core busy since then."""
        return time.process_time() - self.cpu >= share * (time.monotonic() - self.wall)

    def has_idle(self, cores: float) -> bool:
        """Whether so many cores have been idle since then, on average."""
        return _idle_seconds() - self.idle >= cores * (time.monotonic() - self.wall)


def _idle_seconds() -> float:
    """Since boot; where the system does not tell, always enough."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return time.monotonic() * (os.cpu_count() or 1)
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
