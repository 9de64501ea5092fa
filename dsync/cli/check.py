"""`dsync check URI`: whether an endpoint can be used, and what it can do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from dsync.cli.endpoints import take_endpoint
from dsync.endpoint import Endpoint, roles_of
from dsync.errors import DsyncError, EndpointError


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help", "-h"],
    }
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="URI [options]")
@click.pass_context
def check(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Connects to URI and says what it is and can do; exit status 3 where it cannot be used."""
    assert ctx.parent is not None
    from dsync import registry
    from dsync.cli.runner import configure_logging

    config: Mapping[str, Any] = ctx.parent.obj or {}
    role = roles_of(registry.spec_of(words[0]))[0] if words else "source"
    taken = take_endpoint(ctx.parent, role, words, config.get(role) or {})
    if taken.rest:
        raise click.UsageError("check takes one URI; dsync plan takes two", ctx)
    configure_logging(ctx.parent.params | taken.global_options)
    for line in asyncio.run(describe(taken.endpoint)):
        click.echo(line)
    return 0


async def describe(endpoint: Endpoint) -> list[str]:
    """Lines about the store, or else the transform, behind an endpoint."""
    from dsync.preview import check as look

    if roles_of(endpoint.spec) == ["transform"]:
        return await describe_transform(endpoint)
    try:
        info = await look(endpoint)
    except EndpointError as error:
        if not endpoint.spec.transform:
            raise
        try:
            return await describe_transform(endpoint)
        except DsyncError:
            raise error from None
    lines = [f"{endpoint.shown} can be used", f"  store: {' '.join(filter(None, (info.db_type, info.version)))}"]
    lines.append(f"  identity: {info.id}")
    if info.capabilities.HasField("source"):
        source = info.capabilities.source
        changes = "; its changes can be followed" if source.updates else ""
        lines.append(f"  source: {_types(source.supported_data_types)}{changes}")
    if info.capabilities.HasField("sink"):
        sink = info.capabilities.sink
        lines.append(f"  destination: {_types(sink.supported_data_types)}{_qualities(sink.keyed, sink.updates)}")
    return lines


async def describe_transform(endpoint: Endpoint) -> list[str]:
    """Lines about what a transform takes and makes."""
    from dsync import wire

    async with endpoint.create_transform() as transform:
        info = await transform.GetTransformInfo(wire.GetTransformInfoRequest())
    made = [f"  transform: {_types([each.request_type])} to {_types(each.response_types)}" for each in info.transforms]
    return [f"{endpoint.shown} can be used", *made]


def _types(types: Any) -> str:
    from dsync.wire import DataType

    return ", ".join(DataType.Name(t).removeprefix("DATA_TYPE_") for t in types)


def _qualities(keyed: bool, updates: bool) -> str:
    return "".join(
        f"; {text}" for holds, text in ((keyed, "writes overwrite by id"), (updates, "changes can be applied")) if holds
    )
