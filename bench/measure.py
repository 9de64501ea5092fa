"""Runs commands and says how long they took, on how much CPU, and how much memory all their processes held together."""

from __future__ import annotations

import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.05
# Of the time in which memory should not grow.
PARTS = 12


@dataclass(frozen=True)
class Run:
    """One run of a command. CPU is that of the command and its processes, not of servers; samples are (seconds, bytes)."""

    seconds: float
    cpu_seconds: float
    samples: tuple[tuple[float, int], ...]

    @property
    def peak_bytes(self) -> int:
        """The most that all processes held together."""
        return max((held for _, held in self.samples), default=0)

    @property
    def growth(self) -> tuple[float, float]:
        """Bytes a minute by which memory grew, and twice its standard error.

        The straight line through the medians of twelve parts of the time after the first third, at whose end every cache is full.
        What is under way comes and goes by megabytes for seconds, so that only a run of minutes can tell a slope of one a minute.
        """
        begin, length = self.seconds / 3, self.seconds * 2 / 3 / PARTS
        parts: dict[int, list[int]] = {}
        for at, held in self.samples:
            if at >= begin:
                parts.setdefault(int((at - begin) / length), []).append(held)
        points = [(number * length, statistics.median(held)) for number, held in parts.items()]
        if len(points) < PARTS:
            return 0.0, math.inf
        line = statistics.linear_regression(*zip(*points, strict=True))
        off = sum((held - line.slope * at - line.intercept) ** 2 for at, held in points) / (len(points) - 2)
        spread = statistics.variance([at for at, _ in points]) * (len(points) - 1)
        return 60 * line.slope, 2 * 60 * math.sqrt(off / spread)


@dataclass(frozen=True)
class Timing:
    """The runs of a command after its warm-up, in which alone memory was looked at: looking takes the time of a core."""

    warm_up: Run
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """The median."""
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def peak_bytes(self) -> int:
        """The most that the warm-up held."""
        return self.warm_up.peak_bytes


def repeat(command: Sequence[str], before: Callable[[], None], runs: int) -> Timing:
    """Times a command several times after a warm-up; `before` clears what the last run wrote, untimed."""
    return in_turn({"": command}, before, runs)[""]


def in_turn(
    commands: Mapping[str, Sequence[str]],
    before: Callable[[], None],
    runs: int,
    after: Callable[[str], None] = lambda name: None,
) -> dict[str, Timing]:
    """Times several commands one after the other, round after round, so that a busy moment of the machine hits all alike.

    `before` clears what the last run wrote; `after(name)` looks at what the warm-up of a command left. Neither is timed.
    """
    done: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(runs + 1):
        for name, command in commands.items():
            before()
            done[name].append(once(command, sampled=number == 0))
            if number == 0:
                after(name)
    return {name: Timing(warm_up, tuple(timed)) for name, (warm_up, *timed) in done.items()}


def once(command: Sequence[str], *, sampled: bool = True) -> Run:
    """Runs a command to its end, and looks at its memory meanwhile. Raises RuntimeError with its output where it fails."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=_environment()
        )
        memory = _Memory(process.pid, start) if sampled else None
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        samples = memory.end() if memory else ()
        if process.returncode:
            out.seek(0)
            said = out.read()[-3000:].decode(errors="replace")
            raise RuntimeError(f"{shlex.join(command)} ended with {process.returncode}:\n{said}")
    return Run(seconds, used.ru_utime + used.ru_stime, samples)


def _environment() -> dict[str, str]:
    """This process's, with compiled modules kept, as they are where dsync is installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class _Memory:
    """Samples the memory of a process and all below it, each shared page counted once (PSS)."""

    def __init__(self, pid: int, start: float) -> None:
        self.pid = pid
        self.start = start
        self.samples: list[tuple[float, int]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> tuple[tuple[float, int], ...]:
        self._done.set()
        self._thread.join()
        return tuple(self.samples)

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            held = sum(map(_held_bytes, _family(self.pid)))
            if held:
                self.samples.append((time.perf_counter() - self.start, held))


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


def machine() -> dict[str, str | float]:
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
        "busy": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }
