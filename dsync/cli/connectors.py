"""`dsync connectors`: the stores that dsync knows."""

from __future__ import annotations

import click

from dsync import registry
from dsync.endpoint import roles_of
from dsync.errors import UsageError


@click.command()
def connectors() -> None:
    """Lists every store by its scheme: what it can be, an example, what to install."""
    for scheme in registry.schemes():
        try:
            spec = registry.spec_of_scheme(scheme)
        except UsageError as error:
            click.echo(f"{scheme:14}{error}")
            continue
        roles = " and ".join(roles_of(spec)[:2])  # a third would not fit
        click.echo(f"{scheme:14}{roles:24}{spec.summary}")
        click.echo(f"{'':14}{spec.examples[0] if spec.examples else '':24}  {_install(spec.extra)}".rstrip())


def _install(extra: str) -> str:
    return f"pip install 'dsync[{extra}]'" if extra else ""
