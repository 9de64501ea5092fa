"""Reflection under both of its names: newer tools ask `grpc.reflection.v1`, older ones `v1alpha`; the messages are the same."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

NEWER = "grpc.reflection.v1.ServerReflection"


def reflection_handlers(services: Sequence[str]) -> list[grpc.GenericRpcHandler]:
    """Answers which services there are, and what their messages look like."""
    servicer = reflection.aio.ReflectionServicer([*services, reflection.SERVICE_NAME])
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
        for name in (reflection.SERVICE_NAME, NEWER)
    ]
