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
@click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, metavar="SOURCE [options] DESTINATION [options] [TRANSFORM [options]]"
)
@click.pass_context
def plan(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Says what a copy would do: namespaces, partitions, documents, bytes, the data type, warnings. Touches nothing."""
    assert ctx.parent is not None
    source, destination, values = take_both(ctx.parent, words, ctx.parent.obj or {})
    from dsync.cli.runner import configure_logging
    from dsync.preview import plan as preview
    from dsync.progress.text import duration, number, size

    configure_logging(values)
    found = asyncio.run(preview(source, destination, to_settings(values)))
    for each in found.namespaces:
        documents = "documents not counted" if each.documents is None else f"about {number(each.documents, 'document')}"
        amount = documents if each.bytes is None else f"{documents}, about {size(each.bytes)}"
        click.echo(f"{each.source} -> {each.destination}: {number(each.partitions, 'partition')}, {amount}")
    click.echo(f"{number(len(found.namespaces), 'namespace')} as {found.data_type}")
    if found.kept_seconds:
        click.echo(f"changes are kept for about {duration(found.kept_seconds)} at the source")
    for warning in found.warnings:
        click.echo(f"note: {warning}")
    return 0
