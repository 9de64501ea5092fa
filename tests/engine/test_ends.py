"""Both ends are opened side by side, or none is."""

from __future__ import annotations

import asyncio

import pytest

from dsync.connector import Connector
from dsync.errors import EndpointError
from dsync.flow.ends import opened_together


class Door(Connector):
    """Opens when it is let, or not at all."""

    def __init__(self, *, refuses: str = "") -> None:
        self.knocked, self.let = asyncio.Event(), asyncio.Event()
        self.refuses = refuses
        self.closed = 0

    async def open(self) -> None:
        self.knocked.set()
        await self.let.wait()
        if self.refuses:
            raise EndpointError(self.refuses)

    async def close(self) -> None:
        self.closed += 1


async def test_ends_are_opened_side_by_side_and_come_in_their_order() -> None:
    one, other = Door(), Door()
    opening = asyncio.create_task(entered(one, other))
    await asyncio.wait_for(asyncio.gather(one.knocked.wait(), other.knocked.wait()), 30)
    other.let.set()
    await asyncio.sleep(0)
    one.let.set()
    assert await opening == [one, other]
    assert (one.closed, other.closed) == (1, 1)


async def entered(*doors: Door) -> list[Connector]:
    async with opened_together(*doors) as opened:
        assert not any(door.closed for door in doors)
        return list(opened)


async def test_one_that_cannot_be_opened_ends_the_wait_for_the_other() -> None:
    one, other = Door(), Door(refuses="no")
    other.let.set()
    with pytest.raises(EndpointError, match="no"):
        await asyncio.wait_for(entered(one, other), 30)
    assert (one.closed, other.closed) == (1, 1)


async def test_where_none_can_be_opened_the_first_says_why() -> None:
    one, other = Door(refuses="one"), Door(refuses="other")
    one.let.set()
    other.let.set()
    with pytest.raises(EndpointError, match="one"):
        await asyncio.wait_for(entered(one, other), 30)


async def test_who_stops_waiting_leaves_nothing_open() -> None:
    one, other = Door(), Door()
    one.let.set()
    opening = asyncio.create_task(entered(one, other))
    await asyncio.wait_for(other.knocked.wait(), 30)
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert (one.closed, other.closed) == (1, 1)
