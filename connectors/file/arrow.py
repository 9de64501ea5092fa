"""pyarrow, which comes with an extra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dsync.errors import UsageError


@contextlib.contextmanager
def needed() -> Iterator[None]:
    """Around the import of pyarrow: raises UsageError with the remedy where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError("Parquet needs the package 'pyarrow'", remedy="pip install 'dsync[parquet]'") from error
