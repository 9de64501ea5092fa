"""`dsync completion SHELL`: the shell's own completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Prints the script for SHELL; for bash: eval "$(dsync completion bash)"."""
    assert ctx.parent is not None
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    click.echo(found(ctx.parent.command, {}, "dsync", "_DSYNC_COMPLETE").source())
