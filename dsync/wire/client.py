"""A connector in another process, on another machine, in another language, spoken to over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import grpc

from dsync import wire
from dsync.connector import Connector
from dsync.errors import EndpointError, UsageError
from dsync.transform import Transform
from dsync.wire.gen.adiom.v1.adiom_pb2_grpc import ConnectorServiceStub, TransformServiceStub
from dsync.wire.server import MOST_BYTES
from dsync.wire.status import to_error

# Seconds for the first connection.
CONNECT_SECONDS = 15.0
DEFAULT_DEADLINE_SECONDS = 300.0

OPTIONS = (
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    # a peer that vanished without a word is noticed within a minute, during calls and between them
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

Metadata = tuple[tuple[str, str], ...]


class GrpcPeer:
    """A channel to a peer: each call is handed to it; statuses come back as the errors that they stand for."""

    # The generated stub of the service that is spoken to.
    stub: ClassVar[Any]

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self.address = _address(uri)
        self._options = options
        self._metadata: Metadata = (("authorization", f"Bearer {options['token']}"),) if options.get("token") else ()
        self._deadline: float = options.get("deadline") or DEFAULT_DEADLINE_SECONDS
        self._compression = grpc.Compression.Gzip if options.get("gzip") else grpc.Compression.NoCompression
        self._credentials = None if options.get("insecure") else _credentials(options)
        self._channel: grpc.aio.Channel | None = None

    async def open(self) -> None:
        """See Connector."""
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=OPTIONS, compression=self._compression)
        else:
            self._channel = grpc.aio.secure_channel(
                self.address, self._credentials, options=OPTIONS, compression=self._compression
            )
        try:
            await asyncio.wait_for(self._channel.channel_ready(), CONNECT_SECONDS)
        except TimeoutError as error:
            security = "without TLS" if self._credentials is None else "with TLS; --insecure does without"
            raise EndpointError(
                f"no gRPC connection to {self.address!r} within {CONNECT_SECONDS:.0f} s",
                remedy=f"check that a server listens there (this is {security})",
            ) from error

    async def close(self) -> None:
        """See Connector."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _call(self, method: str, request: Any, *, deadline: bool = True, metadata: Metadata = ()) -> Any:
        call = getattr(self._stub, method)
        try:
            return await call(
                request, timeout=self._deadline if deadline else None, metadata=(*self._metadata, *metadata)
            )
        except grpc.aio.AioRpcError as error:
            raise to_error(error) from None  # its text would repeat the peer's debug string

    @property
    def _stub(self) -> Any:
        assert self._channel is not None, "the connector is not open"
        return self.stub(self._channel)

    async def _messages(self, method: str, request: Any) -> AsyncIterator[Any]:
        try:
            async for message in getattr(self._stub, method)(request, metadata=self._metadata):
                yield message
        except grpc.aio.AioRpcError as error:
            raise to_error(error) from None


class GrpcConnector(GrpcPeer, Connector):
    """A connector behind the channel."""

    stub = ConnectorServiceStub

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        """See Connector."""
        answer: wire.GetInfoResponse = await self._call("GetInfo", request)
        return answer

    async def GetNamespaceMetadata(
        self, request: wire.GetNamespaceMetadataRequest
    ) -> wire.GetNamespaceMetadataResponse:
        """See Connector."""
        answer: wire.GetNamespaceMetadataResponse = await self._call("GetNamespaceMetadata", request)
        return answer

    async def GeneratePlan(self, request: wire.GeneratePlanRequest) -> wire.GeneratePlanResponse:
        """See Connector."""
        answer: wire.GeneratePlanResponse = await self._call("GeneratePlan", request)
        return answer

    async def ListData(self, request: wire.ListDataRequest) -> wire.ListDataResponse:
        """See Connector; the partition's header goes along as metadata, for balancers."""
        partition = request.partition
        routing = (
            ((partition.partition_header.lower(), partition.partition_value),) if partition.partition_value else ()
        )
        answer: wire.ListDataResponse = await self._call("ListData", request, metadata=routing)
        return answer

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """See Connector."""
        answer: wire.WriteDataResponse = await self._call("WriteData", request)
        return answer

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """See Connector."""
        answer: wire.WriteUpdatesResponse = await self._call("WriteUpdates", request)
        return answer

    async def FinishNamespace(self, request: wire.FinishNamespaceRequest) -> wire.FinishNamespaceResponse:
        """See Connector; joining large files takes its time, so there is no deadline."""
        answer: wire.FinishNamespaceResponse = await self._call("FinishNamespace", request, deadline=False)
        return answer

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        """See Connector."""
        answer: wire.GetByIdsResponse = await self._call("GetByIds", request)
        return answer

    def StreamUpdates(self, request: wire.StreamUpdatesRequest) -> AsyncIterator[wire.StreamUpdatesResponse]:
        """See Connector."""
        return self._messages("StreamUpdates", request)

    def StreamLSN(self, request: wire.StreamLSNRequest) -> AsyncIterator[wire.StreamLSNResponse]:
        """See Connector."""
        return self._messages("StreamLSN", request)


class GrpcTransform(GrpcPeer, Transform):
    """A transform behind the channel."""

    stub = TransformServiceStub

    async def GetTransformInfo(self, request: wire.GetTransformInfoRequest) -> wire.GetTransformInfoResponse:
        """See Transform."""
        answer: wire.GetTransformInfoResponse = await self._call("GetTransformInfo", request)
        return answer

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        """See Transform."""
        answer: wire.GetTransformResponse = await self._call("GetTransform", request)
        return answer


def _address(uri: str) -> str:
    parts = urlsplit(uri)
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.path.strip("/"):
        raise UsageError(f"{uri!r} is not a gRPC address", remedy="write grpc://host:port")
    if parts.username or parts.password:
        raise UsageError("a gRPC address has no user or password", remedy="give a token with --token")
    return f"[{parts.hostname}]:{port}" if ":" in parts.hostname else f"{parts.hostname}:{port}"


def _credentials(options: Mapping[str, Any]) -> grpc.ChannelCredentials:
    if bool(options.get("cert")) != bool(options.get("key")):
        raise UsageError("--cert and --key belong together", remedy="give both or neither")
    return grpc.ssl_channel_credentials(
        root_certificates=_read(options.get("ca")),
        private_key=_read(options.get("key")),
        certificate_chain=_read(options.get("cert")),
    )


def _read(path: str | None) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {error.strerror}", remedy="check the path") from error
