"""Clients of other toolchains call every method: JavaScript from the .proto files, grpcio from reflection alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore
from dsync.wire.reflection import NEWER
from dsync.wire.server import serving
from tests.kit.cli import TOP
from tests.wire.served import raw_channel

JAVASCRIPT = Path(__file__).parent / "javascript"
NAMESPACE = "reflected.docs"
SECONDS = 60.0


def node() -> str:
    """The program. Skips the test where it or its packages are not there."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not on PATH")
    if not (JAVASCRIPT / "node_modules" / "@grpc").is_dir():
        pytest.skip("its packages are missing: npm install --no-save --prefix tests/wire/javascript")
    return found


async def test_a_client_in_javascript_calls_every_method_and_follows_streams() -> None:
    async with MemoryConnector(MemoryStore(), Shape(page_documents=10)) as store, serving(store, "127.0.0.1:0") as port:
        command = [node(), str(JAVASCRIPT / "client.js"), f"127.0.0.1:{port}", str(TOP / "proto")]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "id": "memory-memory",
        "finish": "OK",
        "definitions": ["UNIMPLEMENTED", "UNIMPLEMENTED"],
        "count": 25,
        "read": 25,
        "byIds": [14, 0],
        "change": {"namespace": "javascript.docs", "moves": True},
        "lsn": 27,
        "garbage": "INVALID_ARGUMENT",
    }


def test_the_script_in_javascript_names_every_method() -> None:
    script = (JAVASCRIPT / "client.js").read_text()
    proto = (TOP / "proto" / "adiom" / "v1" / "adiom.proto").read_text().partition("service TransformService")[0]
    methods = [line.split()[1].partition("(")[0] for line in proto.splitlines() if line.strip().startswith("rpc ")]
    assert len(methods) >= 12
    assert [method for method in methods if f'"{method}"' not in script] == []


class Reflected:
    """The service as a server describes it; nothing of it is known before."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.database)
        self.service = self.pool.FindServiceByName("adiom.v1.ConnectorService")
        self.called: set[str] = set()

    def message(self, name: str, **fields: Any) -> Any:
        return GetMessageClass(self.pool.FindMessageTypeByName(f"adiom.v1.{name}"))(**fields)

    def number(self, enum: str, name: str) -> int:
        return int(self.pool.FindEnumTypeByName(f"adiom.v1.{enum}").values_by_name[name].number)

    def call(self, name: str, **fields: Any) -> Any:
        """The answer; of a stream, an iterator."""
        self.called.add(name)
        method = self.service.methods_by_name[name]
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        request = GetMessageClass(method.input_type)(**fields)
        made: Any = make(f"/{self.service.full_name}/{name}", None, GetMessageClass(method.output_type).FromString)
        return made(request.SerializeToString(), timeout=SECONDS)

    def pages(self, partition: Any, data_type: int) -> Iterator[bytes]:
        cursor = b""
        while True:
            page = self.call("ListData", partition=partition, type=data_type, cursor=cursor)
            yield from page.data
            cursor = page.next_cursor
            if not cursor:
                return


async def test_a_client_that_knows_only_what_reflection_tells_calls_every_method() -> None:
    async with MemoryConnector(MemoryStore(), Shape(page_documents=10)) as store, serving(store, "127.0.0.1:0") as port:
        called, methods = await asyncio.to_thread(call_everything, port)
    assert called == methods
    assert len(methods) >= 12


def call_everything(port: int) -> tuple[set[str], set[str]]:
    """(methods that were called, methods that there are)."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        peer = Reflected(channel)
        assert "adiom.v1.ConnectorService" in peer.database.get_services()
        kind = peer.number("DataType", "DATA_TYPE_MONGO_BSON")
        assert kind in peer.call("GetInfo").capabilities.sink.supported_data_types
        before = peer.call("GeneratePlan", initial_sync=True, updates=True).updates_partitions[0]
        documents = [bson.encode({"_id": number}) for number in range(25)]
        peer.call("WriteData", namespace=NAMESPACE, data=documents, type=kind)
        identity = peer.message("BsonValue", data=(7).to_bytes(4, "little"), type=16)
        delete = peer.message("Update", id=[identity], type=peer.number("UpdateType", "UPDATE_TYPE_DELETE"))
        peer.call("WriteUpdates", namespace=NAMESPACE, updates=[delete], type=kind)
        peer.call("FinishNamespace", namespace=NAMESPACE, flow="reflected")
        for name in ("ReadDefinitions", "WriteDefinition"):
            with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
                peer.call(name)
        assert peer.call("GetNamespaceMetadata", namespace=NAMESPACE).count == 24
        plan = peer.call("GeneratePlan", namespaces=[NAMESPACE], initial_sync=True)
        found = [document for part in plan.partitions for document in peer.pages(part, kind)]
        assert sorted(found) == sorted(documents[:7] + documents[8:])
        ids = [peer.message("GetByIdsRequest.IdRequest", id=[identity])]
        assert [item.data for item in peer.call("GetByIds", namespace=NAMESPACE, ids=ids, type=kind).data] == [b""]
        stream = peer.call("StreamUpdates", namespaces=before.namespaces, type=kind, cursor=before.cursor)
        assert next(answer for answer in stream if answer.updates).namespace == NAMESPACE
        stream.cancel()
        counts = peer.call("StreamLSN", namespaces=before.namespaces, cursor=before.cursor)
        assert next(answer for answer in counts if answer.lsn).next_cursor
        counts.cancel()
        return peer.called, {method.name for method in peer.service.methods}


async def test_reflection_answers_under_its_newer_name_too() -> None:
    async with raw_channel(MemoryConnector(MemoryStore())) as channel:
        ask: Any = channel.stream_stream(
            f"/{NEWER}/ServerReflectionInfo", None, reflection_pb2.ServerReflectionResponse.FromString
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = ask(iter([request.SerializeToString()]))
        answer = await call.read()
    names = {service.name for service in answer.list_services_response.service}
    assert {"adiom.v1.ConnectorService", "grpc.health.v1.Health"} <= names


async def test_health_is_told_for_the_server_and_its_service() -> None:
    async with raw_channel(MemoryConnector(MemoryStore())) as channel:
        check: Any = channel.unary_unary(
            "/grpc.health.v1.Health/Check", None, health_pb2.HealthCheckResponse.FromString
        )
        for service in ("", "adiom.v1.ConnectorService"):
            answer = await check(health_pb2.HealthCheckRequest(service=service).SerializeToString())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await check(health_pb2.HealthCheckRequest(service="other").SerializeToString())
