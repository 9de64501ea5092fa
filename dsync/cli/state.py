"""`dsync state list|show|reset`: what earlier runs left."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import TYPE_CHECKING, TypeVar

import click

from dsync.endpoint import Endpoint
from dsync.errors import NotFoundError
from dsync.settings import Settings
from dsync.state import Flow, State, open_state

if TYPE_CHECKING:
    from dsync.wire.gen.dsync.v1.flow_pb2 import Position

Result = TypeVar("Result")


@click.group()
def state() -> None:
    """Lists, shows and resets the flows that earlier runs left (in the state that --metadata names)."""


async def _with_state(metadata: str, use: Callable[[State], Awaitable[Result]]) -> Result:
    async with open_state(metadata) as opened:
        return await use(opened)


where = click.option(
    "--metadata",
    "-m",
    metavar="WHERE",
    expose_value=False,
    callback=lambda ctx, _, value: _remember(ctx, value),
    help="Where the state is kept, as before the command.",
)


def _remember(ctx: click.Context, value: str | None) -> None:
    if value is not None:
        ctx.find_root().params["metadata"] = value


def _metadata(ctx: click.Context) -> str:
    found = ctx.find_root().params["metadata"]
    assert isinstance(found, str)
    return found


@state.command("list")
@where
@click.pass_context
def list_(ctx: click.Context) -> None:
    """One line a flow: id, status, when, source and destination."""
    for flow in asyncio.run(_with_state(_metadata(ctx), lambda opened: opened.flows())):
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(flow.updated))
        click.echo(f"{flow.id}  {flow.status:9}  {when}  {flow.source} -> {flow.destination}  {flow.name}".rstrip())


@state.command()
@click.argument("flow_id")
@where
@click.pass_context
def show(ctx: click.Context, flow_id: str) -> None:
    """The flow FLOW_ID as JSON: what was asked for, and how far each namespace and each change stream is."""

    async def use(opened: State) -> dict[str, object]:
        flow = await _found(opened, flow_id)
        namespaces: dict[str, dict[str, int]] = {}
        for progress in await opened.partitions(flow.id):
            at = namespaces.setdefault(
                progress.planned.destination, dict.fromkeys(("partitions", "done", "documents"), 0)
            )
            at["partitions"] += 1
            at["done"] += progress.checkpoint.done
            at["documents"] += sum(written.documents for written in progress.checkpoint.written)
        streams = [stream_shown(position) for position in await opened.positions(flow.id)]
        return {
            "id": flow.id,
            "name": flow.name,
            "source": flow.source,
            "destination": flow.destination,
            "status": flow.status,
            "generation": flow.generation,
            "settings": flow.settings,
            "namespaces": namespaces,
            "streams": streams,
        }

    click.echo(json.dumps(asyncio.run(_with_state(_metadata(ctx), use)), indent=2))


def stream_shown(position: Position) -> dict[str, object]:
    """A change stream for people: what it covers, how many updates came, up to when everything is applied."""
    moment = position.time.ToDatetime(UTC).isoformat(timespec="seconds") if position.HasField("time") else None
    shown = {"namespaces": list(position.partition.namespaces), "updates": position.updates, "applied_up_to": moment}
    return shown | ({"set_aside": position.set_aside} if position.set_aside else {})


@state.command()
@click.argument("flow_id")
@where
@click.pass_context
def reset(ctx: click.Context, flow_id: str) -> None:
    """Forgets the flow FLOW_ID: the next run of its command starts over. What was copied stays where it is."""

    async def use(opened: State) -> None:
        flow = await _found(opened, flow_id)
        from dsync.workers.crews import outlast

        await opened.lock(flow.id)
        await outlast(opened, flow.id, flow.destination)
        await opened.reset(flow.id)

    asyncio.run(_with_state(_metadata(ctx), use))
    click.echo(f"forgot {flow_id}")


async def _found(opened: State, flow_id: str) -> Flow:
    flow = await opened.flow(flow_id)
    if flow is None:
        raise NotFoundError(f"there is no flow {flow_id!r} in this state", remedy="dsync state list shows them")
    return flow


async def cleanup(source: Endpoint, destination: Endpoint, settings: Settings) -> int:
    """Forgets the flow of this command line, and the way back that it kept (`--cleanup`)."""
    from dsync.flow.agree import agree
    from dsync.flow.identity import make_flow, reverse_flow
    from dsync.workers.crews import outlast

    async with source.create() as reader, destination.create() as sink:
        flow = make_flow(await agree(reader, sink), source, destination, settings)
    async with open_state(settings.metadata) as opened:
        await opened.lock(flow.id)
        await outlast(opened, flow.id, flow.destination)
        known = await opened.reset(flow.id)
        back = reverse_flow(flow, settings)
        if await opened.flow(back.id):
            await opened.lock(back.id)
            await opened.reset(back.id)
    click.echo(f"forgot {flow.id}" if known else f"there was no state of {flow.id}", err=True)
    return 0
