"""Errors as gRPC statuses and back: one table for server and client.

A status code says to every peer what to do next. Between two dsyncs the error's class and remedy travel too, as trailing
metadata, so that nothing is lost on the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import grpc

from dsync import errors
from dsync.errors import DsyncError

KIND, REMEDY = "dsync-error", "dsync-remedy-bin"
# Of a message: statuses travel in a header of 8 KiB, and a peer's text goes to a terminal.
MOST_CHARACTERS = 1000
TOO_LARGE = re.compile(r"message.*(larger than|exceeds max)", re.IGNORECASE)
RESET = re.compile(r"RST_STREAM|stream removed|connection reset|socket closed", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")

BY_CODE: dict[grpc.StatusCode, type[DsyncError]] = {
    grpc.StatusCode.ABORTED: errors.TransientError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TransientError,
    grpc.StatusCode.UNAVAILABLE: errors.TransientError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.TransientError,
    # not by us: the server lets go of its calls when it ends
    grpc.StatusCode.CANCELLED: errors.TransientError,
    grpc.StatusCode.UNIMPLEMENTED: errors.UnimplementedError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.PERMISSION_DENIED: errors.EndpointError,
    grpc.StatusCode.UNAUTHENTICATED: errors.EndpointError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.DataError,
    grpc.StatusCode.DATA_LOSS: errors.DataError,
    grpc.StatusCode.OUT_OF_RANGE: errors.GapError,
}


def to_status(error: DsyncError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    """(code, message, trailing metadata) of an error."""
    code = grpc.StatusCode[error.status]
    return code, _plain(error.message), ((KIND, type(error).__name__), (REMEDY, _plain(error.remedy).encode()))


def to_error(failure: grpc.aio.AioRpcError) -> DsyncError:
    """The error of a failed call; of the class that the peer names, if it is one of ours that has the same code."""
    code = failure.code()
    metadata = dict(_pairs(failure.trailing_metadata()))
    message = _plain(failure.details() or code.name)
    remedy = _plain(_text(metadata.get(REMEDY, b"")))
    named = getattr(errors, _text(metadata.get(KIND, "")), None)
    kind = _kind_of(code, message)
    if isinstance(named, type) and issubclass(named, DsyncError) and grpc.StatusCode[named.status] is code:
        kind = named if named.__init__ is DsyncError.__init__ else kind
    return kind(message, remedy=remedy)


def _kind_of(code: grpc.StatusCode, message: str) -> type[DsyncError]:
    """By the code, but for what gRPC itself says: a message over the limit never fits, a reset connection may come back."""
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and TOO_LARGE.search(message):
        return errors.DataError
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN) and RESET.search(message):
        return errors.TransientError
    return BY_CODE.get(code, DsyncError)


def _pairs(metadata: object) -> Iterable[tuple[str, str | bytes]]:
    return metadata if isinstance(metadata, Iterable) else ()


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _plain(text: str) -> str:
    """One line without control characters, of bounded length."""
    return CONTROL.sub(" ", text)[:MOST_CHARACTERS]
