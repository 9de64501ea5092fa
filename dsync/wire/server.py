"""A connector behind gRPC, for programs in any language."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dsync.connector import Connector
from dsync.errors import DsyncError, EndpointError
from dsync.transform import Transform
from dsync.wire.gen.adiom.v1 import adiom_pb2, adiom_pb2_grpc
from dsync.wire.status import to_status

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

SERVICE = adiom_pb2.DESCRIPTOR.services_by_name["ConnectorService"]
TRANSFORM_SERVICE = adiom_pb2.DESCRIPTOR.services_by_name["TransformService"]
# Bytes of a message, after decompression, either way.
MOST_BYTES = 64 << 20
# Seconds that calls get to end after a stop was asked for.
GRACE_SECONDS = 5.0

OPTIONS = (
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    # two servers on one port would share its calls by chance
    ("grpc.so_reuseport", 0),
    # clients ping idle connections (see client); more often than this is an attack
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may call: TLS with the server's certificate, clients known by their certificate, by a token, or everybody."""

    certificate: bytes = b""
    key: bytes = b""
    client_ca: bytes = b""
    token: str = ""

    def credentials(self) -> grpc.ServerCredentials | None:
        """TLS; None without a certificate."""
        if not self.certificate:
            return None
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)],
            root_certificates=self.client_ca or None,
            require_client_auth=bool(self.client_ca),
        )


class TokenCheck(grpc.aio.ServerInterceptor):
    """Lets only calls pass that bring the token; health and reflection want it too."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

        async def refuse(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")

        self._refusal: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """See grpc."""
        found = dict(handler_call_details.invocation_metadata).get("authorization", "")
        given = found.encode() if isinstance(found, str) else found
        if hmac.compare_digest(given, self._expected):
            return await continuation(handler_call_details)
        return self._refusal


class Service:
    """The generated servicer's methods, each one the connector's or the transform's."""

    def __init__(self, served: Connector | Transform) -> None:
        for method in service_of(served).methods:
            call = getattr(served, method.name)
            setattr(self, method.name, _stream(call) if method.server_streaming else _unary(call))


def service_of(served: Connector | Transform) -> ServiceDescriptor:
    """What a peer calls it by."""
    return TRANSFORM_SERVICE if isinstance(served, Transform) else SERVICE


def _unary(call: Callable[[Request], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    async def answer(request: Request, context: grpc.aio.ServicerContext[Any, Any]) -> Response:
        try:
            return await call(request)
        except Exception as error:
            await _abort(context, error)
            raise  # not reached: abort raises

    return answer


def _stream(call: Callable[[Request], AsyncIterator[Response]]) -> Callable[..., AsyncIterator[Response]]:
    async def answer(request: Request, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Response]:
        try:
            async for response in call(request):
                yield response
        except Exception as error:  # noqa: BLE001 - every failure becomes a status
            await _abort(context, error)

    return answer


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
    if isinstance(error, DsyncError):
        await context.abort(*to_status(error))
    if isinstance(error, grpc.aio.AbortError):
        raise error
    logger.error("a defect: %s", type(error).__name__, exc_info=logger.isEnabledFor(logging.DEBUG))
    # what an unknown error says may hold documents or secrets
    await context.abort(grpc.StatusCode.INTERNAL, f"a defect in the connector: {type(error).__name__}")


@asynccontextmanager
async def serving(
    served: Connector | Transform, address: str, guard: Guard = Guard(), *, gzip: bool = False
) -> AsyncIterator[int]:
    """Serves an open connector or transform at `host:port` while the context lasts; answers the port (its choice for port 0).

    Besides the connector there are the standard health service and reflection. At the end no new calls are taken and those under
    way get some seconds. Raises EndpointError where the address cannot be listened on.
    """
    compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
    interceptors = [TokenCheck(guard.token)] if guard.token else []
    server = grpc.aio.server(interceptors=interceptors, options=OPTIONS, compression=compression)
    service = Service(served)  # has the methods of its service
    if isinstance(served, Transform):
        adiom_pb2_grpc.add_TransformServiceServicer_to_server(service, server)  # type: ignore[arg-type]
    else:
        adiom_pb2_grpc.add_ConnectorServiceServicer_to_server(service, server)  # type: ignore[arg-type]
    name_of_service = service_of(served).full_name
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for name in ("", name_of_service):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection((name_of_service, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = _bind(server, address, guard)
    await server.start()
    try:
        yield port
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(GRACE_SECONDS)


def _bind(server: grpc.aio.Server, address: str, guard: Guard) -> int:
    credentials = guard.credentials()
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise EndpointError(
            f"{address!r} cannot be listened on", remedy="choose another address or a free port"
        ) from error
    if not port:
        raise EndpointError(f"{address!r} cannot be listened on", remedy="choose another address or a free port")
    return port
