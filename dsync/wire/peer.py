"""A service of another process, on another machine, in another language: bytes out, bytes in, statuses as errors."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from dsync.errors import DataError, DsyncError, EndpointError, TransientError, UnimplementedError
from dsync.wire.address import Address, handshake_failed
from dsync.wire.limits import MOST_BYTES, megabytes
from dsync.wire.routing import Metadata
from dsync.wire.status import to_error

# Seconds for the first connection, and between two tries.
CONNECT_SECONDS, RETRY_SECONDS = 15.0, 0.2

Answer = TypeVar("Answer", bound=Message)


class GrpcPeer:
    """A channel to a peer: each call is handed to it; statuses come back as the errors that they stand for."""

    service: ClassVar[ServiceDescriptor]
    # The method that shows whether somebody is there who lets us in; its request is empty.
    greeting: ClassVar[str]

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self.address = Address.parse(uri, options)
        self._channel: grpc.aio.Channel | None = None
        self._calls: dict[str, Any] = {}

    async def open(self) -> None:
        """See Connector. Raises EndpointError where nobody serves the service at the address, or not to us."""
        self._channel = self.address.channel()
        for method in self.service.methods:
            make: Any = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
            self._calls[method.name] = make(f"/{self.service.full_name}/{method.name}")
        loop = asyncio.get_running_loop()
        end = loop.time() + CONNECT_SECONDS
        while (failure := await self._greet()) is not None:
            if handshake_failed(failure.message) or loop.time() > end:
                raise self.address.unreachable(failure.message) from failure
            await asyncio.sleep(RETRY_SECONDS)

    async def _greet(self) -> TransientError | None:
        """What is in the way, if another try may help."""
        method = self.service.methods_by_name[self.greeting]
        try:
            request, answer = GetMessageClass(method.input_type)(), GetMessageClass(method.output_type)
            await self._call(self.greeting, request, answer, most_seconds=CONNECT_SECONDS)
        except UnimplementedError as error:
            raise EndpointError(
                f"what listens at {self.address.shown!r} does not serve {self.service.full_name}",
                remedy="check host and port",
            ) from error
        except TransientError as error:
            return error
        return None

    async def close(self) -> None:
        """See Connector."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def _call(
        self,
        name: str,
        request: Message,
        kind: type[Answer],
        *,
        deadline: bool = True,
        metadata: Metadata = (),
        most_seconds: float = math.inf,
    ) -> Answer:
        """The peer's answer, within so many seconds or those of the address; without `deadline` it takes its time.

        The message is made here, so that one too large is refused and not tried again and again.
        """
        data = _fitting(name, request.SerializeToString())
        try:
            answer = await self._calls[name](
                data,
                timeout=min(self.address.deadline_seconds, most_seconds) if deadline else None,
                metadata=(*self.address.metadata, *metadata),
            )
        except grpc.aio.AioRpcError as error:
            raise to_error(error) from None  # its text would repeat the peer's debug string
        return _parsed(name, kind, answer)

    async def _messages(
        self, name: str, request: Message, kind: type[Answer], metadata: Metadata
    ) -> AsyncIterator[Answer]:
        data = _fitting(name, request.SerializeToString())
        call = self._calls[name](data, metadata=(*self.address.metadata, *metadata))
        try:
            async for message in call:
                yield _parsed(name, kind, message)
        except grpc.aio.AioRpcError as error:
            raise to_error(error) from None
        finally:
            call.cancel()


def _fitting(name: str, data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise DataError(
            f"a request of {name} takes {megabytes(len(data))}, and a message holds {megabytes(MOST_BYTES)} at the most",
            remedy="read the source in smaller pages",
        )
    return data


def _parsed(name: str, kind: type[Answer], data: bytes) -> Answer:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise DsyncError(
            f"the peer's answer to {name} is no {kind.DESCRIPTOR.full_name}", remedy="compare both sides' .proto"
        ) from None
