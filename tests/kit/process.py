"""Server processes on free loopback ports that never outlive who started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
DIE_WITH_PARENT = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, {int(signal.SIGKILL)})
os.execvp(sys.argv[1], sys.argv[1:])
"""


class MissingServerError(RuntimeError):
    """A server that tests need cannot be found; a reason to skip, except in CI."""


def in_ci() -> bool:
    """Whether a missing server is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def free_port() -> int:
    """A loopback port that nobody listens on; somebody may take it before it is used, so starting is tried again."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def start(
    command: Sequence[str | Path], log: Path, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a process that the system kills when this one dies, however it dies; its output goes to `log`."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [*_dying_with_parent(), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def wait_ready(process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], seconds: float = 60) -> None:
    """Returns once `ready()` is true. Raises RuntimeError with the end of the log when the process ends first."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            stop(process)
            tail = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} did not become ready (exit status {process.returncode}):\n{tail}")
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Ends a process and waits for its end; one that has ended is left alone."""
    if process.poll() is None:
        process.send_signal(number)
    process.wait(60)


def listens(port: int) -> bool:
    """Whether somebody accepts connections at the loopback port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _dying_with_parent() -> Sequence[str]:
    """Words before a command. Not `preexec_fn`: it takes a fork, in which gRPC wakes threads that die of what is closed then."""
    return (sys.executable, "-ISc", DIE_WITH_PARENT) if sys.platform == "linux" else ()
