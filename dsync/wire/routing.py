"""A partition's header as metadata of its calls, by which a balancer finds the right server."""

from __future__ import annotations

import re

from dsync.errors import DataError

Metadata = tuple[tuple[str, str], ...]

NAME = re.compile(r"[0-9a-z_.-]{1,128}")
VALUE = re.compile(r"[\x20-\x7e]{1,4096}")
# What gRPC and dsync themselves say in headers.
RESERVED = re.compile(
    r"grpc-.*|dsync-.*|.*-bin|authorization|content-type|content-length|host|te|user-agent|connection"
)


def header(name: str, value: str) -> Metadata:
    """The metadata of a call for a partition; none where its value is empty.

    Raises DataError for what cannot be a header or would be another: the plan that says it is data from somewhere else.
    """
    if not value:
        return ()
    lower = name.lower()
    if not NAME.fullmatch(lower) or RESERVED.fullmatch(lower) or not VALUE.fullmatch(value):
        raise DataError(
            f"the source's plan asks for the metadata {name[:128]!r}, which a call cannot carry",
            remedy="mend the source: names of letters, digits, '-', '_' and '.', values of printable ASCII",
        )
    return ((lower, value),)
