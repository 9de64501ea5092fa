"""Runs commands and says how long they took and how much memory all their processes held together at the most."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Run:
    """One run of a command."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Timing:
    """The runs of a command after its warm-up."""

    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        """The highest of all runs."""
        return max(run.peak_bytes for run in self.runs)


def repeat(command: Sequence[str], before: Callable[[], None], runs: int, warm_ups: int = 1) -> Timing:
    """Times a command several times; `before` clears what the last run wrote, untimed."""
    timed: list[Run] = []
    for number in range(runs + warm_ups):
        before()
        run = once(command)
        if number >= warm_ups:
            timed.append(run)
    return Timing(tuple(timed))


def once(command: Sequence[str]) -> Run:
    """Runs a command to its end. Raises RuntimeError with its output where it fails."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=_environment()
        )
        peak = _Peak(process.pid)
        status = process.wait()
        seconds = time.perf_counter() - start
        peak_bytes = peak.end()
        if status:
            out.seek(0)
            raise RuntimeError(
                f"{' '.join(command)} ended with {status}:\n{out.read()[-3000:].decode(errors='replace')}"
            )
    return Run(seconds, peak_bytes)


def _environment() -> dict[str, str]:
    """This process's, with compiled modules kept, as they are where dsync is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class _Peak:
    """Samples the memory of a process and all below it, each shared page counted once (PSS)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._done.set()
        self._thread.join()
        return self.peak_bytes

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.peak_bytes = max(self.peak_bytes, sum(map(_held_bytes, _family(self.pid))))


def _family(pid: int) -> list[int]:
    family, position = [pid], 0
    while position < len(family):
        try:
            for task in Path(f"/proc/{family[position]}/task").iterdir():
                family += map(int, (task / "children").read_text().split())
        except OSError:
            pass  # it has ended
        position += 1
    return family


def _held_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended
    return 0


def machine() -> dict[str, str | int]:
    """What the figures depend on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": pages,
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }
