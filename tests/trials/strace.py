"""Runs dsync under strace, which kills it, or lets a call fail, at the N-th system call of a name."""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from tests.kit.cli import Dsync


@functools.cache
def missing() -> str:
    """Why strace cannot be used here; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False, timeout=30
    )
    return "" if tried.returncode == 0 else f"strace may not trace: {tried.stderr.decode(errors='replace').strip()}"


needed = pytest.mark.skipif(bool(missing()), reason=missing() or "strace works")


@dataclass(frozen=True)
class Injection:
    """What becomes of a system call: `what` is as strace writes it, such as `signal=SIGKILL` or `error=EIO`; `when` too."""

    call: str
    what: str
    when: str

    def __str__(self) -> str:
        return f"{self.call}:{self.what}:when={self.when}"

    def words(self, *arguments: str) -> list[str]:
        """The command line of a dsync in which it happens. Threads and processes are counted each for itself."""
        traced = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", f"trace={self.call}"]
        return [*traced, "-e", f"inject={self}", *Dsync.command(*arguments)]


def run(dsync: Dsync, injection: Injection, *arguments: str, timeout: float) -> subprocess.CompletedProcess[bytes]:
    """Runs to the end. A killed dsync ends strace by the same signal."""
    return subprocess.run(
        injection.words(*arguments),
        cwd=dsync.folder,
        env=dsync.variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
