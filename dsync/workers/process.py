"""Steps in a process of their own, over a socket pair."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Sequence

from dsync.flow.ends import Assignment
from dsync.wire.gen.dsync.v1.flow_pb2 import Failure, Step, StepResult
from dsync.workers import frames, spares
from dsync.workers.grant import Grant
from dsync.workers.here import NotStarted, Report, WorkerDied
from dsync.workers.spares import Spare

# Seconds for a worker to end by itself after its pipe was closed.
END_SECONDS = 5.0


class Process:
    """A Worker in another process. It ends when the pair closes, so none outlives its coordinator."""

    def __init__(
        self, assignment: Assignment, inherited: Sequence[int] = (), *, folder: str | None = None, silent: bool = False
    ) -> None:
        """`folder` is where it runs, this process's own where None; a `silent` one prints nothing."""
        self.assignment = assignment
        self.inherited = inherited
        self.folder = folder
        self.silent = silent
        self.load = 0
        self._answers: dict[int, asyncio.Future[StepResult]] = {}
        self._reports: dict[int, Report] = {}
        self._number = frames.GREETING
        self._process: subprocess.Popen[bytes] | Spare | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self.dead = False

    async def start(self) -> None:
        """Starts it and waits until its ends are open. Raises WorkerDied where it ends before, NotStarted with its reason."""
        reader, self._writer = await frames.open_frames(self._called() or self._begun())
        self._writer.write(frames.pack(frames.GREETING, self.assignment.to_json()))
        try:
            _, refusal = await frames.receive(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.dead = True
            raise WorkerDied from None
        if refusal:
            self.dead = True
            raise NotStarted(Failure.FromString(refusal))
        self._listener = asyncio.create_task(self._listen(reader))

    def _called(self) -> socket.socket | None:
        """This side of the pair of a process that stood ready; None where there is none."""
        spare = spares.take() if self.folder is None and not self.silent else None
        if spare is None:
            return None
        self._process = spare
        try:
            return spare.call(self.inherited)
        except OSError:  # somebody has ended it
            return None

    def _begun(self) -> socket.socket:
        """The same of a new process."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dsync.workers", str(theirs.fileno())]
            # closing the pair ends it, so nobody needs to wait for a group or a signal
            kept = [theirs.fileno(), *self.inherited]
            # takes a millisecond; and a worker is ended by its pipe, not by what asyncio knows of processes
            self._process = subprocess.Popen(  # noqa: S603
                command,
                pass_fds=kept,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if self.silent else None,
                stderr=subprocess.DEVNULL if self.silent else None,
                cwd=self.folder,
            )
        return ours

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                number, body = await frames.receive(reader)
                self._take(number, StepResult.FromString(body))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.dead = True
            for answer in self._answers.values():
                answer.set_exception(WorkerDied())
            self._answers.clear()

    def _take(self, number: int, result: StepResult) -> None:
        if number not in self._answers:
            return  # whoever waited for it was cancelled
        if result.under_way:
            self._reports[number](result.checkpoint)
        else:
            self._answers.pop(number).set_result(result)

    def grant(self, grant: Grant) -> None:
        """Says until when it may write; a process that has heard of a grant once ends at the end of the last one."""
        if not self.dead and self._writer is not None:
            self._writer.write(frames.pack(frames.GREETING, grant.to_json()))

    def hand_over(self) -> None:
        """See Near."""
        if not self.dead and self._writer is not None:
            self._writer.write(frames.HAND_OVER)

    async def step(self, step: Step, report: Report) -> StepResult:
        """See Worker."""
        if self.dead or self._writer is None:
            raise WorkerDied
        self._number += 1
        number = self._number
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._reports[number] = report
        self._writer.write(frames.pack(number, step.SerializeToString()))
        try:
            result: StepResult = await answer
            return result
        finally:
            self._answers.pop(number, None)
            del self._reports[number]

    async def close(self) -> None:
        """See Worker; a worker that does not end by itself is killed."""
        self.dead = True
        if self._listener is not None:
            self._listener.cancel()
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        if self._process is not None:
            process, self._process = self._process, None
            await asyncio.to_thread(_reap, process)


def _reap(process: subprocess.Popen[bytes] | Spare) -> None:
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
