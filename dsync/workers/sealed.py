"""A message as Dask carries it: bytes that nothing prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """Bytes for a named process on a worker. Dask logs the arguments of what fails: this shows neither bytes nor name."""

    name: str
    body: bytes = b""

    def __repr__(self) -> str:
        return "<message of dsync>"
