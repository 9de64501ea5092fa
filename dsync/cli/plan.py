"""`dsync plan SOURCE DESTINATION`: what a copy would do."""

from __future__ import annotations

import asyncio

import click

from dsync.cli.endpoints import take_both
from dsync.cli.options import to_settings


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help", "-h"],
    }
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="SOURCE [options] DESTINATION [options]")
@click.pass_context
def plan(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Says what a copy would do: namespaces, partitions, documents, the data type, warnings. Touches nothing."""
    assert ctx.parent is not None
    source, destination, values = take_both(ctx.parent, words, ctx.parent.obj or {})
    from dsync.cli.runner import configure_logging
    from dsync.progress.text import number
    from dsync.run import preview
    from dsync.wire import DataType

    configure_logging(values)
    agreement, found, warnings = asyncio.run(preview(source, destination, to_settings(values)))
    counts: dict[tuple[str, str], list[int]] = {}
    for planned in found.partitions:
        key = planned.partition.namespace, planned.destination
        counts.setdefault(key, []).append(planned.partition.estimated_count)
    for (origin, target), estimates in counts.items():
        documents = f"about {number(sum(estimates), 'document')}" if all(estimates) else "documents not counted"
        click.echo(f"{origin} -> {target}: {number(len(estimates), 'partition')}, {documents}")
    click.echo(f"{number(len(counts), 'namespace')} as {DataType.Name(agreement.type).removeprefix('DATA_TYPE_')}")
    for warning in warnings:
        click.echo(f"note: {warning}")
    return 0
