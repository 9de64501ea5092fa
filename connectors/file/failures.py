"""What failed calls of the file system mean to a person."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from dsync.errors import DsyncError, EndpointError, TransientError

# A network file system that is slow, restarts or hands files over; a system that is short of something for the moment.
_PASSING = frozenset(
    {errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.EINTR, errno.ENOMEM, errno.ENFILE, errno.EMFILE}
)
_REMEDIES = {
    errno.ENOSPC: "make room and run the same command again",
    errno.EDQUOT: "make room within the quota and run the same command again",
    errno.EACCES: "check the permissions",
    errno.EPERM: "check the permissions",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOENT: "check the path",
}


def of_os_error(error: OSError, path: str) -> DsyncError:
    """The error of a failed call, about its own file or about `path`."""
    where = error.filename if isinstance(error.filename, str) else path
    reason = (error.strerror or type(error).__name__).lower()
    message, remedy = f"{where!r} cannot be used: {reason}", _REMEDIES.get(error.errno or 0, "")
    return TransientError(message) if error.errno in _PASSING else EndpointError(message, remedy=remedy)


@contextlib.contextmanager
def os_errors_mapped(path: str) -> Iterator[None]:
    """Makes every OSError within one that says what to do."""
    try:
        yield
    except OSError as error:
        raise of_os_error(error, path) from error
