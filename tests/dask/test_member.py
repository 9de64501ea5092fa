"""What the coordinator knows of a worker: ready, lost, surely ended. The connection is a fake, the processes are real."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from msgspec import structs

from dsync.engine import DaskEngine
from dsync.errors import EndpointError, TransientError
from dsync.flow.ends import Assignment
from dsync.wire.gen.dsync.v1.flow_pb2 import Step
from dsync.workers import hosted
from dsync.workers.cipher import Cipher, Half
from dsync.workers.cluster import Cluster
from dsync.workers.grant import Grant
from dsync.workers.ground import Ground
from dsync.workers.here import WorkerDied
from dsync.workers.link import Call, Link, Unreachable
from dsync.workers.member import Job, Member
from dsync.workers.sealed import Sealed
from dsync.workers.shares import Shares
from tests.engine.test_workers import assignment, ignore, partition

ENGINE = DaskEngine("tcp://nowhere:1", lease=2.0, wait=0.5)


class FakeLink(Link):
    """A cluster in this process: calls reach `hosted` by themselves; workers can be cut off."""

    def __init__(self, workers: dict[str, int]) -> None:
        super().__init__(ENGINE)
        self.found = workers
        self.cut: set[str] = set()
        self.calls: list[str] = []

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def workers(self) -> dict[str, int]:
        return dict(self.found)

    async def call(self, function: Call, address: str, message: Sealed, seconds: float) -> Sealed:
        self.calls.append(function.__name__)
        if address in self.cut:
            raise Unreachable("cut off")
        return await function(message)

    async def step(self, address: str, message: Sealed) -> Sealed:
        return await hosted.take_step(message)


def job(link: FakeLink, given: Assignment, **changes: Any) -> Job:
    ground = Ground.of((given.source, given.destination), "", "", "")
    return structs.replace(Job(link, given, ground, Shares(None, 0, None), ENGINE.lease, lambda: None), **changes)


def member(link: FakeLink, **changes: Any) -> Member:
    return Member(job(link, assignment(sleep=100.0), **changes), "w", 2, lambda _: (1, 1))


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    yield
    for each in list(hosted._HOSTED.values()):
        await each.end()
    hosted._HOSTED.clear()


async def test_a_member_takes_steps_and_ends_at_once_when_it_is_told_to() -> None:
    link = FakeLink({"w": 2})
    worker = member(link)
    await worker.enlist()
    result = await worker.step(Step(planned=await partition()), ignore)
    assert result.checkpoint.read
    before = time.monotonic()
    await worker.end()
    assert worker.over.is_set()
    assert time.monotonic() < before + ENGINE.lease
    with pytest.raises(WorkerDied):
        await worker.step(Step(), ignore)


async def test_a_member_that_is_cut_off_is_over_only_when_its_grant_has_ended() -> None:
    link = FakeLink({"w": 2})
    worker = member(link)
    await worker.enlist()
    (process,) = (each.process for each in hosted._HOSTED.values())
    link.cut.add("w")
    await worker.keep()
    assert not worker.ready
    await worker.end()
    assert process._process is not None or process.dead
    with pytest.raises(WorkerDied):  # not for want of the coordinator's word: nobody told it to end
        await process.step(Step(planned=await partition()), ignore)


async def test_a_worker_at_the_same_address_that_never_had_the_process_is_no_proof_of_its_end() -> None:
    link = FakeLink({"w": 2})
    worker = member(link)
    await worker.enlist()
    before = time.monotonic()
    kept = hosted._HOSTED.copy()
    hosted._HOSTED.clear()
    await worker.end()
    assert time.monotonic() - before > ENGINE.lease / 3, "it was waited out"
    hosted._HOSTED.update(kept)


async def test_a_process_that_ended_by_itself_is_noticed_by_the_next_word() -> None:
    link = FakeLink({"w": 2})
    worker = member(link)
    await worker.enlist()
    (process,) = (each.process for each in hosted._HOSTED.values())
    assert process._process is not None
    process._process.kill()
    await worker.keep()
    await worker.end()
    assert link.calls[-1] == "end"


async def test_a_grant_never_outlives_the_hold_on_the_flow() -> None:
    link = FakeLink({"w": 2})
    end = time.monotonic() + 30
    worker = member(link, valid_until=lambda: end, lease=600.0)
    await worker.enlist()
    grant = next(iter(hosted._HOSTED.values()))._grant
    assert grant.until <= end  # the clocks are one here
    await worker.end()


async def test_a_process_that_hears_nothing_after_its_beginning_is_ended_by_its_host() -> None:
    one = hosted.Hosted("x", assignment(), "/nowhere", Grant(time.monotonic() + 0.3, 1 << 20), Cipher(bytes(32)))
    hosted._HOSTED["x"] = one
    while one._ending is None:
        await asyncio.sleep(0.02)
    await one._ending
    assert (
        json.loads((await hosted.renew(Sealed("x", Grant(time.monotonic() + 9, 1).to_json()))).body)["stage"] == "gone"
    )


async def test_workers_share_a_limit_on_the_rate() -> None:
    link = FakeLink({"a": 1, "b": 1})
    shares = Shares(None, 1000, None)
    async with Cluster(ENGINE, job(link, assignment(), shares=shares), 0, asyncio.Event()) as cluster:
        first, second = await cluster.join(), await cluster.join()
        assert first is not second
        assert sorted(shares._granted.values()) == [500, 500]
        assert {each._grant.documents_per_second for each in hosted._HOSTED.values()} == {500}


async def test_a_worker_that_joins_gets_copiers_and_one_that_leaves_gives_them_up() -> None:
    link = FakeLink({"a": 2})
    async with Cluster(ENGINE, job(link, assignment()), 0, asyncio.Event()) as cluster:
        first, second = await cluster.join(), await cluster.join()
        assert first is second
        third = asyncio.create_task(cluster.join())
        link.found["b"] = 2
        assert (await asyncio.wait_for(third, 30)) is not first
        cluster.leave(await third)
        assert cluster.balance(first) is await third
        del link.found["a"]
        link.cut.add("a")
        assert isinstance(second, Member)
        await asyncio.wait_for(second.lost.wait(), 30)
        assert (await asyncio.wait_for(cluster.replace(second), 30)) is await third
        assert second.over.is_set()


async def test_ends_that_a_worker_cannot_open_end_the_run_with_their_reason_and_its_name() -> None:
    wrong = structs.replace(
        assignment(), source=replace(assignment().source, uri="grpc://127.0.0.1:1", options={"insecure": True})
    )
    with pytest.raises(EndpointError, match="the Dask worker w cannot take part: "):
        async with Cluster(ENGINE, job(FakeLink({"w": 1}), wrong), 0, asyncio.Event()):
            pass


async def test_when_no_worker_is_left_the_copiers_are_told_after_the_wait() -> None:
    link = FakeLink({"w": 1})
    async with Cluster(ENGINE, job(link, assignment()), 0, asyncio.Event()) as cluster:
        worker = await cluster.join()
        link.found.clear()
        with pytest.raises(TransientError, match="has no workers any more"):
            await asyncio.wait_for(cluster.replace(worker), 30)


async def test_a_stop_ends_the_wait_for_a_first_worker() -> None:
    stop = asyncio.Event()
    link = FakeLink({})
    cluster = Cluster(structs.replace(ENGINE, wait=3600), job(link, assignment()), 0, stop)
    asyncio.get_running_loop().call_later(0.1, stop.set)
    async with asyncio.timeout(30), cluster:
        pass
    assert cluster.ended


async def test_dead_letters_of_each_process_are_in_a_file_of_their_own() -> None:
    given = assignment()
    given = structs.replace(given, wrapping=structs.replace(given.wrapping, dead_letters="/x/letters"))
    names = {
        Member(job(FakeLink({}), given), "w", 1, lambda _: (1, 1))._assignment()["wrapping"]["dead_letters"]
        for _ in "ab"
    }
    assert len(names) == 2
    assert all(name.startswith("/x/letters.") for name in names)


def test_what_dask_might_print_of_a_message_shows_nothing_of_it() -> None:
    message = Sealed("name", b"canary")
    assert "canary" not in f"{message!r} {message} {(message,)!r}"


def test_two_halves_come_to_one_cipher_and_others_to_none() -> None:
    ours, theirs = Half(), Half()
    closed = ours.agree(theirs.public).close(b"canary")
    assert b"canary" not in closed
    assert theirs.agree(ours.public).open(closed) == b"canary"
    with pytest.raises(InvalidTag):
        Half().agree(ours.public).open(closed)
