"""`dsync serve python:…`: a function as a TransformService in another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bson
import grpc
import pytest

from dsync import wire
from dsync.endpoint import Endpoint
from dsync.errors import DataError, EndpointError, UsageError
from dsync.wire.gen.adiom.v1.adiom_pb2_grpc import ConnectorServiceStub, TransformServiceStub
from tests.kit import process
from tests.kit.cli import TOP, Dsync


@contextmanager
def served(folder: Path, name: str, port: int, *options: str) -> Iterator[int]:
    """A function of tests.transform.functions behind gRPC, in a process of its own."""
    log = folder / f"serve-{name}-{port}.log"
    uri = f"python:tests.transform.functions:{name}"
    command = Dsync.command("serve", "--address", f"127.0.0.1:{port}", *options, uri)
    running = process.start(command, log, Dsync(folder, {"PYTHONPATH": str(TOP)}).variables())
    try:
        process.wait_ready(running, log, lambda: process.listens(port))
        yield port
    finally:
        process.stop(running)


@pytest.fixture
def port() -> int:
    return process.free_port()


async def test_a_served_function_is_a_transform_for_dsync(tmp_path: Path, port: int) -> None:
    with served(tmp_path, "mark", port):
        async with Endpoint(f"grpc://127.0.0.1:{port}", {"insecure": True}).create_transform() as transform:
            info = await transform.GetTransformInfo(wire.GetTransformInfoRequest())
            assert info.use_multiple_responses
            assert wire.BSON in [each.request_type for each in info.transforms]
            answer = await transform.GetTransform(
                wire.GetTransformRequest(
                    namespace="a", data=[bson.encode({"_id": 1})], request_type=wire.BSON, response_type=wire.BSON
                )
            )
            assert bson.decode(answer.responses[0].data[0]) == {"_id": 1, "marked": True}


async def test_errors_of_a_served_function_are_of_the_same_kind(tmp_path: Path, port: int) -> None:
    with served(tmp_path, "no_answer", port):
        async with Endpoint(f"grpc://127.0.0.1:{port}", {"insecure": True}).create_transform() as transform:
            request = wire.GetTransformRequest(
                namespace="a", data=[bson.encode({"_id": 1})], request_type=wire.BSON, response_type=wire.BSON
            )
            with pytest.raises(DataError, match="it answered None") as refused:
                await transform.GetTransform(request)
            assert "set-aside" in refused.value.remedy


def test_a_plain_client_can_call_it_and_finds_no_connector_there(tmp_path: Path, port: int) -> None:
    with served(tmp_path, "keep", port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert TransformServiceStub(channel).GetTransformInfo(wire.GetTransformInfoRequest()).transforms
        with pytest.raises(grpc.RpcError) as refused:
            ConnectorServiceStub(channel).GetInfo(wire.GetInfoRequest())
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_it_asks_for_the_token(tmp_path: Path, port: int) -> None:
    with served(tmp_path, "keep", port, "--token", "sesame"):
        right = Endpoint(f"grpc://127.0.0.1:{port}", {"insecure": True, "token": "sesame"})
        async with right.create_transform() as transform:
            await transform.GetTransformInfo(wire.GetTransformInfoRequest())
        wrong = Endpoint(f"grpc://127.0.0.1:{port}", {"insecure": True, "token": "wrong"})
        with pytest.raises(EndpointError, match="the token is missing or wrong"):
            async with wrong.create_transform():
                pass


def test_a_store_is_no_transform_and_a_function_is_no_store() -> None:
    with pytest.raises(UsageError, match="is no transform"):
        Endpoint("/dev/null").create_transform()
