"""`dsync help [SCHEME]`: a store's URIs and options."""

from __future__ import annotations

import click

from dsync import registry
from dsync.cli import secrets
from dsync.connector import ConnectorSpec


@click.command("help")
@click.argument("scheme", required=False)
@click.pass_context
def help_(ctx: click.Context, scheme: str | None) -> None:
    """Prints a store's URIs and options; without SCHEME the program's own help."""
    assert ctx.parent is not None
    if scheme is None:
        click.echo(ctx.parent.get_help())
        return
    click.echo(describe(registry.spec_of_scheme(_scheme(scheme)), ctx))


def _scheme(word: str) -> str:
    """The scheme that a word means: s3, s3://bucket or /dev/null."""
    return registry.scheme_of(word) if "://" in word or word in registry.DEVICES else word.lower()


def describe(spec: ConnectorSpec, ctx: click.Context) -> str:
    """The help page of a connector."""
    formatter = ctx.make_formatter()
    formatter.write_text(f"{spec.name}: {spec.summary}")
    with formatter.section("URIs"):
        formatter.write_dl([(example, "") for example in spec.examples])
    groups = (
        ("Options", spec.options),
        ("Options as a source", spec.source_options if spec.source else ()),
        ("Options as a destination", spec.sink_options if spec.sink else ()),
    )
    for title, group in groups:
        records = [record for option in group if (record := option.get_help_record(ctx))]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
    notes = ["Options stand behind the URI."]
    if spec.uri_options:
        notes.append(f"They may stand in it too: {spec.name}://...?option=value.")
    notes.append(secrets.note(spec))
    if spec.extra:
        notes.append(f"Its driver comes with: pip install 'dsync[{spec.extra}]'")
    formatter.write_paragraph()
    formatter.write_text(" ".join(filter(None, notes)))
    return formatter.getvalue().rstrip()
