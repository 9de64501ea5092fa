"""What can go wrong, grouped by what to do next.

DsyncError                  something failed for good                             exit 1  UNKNOWN
├── UsageError              change what was typed                                 exit 2  INVALID_ARGUMENT
├── EndpointError           mend the endpoint: address, credentials, rights       exit 3  PERMISSION_DENIED
├── TransientError          try again, the same call may succeed                  exit 5  UNAVAILABLE
├── UnimplementedError      the connector has no such method                      exit 1  UNIMPLEMENTED
├── NotFoundError           what was named is not there                           exit 1  NOT_FOUND
├── DataError               mend the data: a document, record or cell is refused  exit 1  FAILED_PRECONDITION
│   └── ConflictError       another document has a value that must be unique     exit 1  FAILED_PRECONDITION
├── CursorError             a cursor is not this connector's, or is outdated      exit 1  INVALID_ARGUMENT
├── GapError                a decision is needed: the position is lost            exit 7  OUT_OF_RANGE
├── LimitError              a decision is needed: a limit was reached             exit 7  ABORTED by choice
├── StateError              the state cannot be read or written                   exit 1  DATA_LOSS
├── DifferencesError        verification found differences                        exit 4
├── SetAsideError           finished, but documents were set aside                exit 6
├── HeldError               another run holds the flow                            exit 8
└── InterruptedRun          a signal ended the run                                exit 130 or 143
"""

from typing import ClassVar


class DsyncError(Exception):
    """A failure that is explained to the person at the keyboard.

    `message` is lower case, without a full stop, names the thing with `!r`; `remedy` says what to do. Neither ever holds a
    credential or a document's contents.
    """

    exit_status: ClassVar[int] = 1
    # The name of the gRPC status that carries this error over the wire.
    status: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


class UsageError(DsyncError):
    """What was typed cannot work, whatever the stores hold."""

    exit_status = 2
    status = "INVALID_ARGUMENT"


class EndpointError(DsyncError):
    """An endpoint cannot be reached or used: wrong address, credentials or rights."""

    exit_status = 3
    status = "PERMISSION_DENIED"


class TransientError(DsyncError):
    """The same call may succeed later; the engine tries again."""

    exit_status = 5
    status = "UNAVAILABLE"


class UnimplementedError(DsyncError):
    """The connector does not have this method."""

    status = "UNIMPLEMENTED"


class NotFoundError(DsyncError):
    """What was named is not there."""

    status = "NOT_FOUND"


class DataError(DsyncError):
    """A document, record or cell is refused; the message names its place, never its contents."""

    status = "FAILED_PRECONDITION"


class ConflictError(DataError):
    """A document has a value that another one there has, and that must be unique; a later change may set it free.

    The rest of the batch is written.
    """


class CursorError(DsyncError):
    """A cursor is garbage, another connector's, of another version, or of data that has changed since."""

    status = "INVALID_ARGUMENT"


class GapError(DsyncError):
    """A position is lost or an event is not understood: going on would lose changes."""

    exit_status = 7
    status = "OUT_OF_RANGE"


class LimitError(DsyncError):
    """A limit that protects the destination was reached."""

    exit_status = 7
    status = "FAILED_PRECONDITION"


class StateError(DsyncError):
    """The state is damaged, unreadable or of a newer version; it is left as it is."""

    status = "DATA_LOSS"


class DifferencesError(DsyncError):
    """Verification found differences."""

    exit_status = 4
    status = "FAILED_PRECONDITION"


class SetAsideError(DsyncError):
    """The run finished, but documents were set aside."""

    exit_status = 6
    status = "FAILED_PRECONDITION"


class HeldError(DsyncError):
    """Another run holds this flow."""

    exit_status = 8
    status = "FAILED_PRECONDITION"


class InterruptedRun(DsyncError):
    """A signal ended the run; the same command goes on."""

    status = "CANCELLED"

    def __init__(self, signal_number: int) -> None:
        super().__init__("interrupted", remedy="run the same command again to go on")
        self.signal_number = signal_number


# Of several failures, the first of these decides a run's exit status (semantics: endings).
PRECEDENCE = (7, 1, 2, 8, 3, 5, 4, 6)


def decisive(errors: list[DsyncError]) -> DsyncError:
    """The error that decides the exit status; the first of equals."""
    return min(errors, key=lambda error: PRECEDENCE.index(error.exit_status) if error.exit_status in PRECEDENCE else -1)
