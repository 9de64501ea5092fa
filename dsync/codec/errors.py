"""What the codec refuses."""

from __future__ import annotations

from dsync.errors import DataError


class InvalidBson(DataError):
    """Bytes that are not one BSON document."""


class RecordError(DataError):
    """A record of a page cannot be converted. `index` is its place in the page, from 0; `reason` never quotes the record."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"record {index} of the page: {reason}")
        self.index = index
        self.reason = reason


class UnsoundRecord(ValueError):
    """Why a record cannot be converted; the page's loop adds the index and makes it a RecordError."""
