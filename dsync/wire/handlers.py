"""A connector's or transform's methods as gRPC serves them: bytes in, bytes out, every failure a status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from dsync import wire
from dsync.connector import Connector
from dsync.errors import DataError, DsyncError, TransientError, UsageError
from dsync.transform import Transform
from dsync.wire.limits import MOST_BYTES, PAGE_DOCUMENTS, PAGE_UNIT_BYTES, megabytes
from dsync.wire.lines import taking_no_lines, told_without_lines
from dsync.wire.services import service_of
from dsync.wire.status import to_status

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Any], Awaitable[bytes]]


# What is offered within a process only, and not to peers.
WITHIN_A_PROCESS: dict[str, Callable[[Any], Any]] = {"GetInfo": told_without_lines, "WriteData": taking_no_lines}


def handlers_of(served: Connector | Transform, page_bytes: int, stopping: asyncio.Event) -> grpc.GenericRpcHandler:
    """All methods of its service; streams end, to be opened again, when `stopping` is set."""
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
    for method in service_of(served).methods:
        call = getattr(served, method.name)
        if method.server_streaming:
            handlers[method.name] = _stream(method, call, stopping)
        elif method.name == "ListData":
            handlers[method.name] = _unary(method, _merged_pages(call, page_bytes))
        else:
            within = WITHIN_A_PROCESS.get(method.name)
            handlers[method.name] = _unary(method, _serialized(method.name, within(call) if within else call))
    return grpc.method_handlers_generic_handler(service_of(served).full_name, handlers)


def _merged_pages(list_data: Callable[[Any], Awaitable[wire.ListDataResponse]], page_bytes: int) -> Unary:
    """ListData with several of the connector's pages in an answer: what a call costs is shared by more documents.

    The rule looks only at the pages, so the same cursor gives the same answer here, too. Messages of repeated fields are joined by
    joining their bytes: no document is touched.
    """
    most_pages = max(1, page_bytes // PAGE_UNIT_BYTES)

    async def answer(request: wire.ListDataRequest) -> bytes:
        request.lines = False
        pieces: list[bytes] = []
        size = documents = 0
        while True:
            page = await list_data(request)
            cursor, own_size = page.next_cursor, sum(map(len, page.data))
            if pieces and size + own_size > MOST_BYTES // 2:
                return b"".join([*pieces, wire.ListDataResponse(next_cursor=request.cursor).SerializeToString()])
            size += own_size
            documents += len(page.data)
            if not cursor or size >= page_bytes or documents >= PAGE_DOCUMENTS or len(pieces) + 1 >= most_pages:
                return _fitting("ListData", b"".join([*pieces, page.SerializeToString()]))
            pieces.append(wire.ListDataResponse(data=page.data).SerializeToString())
            request.cursor = cursor

    return answer


def _serialized(name: str, call: Callable[[Any], Awaitable[Message]]) -> Unary:
    async def answer(request: Message) -> bytes:
        return _fitting(name, (await call(request)).SerializeToString())

    return answer


def _unary(method: MethodDescriptor, call: Unary) -> grpc.RpcMethodHandler[Any, Any]:
    parse = _parser(method)

    async def answer(data: bytes, context: Context) -> bytes:
        try:
            return await call(parse(data))
        except Exception as error:
            await _abort(context, error)
            raise  # not reached: abort raises

    return grpc.unary_unary_rpc_method_handler(answer)


def _stream(
    method: MethodDescriptor, call: Callable[[Any], AsyncIterator[Message]], stopping: asyncio.Event
) -> grpc.RpcMethodHandler[Any, Any]:
    parse = _parser(method)

    async def answer(data: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            async for message in until(stopping, call(parse(data))):
                yield _fitting(method.name, message.SerializeToString())
        except Exception as error:  # noqa: BLE001 - every failure becomes a status
            await _abort(context, error)

    return grpc.unary_stream_rpc_method_handler(answer)


async def until(stopping: asyncio.Event, messages: AsyncIterator[Answer]) -> AsyncGenerator[Answer, None]:
    """The messages, up to the event, which raises a TransientError: whoever listens connects again, here or elsewhere."""
    stop = asyncio.ensure_future(stopping.wait())
    step: asyncio.Future[Answer] | None = None
    try:
        while True:
            step = asyncio.ensure_future(anext(messages))
            await asyncio.wait({step, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise TransientError("the server is stopping", remedy="connect again")
            try:
                yield step.result()
            except StopAsyncIteration:
                return
    finally:
        left = [future for future in (stop, step) if future is not None and not future.done()]
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if isinstance(messages, AsyncGenerator):
            await messages.aclose()


def _parser(method: MethodDescriptor) -> Callable[[bytes], Any]:
    kind = GetMessageClass(method.input_type)

    def parse(data: bytes) -> Message:
        try:
            return kind.FromString(data)
        except DecodeError:
            raise UsageError(
                f"the request of {method.name} is no {kind.DESCRIPTOR.full_name}",
                remedy="compare both sides' .proto",
            ) from None

    return parse


def _fitting(name: str, message: bytes) -> bytes:
    """The message, if it may be sent: gRPC's own refusal would look as if trying again could help."""
    if len(message) > MOST_BYTES:
        raise DataError(
            f"an answer of {name} takes {megabytes(len(message))}, and a message holds {megabytes(MOST_BYTES)} at the most",
            remedy="serve with smaller pages",
        )
    return message


async def _abort(context: Context, error: Exception) -> None:
    if isinstance(error, DsyncError):
        await context.abort(*to_status(error))
    if isinstance(error, grpc.aio.AbortError):
        raise error
    logger.error("a defect: %s", type(error).__name__, exc_info=logger.isEnabledFor(logging.DEBUG))
    # what an unknown error says may hold documents or secrets
    await context.abort(grpc.StatusCode.INTERNAL, f"a defect of the server: {type(error).__name__}")
