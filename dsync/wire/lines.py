"""Documents as lines stay within a process: a peer's text has to be looked at before it is taken for sound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dsync import wire
from dsync.errors import UsageError


def without_lines(info: wire.GetInfoResponse) -> wire.GetInfoResponse:
    """The same without the word that lines are given or taken."""
    for name in ("source", "sink"):
        if info.capabilities.HasField(name):
            getattr(info.capabilities, name).lines = False
    return info


def told_without_lines(
    get_info: Callable[[wire.GetInfoRequest], Awaitable[wire.GetInfoResponse]],
) -> Callable[[wire.GetInfoRequest], Awaitable[wire.GetInfoResponse]]:
    """GetInfo as peers get it."""

    async def answer(request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        return without_lines(await get_info(request))

    return answer


def taking_no_lines(
    write_data: Callable[[wire.WriteDataRequest], Awaitable[wire.WriteDataResponse]],
) -> Callable[[wire.WriteDataRequest], Awaitable[wire.WriteDataResponse]]:
    """WriteData as peers may call it."""

    async def answer(request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        if request.lines or request.lines_count:
            raise UsageError("lines are not taken from other processes", remedy="send the documents in data")
        return await write_data(request)

    return answer
