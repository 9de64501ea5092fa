"""Steps in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dsync.connector import Connector
from dsync.errors import DsyncError
from dsync.flow.gauge import Gauge
from dsync.flow.step import Read, StepFailed, StepSettings, Unadmitted, read_batch, run_step
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, Failure, Step, StepResult

Report = Callable[[Checkpoint], None]


class Worker(Protocol):
    """Somewhere steps run, many at a time."""

    # Copiers that hand their steps to this worker.
    load: int

    async def step(self, step: Step, report: Report) -> StepResult:
        """What the step came to; `report` hears of each checkpoint on the way.

        Raises WorkerDied where the worker is gone: the step may have been done, and can be done again.
        """

    async def close(self) -> None:
        """Ends the worker; repeatable."""


class Near(Worker, Protocol):
    """A worker on this machine."""

    def hand_over(self) -> None:
        """Ends the steps under way with their next batch, so that copiers can go to workers with less to do."""


class Crew(Protocol):
    """The workers of a run, as copiers see them: each takes one, keeps to it, and lets go of it."""

    async def join(self) -> Worker:
        """The worker for one more copier, when there is room for it. Raises DsyncError where no worker can be had."""

    def leave(self, worker: Worker) -> None:
        """A copier has ended."""

    def balance(self, worker: Worker) -> Worker:
        """The same worker, or another one that has less to do."""

    async def replace(self, worker: Worker) -> Worker:
        """Another worker for a copier whose worker died, once it is sure that nothing of that one writes any more."""


class WorkerDied(Exception):
    """A worker process ended while it had steps."""


class NotStarted(WorkerDied):
    """A worker process could not open its ends; says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class Here:
    """A Worker in the coordinator's own process and event loop."""

    def __init__(
        self, source: Connector, sink: Connector, settings: StepSettings, gauge: Gauge, read: Read = read_batch
    ) -> None:
        self.source = source
        self.sink = sink
        self.settings = settings
        self.gauge = gauge
        self.read = read
        self.load = 0
        self._handed_over = 0

    def hand_over(self) -> None:
        """See Near."""
        self._handed_over += 1

    async def step(self, step: Step, report: Report) -> StepResult:
        """See Worker."""
        began = self._handed_over

        def cut() -> bool:
            return self._handed_over > began

        try:
            reached = await run_step(self.source, self.sink, self.settings, self.gauge, step, report, self.read, cut)
        except StepFailed as failed:
            if isinstance(failed.__cause__, Unadmitted):
                return StepResult(checkpoint=failed.reached, unadmitted=failed.__cause__.names)
            failure = to_failure(failed.__cause__)
            return StepResult(checkpoint=failed.reached, failure=failure, wrote_beyond=failed.wrote_beyond)
        return StepResult(checkpoint=reached)

    async def close(self) -> None:
        """The ends belong to whoever opened them."""


def to_failure(error: BaseException | None) -> Failure:
    """The error as it travels between processes."""
    if isinstance(error, DsyncError):
        return Failure(kind=type(error).__name__, message=error.message, remedy=error.remedy)
    # what an unknown error says may hold documents: its name has to do
    return Failure(
        kind="DsyncError", message=f"a defect: {type(error).__name__}", remedy="see --verbosity DEBUG, and report it"
    )


def to_error(failure: Failure) -> DsyncError:
    """The inverse of `to_failure`: an error of the same class where dsync.errors has it, else of its nearest base there."""
    from dsync import errors

    kind = getattr(errors, failure.kind, DsyncError)
    error = DsyncError(failure.message, remedy=failure.remedy)
    if isinstance(kind, type) and issubclass(kind, DsyncError) and kind.__init__ is DsyncError.__init__:
        error = kind(failure.message, remedy=failure.remedy)
    return error
