"""Every state keeps what was saved, each flow apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsync import wire
from dsync.state import Flow, open_state
from dsync.wire.gen.dsync.v1.flow_pb2 import Checkpoint, PlannedPartition, Position


def flow(name: str = "f") -> Flow:
    return Flow(id=name, name=name, source="s", destination="d", settings={"a": [1]}, batch={"bytes": 1})


def plan(count: int) -> list[PlannedPartition]:
    return [PlannedPartition(number=n, partition=wire.Partition(namespace="a", cursor=b"%d" % n)) for n in range(count)]


@pytest.fixture(params=["memory:", "file", "mongodb"])
def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "mongodb":
        uri, database = request.getfixturevalue("mongo_uri"), request.getfixturevalue("database")
        return str(uri).replace("/?", f"/{database}?")
    return "memory:" if request.param == "memory:" else str(tmp_path / "deep" / "state.db")


async def test_what_was_saved_is_read_again(metadata: str) -> None:
    async with open_state(metadata) as state:
        await state.lock("f")
        assert await state.flow("f") is None
        await state.begin(flow(), plan(3), [Position(number=0, cursor=b"p")])
        await state.save("f", {1: Checkpoint(cursor=b"c", read=7)})
        await state.save_positions("f", [Position(number=0, cursor=b"q", updates=3)])
        assert [p.checkpoint.read for p in await state.partitions("f")] == [0, 7, 0]
        assert [p.planned.partition.cursor for p in await state.partitions("f")] == [b"0", b"1", b"2"]
        assert [(p.cursor, p.updates) for p in await state.positions("f")] == [(b"q", 3)]
        assert await state.flow("f") == (await state.flows())[0]


async def test_a_flow_that_begins_again_forgets_its_old_plan(metadata: str) -> None:
    async with open_state(metadata) as state:
        await state.lock("f")
        await state.begin(flow(), plan(5), [Position(number=0), Position(number=1)])
        await state.begin(flow(), plan(2), [])
        assert len(await state.partitions("f")) == 2
        assert not await state.positions("f")


async def test_a_reset_forgets_one_flow_alone(metadata: str) -> None:
    async with open_state(metadata) as state:
        await state.lock("f")
        await state.lock("g")
        await state.begin(flow("f"), plan(2))
        await state.begin(flow("g"), plan(3))
        assert await state.reset("f")
        assert not await state.reset("f")
        assert await state.flow("f") is None
        assert len(await state.partitions("g")) == 3
