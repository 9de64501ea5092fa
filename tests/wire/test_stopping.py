"""A server that is asked to stop ends by itself, streams and all; asked twice, it ends at once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import grpc
import pytest

from dsync import wire
from dsync.testing import samples
from tests.kit.cli import Dsync
from tests.wire.served import SERVICE, in_another_process

END_SECONDS = 30
STREAM = ("/dev/fakesource", "--num-update-partitions-per-namespace", "1", "--stream-tick", "10")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_open_change_stream_does_not_keep_a_server(tmp_path: Path, number: signal.Signals) -> None:
    with in_another_process(Dsync(tmp_path), *STREAM) as (port, server):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            plan_of: Any = channel.unary_unary(SERVICE + "GeneratePlan", None, wire.GeneratePlanResponse.FromString)
            plan = await plan_of(wire.GeneratePlanRequest(updates=True).SerializeToString())
            own = plan.updates_partitions[0]
            request = wire.StreamUpdatesRequest(namespaces=own.namespaces, type=wire.BSON, cursor=own.cursor)
            stream: Any = channel.unary_stream(SERVICE + "StreamUpdates")
            call = stream(request.SerializeToString())
            assert await call.read()
            server.send_signal(number)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                while await call.read():
                    pass
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "the server is stopping" in (caught.value.details() or "")
        assert server.wait(END_SECONDS) == 0


async def test_a_call_under_way_is_answered_before_the_server_ends(tmp_path: Path) -> None:
    with in_another_process(Dsync(tmp_path), "/dev/null", "--sleep", "1000") as (port, server):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = await under_way(channel)
            server.send_signal(signal.SIGTERM)
            await call
        assert server.wait(END_SECONDS) == 0


async def test_a_second_signal_ends_a_server_at_once(tmp_path: Path) -> None:
    with in_another_process(Dsync(tmp_path), "/dev/null", "--sleep", "3600000") as (port, server):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = await under_way(channel)
            server.send_signal(signal.SIGTERM)
            log = tmp_path / "serve.log"
            while "stopping" not in log.read_text():
                assert server.poll() is None
            server.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError):
                await call
        assert server.wait(END_SECONDS) == 128 + signal.SIGTERM


async def under_way(channel: grpc.aio.Channel) -> Any:
    """A write that the server has begun: calls that were sent after it have been answered."""
    greet: Any = channel.unary_unary(SERVICE + "GetInfo")
    write: Any = channel.unary_unary(SERVICE + "WriteData")
    await greet(b"")
    request = wire.WriteDataRequest(namespace="a.docs", data=samples.documents(1), type=wire.BSON)
    call = write(request.SerializeToString())
    for _ in range(3):
        await greet(b"")
    assert not call.done()
    return call
