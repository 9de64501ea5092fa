"""Errors keep their kind, message and remedy over the wire; what others send is taken for what its code says, and made safe."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc.aio import Metadata

from dsync import errors, wire
from dsync.connector import Connector
from dsync.errors import DsyncError
from dsync.testing.samples import CANARY
from dsync.testing.subject import first
from dsync.wire.status import MOST_CHARACTERS, to_error
from tests.wire.served import raw_channel, served

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, DsyncError) and kind.__init__ is DsyncError.__init__
]


class Failing(Connector):
    """Fails as it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        return wire.GetInfoResponse(id="failing")

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        raise self.error

    async def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        yield wire.StreamUpdatesResponse()
        raise self.error


def failed(code: grpc.StatusCode, details: str = "", **metadata: str | bytes) -> DsyncError:
    """What a call is that ended so."""
    trailing = Metadata(*((name.replace("_", "-"), value) for name, value in metadata.items()))
    return to_error(grpc.aio.AioRpcError(code, Metadata(), trailing, details))


@pytest.mark.parametrize("kind", KINDS)
async def test_every_error_comes_over_as_it_is(kind: type[DsyncError]) -> None:
    async with served(Failing(kind("'näme' is not there", remedy="write another"))) as client:
        for call in (client.ListData(wire.ListDataRequest()), _second(client)):
            with pytest.raises(kind) as caught:
                await call
            assert type(caught.value) is kind
            assert (caught.value.message, caught.value.remedy) == ("'näme' is not there", "write another")


async def _second(client: Connector) -> None:
    async for _ in client.StreamUpdates(wire.StreamUpdatesRequest()):
        pass


async def test_a_defect_is_told_without_what_it_holds() -> None:
    async with served(Failing(RuntimeError(f"document {CANARY}"))) as client:
        with pytest.raises(DsyncError, match="a defect of the server: RuntimeError") as caught:
            await client.ListData(wire.ListDataRequest())
    assert CANARY not in repr(caught.value)


async def test_nothing_of_a_defect_is_in_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    async with raw_channel(Failing(ValueError(CANARY))) as channel:
        call: Any = channel.unary_unary("/adiom.v1.ConnectorService/ListData")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
    sent = repr((caught.value.details(), caught.value.trailing_metadata(), caught.value.debug_error_string()))
    assert CANARY not in sent
    assert CANARY not in caplog.text


@pytest.mark.parametrize("name", ["ABORTED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"])
def test_what_may_be_tried_again_is(name: str) -> None:
    assert type(failed(grpc.StatusCode[name])) is errors.TransientError


def test_every_other_status_is_final() -> None:
    transient = {"ABORTED", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "OK"}
    for code in grpc.StatusCode:
        if code.name not in transient:
            assert not isinstance(failed(code), errors.TransientError), code
    assert type(failed(grpc.StatusCode.UNIMPLEMENTED)) is errors.UnimplementedError
    assert failed(grpc.StatusCode.UNAUTHENTICATED).exit_status == 3


def test_what_grpc_itself_says_of_sizes_and_resets_counts_more_than_its_code() -> None:
    too_large = failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (70000000 vs. 67108864)")
    assert type(too_large) is errors.DataError
    reset = failed(grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2")
    assert type(reset) is errors.TransientError


@pytest.mark.parametrize("name", ["InterruptedRun", "ClassVar", "__name__", "decisive", "nothing", "GapError", ""])
def test_a_kind_that_a_peer_may_not_choose_is_ignored(name: str) -> None:
    assert type(failed(grpc.StatusCode.NOT_FOUND, "x", dsync_error=name)) is errors.NotFoundError


def test_a_peers_text_cannot_do_anything_to_a_terminal() -> None:
    error = failed(grpc.StatusCode.NOT_FOUND, "red \x1b[31m\r\n\x07" + "x" * 5000, dsync_remedy_bin=b"\x1b[0m\xff")
    assert len(error.message) == MOST_CHARACTERS
    assert not any(ord(each) < 32 for each in str(error))


async def test_a_stream_tells_what_it_failed_with_after_what_it_sent() -> None:
    async with served(Failing(errors.GapError("the position is lost"))) as client:
        assert await first(client.StreamUpdates(wire.StreamUpdatesRequest())) == wire.StreamUpdatesResponse()
