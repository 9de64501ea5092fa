"""A connector or transform behind gRPC, for programs in any language."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from msgspec import Struct, field

from dsync.connector import Connector
from dsync.errors import EndpointError
from dsync.transform import Transform
from dsync.wire.guard import Guard
from dsync.wire.handlers import handlers_of
from dsync.wire.limits import MESSAGE_SIZES, MOST_CALLS, PAGE_BYTES
from dsync.wire.reflection import reflection_handlers
from dsync.wire.services import service_of

# Seconds that calls get to end after a stop was asked for.
GRACE_SECONDS = 5.0


class ServerSettings(Struct, frozen=True):
    """How a server serves."""

    guard: Guard = field(default_factory=Guard)
    # Compress answers. Requests may be compressed in any case.
    gzip: bool = False
    # About so much is in an answer of ListData.
    page_bytes: int = PAGE_BYTES
    # Calls at once, streams among them; of one connection the next ones wait, of several they are told to try again.
    most_calls: int = MOST_CALLS

    def options(self) -> tuple[tuple[str, int], ...]:
        """Settings of gRPC's own."""
        return (
            *MESSAGE_SIZES,
            ("grpc.max_concurrent_streams", self.most_calls),
            # two servers on one port would share its calls by chance
            ("grpc.so_reuseport", 0),
            # clients may ping, also between calls; more often than this is an attack
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # a client that vanished without a word is noticed within two minutes, and its streams end
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.http2.ping_timeout_ms", 20_000),
        )


@asynccontextmanager
async def serving(
    served: Connector | Transform, address: str, settings: ServerSettings | None = None
) -> AsyncIterator[int]:
    """Serves an open connector or transform at `host:port` while the context lasts; answers the port (its choice for port 0).

    Besides it there are the standard health service and reflection. At the end no new calls are taken, streams end at
    once, and other calls under way get some seconds. Raises EndpointError where the address cannot be listened on.
    """
    settings = settings or ServerSettings()
    stopping = asyncio.Event()
    server = grpc.aio.server(
        interceptors=settings.guard.interceptors(),
        options=settings.options(),
        compression=grpc.Compression.Gzip if settings.gzip else grpc.Compression.NoCompression,
        maximum_concurrent_rpcs=settings.most_calls,
    )
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    service = service_of(served).full_name
    for name in ("", service):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    handlers = handlers_of(served, settings.page_bytes, stopping)
    server.add_generic_rpc_handlers((handlers, *reflection_handlers((service, health.SERVICE_NAME))))
    port = _bind(server, address, settings.guard.credentials())
    await server.start()
    try:
        yield port
    finally:
        stopping.set()
        await checks.enter_graceful_shutdown()
        await server.stop(GRACE_SECONDS)


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise EndpointError(f"{address!r} cannot be listened on", remedy="choose another address or a free port")
    return port
