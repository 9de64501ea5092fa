"""dsync as its users run it: a process with arguments, an exit status and two streams."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    arguments: tuple[str, ...]
    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"dsync {' '.join(self.arguments)}\nexit status {self.status}\n{self.out}\n{self.err}"


@dataclass(frozen=True)
class Dsync:
    """Runs `dsync` in a folder, with a home and state of its own, which the runs of one test share."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, expect: int | None = 0, timeout: float = 120) -> Result:
        """Runs to the end. Raises AssertionError with all output when the exit status is another one."""
        words = tuple(map(str, arguments))
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        result = Result(words, done.returncode, done.stdout.decode(), done.stderr.decode())
        if expect is not None and result.status != expect:
            raise AssertionError(f"expected exit status {expect}:\n{result}")
        return result

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Starts it, for tests that interrupt; its streams are pipes."""
        return subprocess.Popen(
            self.command(*map(str, arguments)),
            cwd=self.folder,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    @staticmethod
    def command(*words: str) -> list[str]:
        """The words to run."""
        return [sys.executable, "-m", "dsync", *words]

    def variables(self) -> dict[str, str]:
        """The environment: this process's without anything of dsync's, with a home in the folder.

        Compiled modules are kept, as they are where dsync is installed: compiling takes longer than most commands.
        """
        left_out = ("DSYNC_", "XDG_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        path = os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")]))
        return kept | {"HOME": str(home), "PYTHONPATH": path, "COLUMNS": "120"} | self.environment
