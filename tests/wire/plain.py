"""A peer that knows the plain contract and nothing else: its messages are made without whatever dsync adds to them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import bson
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from dsync.wire.gen.adiom.v1 import adiom_pb2, messages_pb2

FIRST_OWN_NUMBER = 100
METHODS = {"GetInfo", "GetNamespaceMetadata", "WriteData", "WriteUpdates", "GeneratePlan", "ListData", "GetByIds"}
METHODS |= {"StreamUpdates", "StreamLSN", "GetTransformInfo", "GetTransform"}
BSON, JSON_ID = 1, 2
INSERT, UPDATE, DELETE = 1, 2, 3
PAGE_DOCUMENTS = 10


def plain_pool() -> descriptor_pool.DescriptorPool:
    """The interface as others know it."""
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, messages_pb2, adiom_pb2):
        proto = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(proto)
        for message in proto.message_type:
            _strip(message)
        for kind in proto.enum_type:
            _keep(kind.value, lambda value: value.number < FIRST_OWN_NUMBER)
        for service in proto.service:
            _keep(service.method, lambda method: method.name in METHODS)
        pool.Add(proto)
    return pool


def _strip(message: descriptor_pb2.DescriptorProto) -> None:
    _keep(message.field, lambda each: each.number < FIRST_OWN_NUMBER)
    if not any(each.HasField("oneof_index") for each in message.field):
        del message.oneof_decl[:]
    for inner in message.nested_type:
        _strip(inner)


def _keep(items: Any, wanted: Callable[[Any], bool]) -> None:
    kept = [each for each in items if wanted(each)]
    del items[:]
    items.extend(kept)


POOL = plain_pool()
SERVICE = POOL.FindServiceByName("adiom.v1.ConnectorService")


def message(name: str, **fields: Any) -> Any:
    """A message of the plain contract."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"adiom.v1.{name}"))(**fields)


def key_of(document: bytes, kind: int) -> str:
    """What a document is known by."""
    return repr(bson.decode(document)["_id"] if kind == BSON else json.loads(document)["id"])


def update(kind: int, number: int, text: str = "") -> Any:
    """A change of the document with this number as its id, whose name is left out."""
    data = b"" if kind == DELETE else bson.encode({"_id": number, "text": text})
    identity = message("BsonValue", data=number.to_bytes(4, "little"), type=16)
    return message("Update", id=[identity], type=kind, data=data)


@dataclass
class PlainPeer:
    """A store in memory behind the plain service: one namespace at a time, one partition each, documents by their ids."""

    documents: dict[str, dict[str, bytes]] = field(default_factory=dict)
    kind: int = BSON
    streams: bool = True
    takes_updates: bool = True
    log: list[tuple[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def load(self, namespace: str, count: int) -> None:
        """Puts BSON documents there."""
        for number in range(count):
            data = bson.encode({"_id": number, "text": f"document {number}"})
            self.documents.setdefault(namespace, {})[key_of(data, BSON)] = data

    def change(self, namespace: str, one: Any) -> None:
        """Applies a change and logs it."""
        self._apply(namespace, one)
        self.log.append((namespace, one))
        self.changed.set()
        self.changed = asyncio.Event()

    def _apply(self, namespace: str, one: Any) -> None:
        held = self.documents.setdefault(namespace, {})
        if one.type == DELETE:
            held.pop(repr(bson.decode(_element(one.id[0]))["_id"]), None)
        else:
            held[key_of(one.data, self.kind)] = one.data

    async def GetInfo(self, request: Any) -> Any:
        types = [self.kind]
        source = message("Capabilities.Source", supported_data_types=types, get_by_ids=True)
        sink = message("Capabilities.Sink", supported_data_types=types)
        return message("GetInfoResponse", id="plain", capabilities=message("Capabilities", source=source, sink=sink))

    async def GetNamespaceMetadata(self, request: Any) -> Any:
        return message("GetNamespaceMetadataResponse", count=len(self.documents.get(request.namespace, {})))

    async def GeneratePlan(self, request: Any) -> Any:
        if len(request.namespaces) != 1:
            raise ValueError("one namespace at a time")
        plan = message("GeneratePlanResponse")
        if request.initial_sync:
            plan.partitions.add(namespace=request.namespaces[0], cursor=b"all")
        if request.updates and self.streams:
            plan.updates_partitions.add(namespaces=request.namespaces, cursor=b"%d" % len(self.log))
        return plan

    async def ListData(self, request: Any) -> Any:
        documents = list(self.documents.get(request.partition.namespace, {}).values())
        at = int(request.cursor or b"0")
        end = at + PAGE_DOCUMENTS
        return message(
            "ListDataResponse", data=documents[at:end], next_cursor=b"%d" % end if end < len(documents) else b""
        )

    async def WriteData(self, request: Any) -> Any:
        held = self.documents.setdefault(request.namespace, {})
        held.update({key_of(data, request.type): data for data in request.data})
        return message("WriteDataResponse")

    async def WriteUpdates(self, request: Any) -> Any:
        for one in request.updates:
            self._apply(request.namespace, one)
        return message("WriteUpdatesResponse")

    async def GetByIds(self, request: Any) -> Any:
        held = self.documents.get(request.namespace, {})
        found = [held.get(repr(bson.decode(_element(each.id[0]))["_id"]), b"") for each in request.ids]
        return message("GetByIdsResponse", data=[message("GetByIdsResponse.ResponseItem", data=each) for each in found])

    async def StreamUpdates(self, request: Any) -> AsyncIterator[Any]:
        at = int(request.cursor)
        while True:
            changed = self.changed
            for namespace, one in self.log[at:]:
                at += 1
                cursor = b"%d" % at
                yield message("StreamUpdatesResponse", updates=[one], namespace=namespace, next_cursor=cursor)
            await changed.wait()


def _element(value: Any) -> bytes:
    body: bytes = bytes([value.type]) + b"_id\0" + value.data
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


@asynccontextmanager
async def plain_server(peer: PlainPeer) -> AsyncIterator[int]:
    """The peer's service on loopback: its port. Methods that it lacks are not there at all."""
    left_out = {"StreamLSN"} | ({"StreamUpdates"} if not peer.streams else set())
    left_out |= {"WriteUpdates"} if not peer.takes_updates else set()
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in SERVICE.methods:
        if method.name not in left_out:
            handlers[method.name] = _handler(peer, method)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def _handler(peer: PlainPeer, method: Any) -> grpc.RpcMethodHandler[Any, Any]:
    call: Callable[[Any], Any] = getattr(peer, method.name)
    kind = message_factory.GetMessageClass(method.input_type)

    async def unary(request: Any, context: Any) -> Any:
        answer: Awaitable[Any] = call(request)
        return await answer

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in call(request):
            yield answer

    def serialize(answer: Any) -> bytes:
        data: bytes = answer.SerializeToString()
        return data

    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(stream, kind.FromString, serialize)
    return grpc.unary_unary_rpc_method_handler(unary, kind.FromString, serialize)
