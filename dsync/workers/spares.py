"""Worker processes that stand ready: forks of this one, made before it has any thread, with all that it has imported.

A process that is started anew takes 0.15 s until it has imported as much, which is a tenth of a short copy.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from dsync.workers.cores import Moment
from dsync.workers.serving import work

# What the coordinator writes when a spare becomes a worker; descriptors come with it.
CALL = b"!"
MOST_INHERITED = 64
# On a machine of many cores the rest are started when they pay: each waiting one costs a millisecond or two.
MOST_SPARES = 3

_ready: list[Spare] = []


class Spare:
    """A process that waits to be called, and ends when the pair closes. Waits and is killed like one of `subprocess`."""

    def __init__(self) -> None:
        self.made = Moment.now()
        self.end, theirs = socket.socketpair()
        with theirs:
            # a fork has the ends of earlier spares too, which would keep those alive
            others = [self.end, *(spare.end for spare in _ready)]
            self._process = multiprocessing.get_context("fork").Process(
                target=_wait, args=(theirs, others), daemon=True
            )
            # Ctrl-C goes to every process of a terminal: to this one only when it has said that it does not care
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pid(self) -> int:
        """See subprocess.Popen."""
        assert self._process.pid is not None
        return self._process.pid

    def call(self, inherited: Sequence[int]) -> socket.socket:
        """Makes it a worker that holds these descriptors too; answers this side of the pair. Raises OSError where it is gone."""
        socket.send_fds(self.end, [CALL], list(inherited))
        return self.end

    def wait(self, timeout: float | None = None) -> int:
        """See subprocess.Popen."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return self._process.exitcode

    def kill(self) -> None:
        """See subprocess.Popen."""
        self._process.kill()


def stand_ready(count: int) -> None:
    """Makes so many spares, and not more than `MOST_SPARES`; none where a fork is not safe. Before anything else is begun."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return
    gc.freeze()  # what is imported stays; a look for garbage in it would make each fork's own copy of it
    while len(_ready) < min(count, MOST_SPARES):
        _ready.append(Spare())


def ready_since() -> Moment | None:
    """When the first of the spares that are left was made; None where there is none."""
    return _ready[0].made if _ready else None


def take() -> Spare | None:
    """A spare, which is the caller's then."""
    return _ready.pop() if _ready else None


def _wait(end: socket.socket, others: Sequence[socket.socket]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for other in others:
        other.close()
    # as in a process that is started anew
    logging.basicConfig(force=True, handlers=[])
    called, *_ = socket.recv_fds(end, len(CALL), MOST_INHERITED)
    if called:
        work(end)
