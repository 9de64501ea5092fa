"""`dsync repair --from REPORT SOURCE DESTINATION`: mends what a verification found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from dsync.cli.verify import command_of_ends, take_ends
from dsync.endpoint import Endpoint
from dsync.errors import EndpointError, TransientError, UsageError

OWN = (
    click.Option(
        ["--from", "report"],
        type=click.Path(exists=True, dir_okay=False),
        metavar="REPORT",
        help="The report of dsync verify --report that says what to mend.",
    ),
    click.Option(
        ["--delete-extra"],
        is_flag=True,
        help="Delete what only the destination has, after another look at the source. Without it those are left.",
    ),
)


@click.pass_context
def _repair(ctx: click.Context, /, **_: Any) -> int:
    source, destination, values = take_ends(ctx, OWN)
    if not values["report"]:
        raise click.UsageError("--from is missing; write: dsync repair --from REPORT SOURCE DESTINATION", ctx)
    from dsync.cli.runner import configure_logging, run_async

    configure_logging(values)
    return run_async(run_repair(source, destination, values))


repair = command_of_ends(
    "repair",
    _repair,
    OWN,
    """Mends exactly what a report of dsync verify names: what is missing or changed is read from SOURCE again and written to
    DESTINATION. Running it again changes nothing more.
    """,
)


async def run_repair(source: Endpoint, destination: Endpoint, values: Mapping[str, Any]) -> int:
    """Mends, and says what was done."""
    if values["transform"] is not None:
        raise UsageError(
            "single documents cannot be mended through a transform", remedy="copy again, then verify again"
        )
    from dsync.flow.repair import Repaired, RepairSettings, repair

    settings = RepairSettings(
        delete_extra=values["delete_extra"],
        retry_for=values["retry_for"],
        rate=values["write_rate_limit"],
        max_delete=values["max_delete"],
    )
    done = Repaired()
    try:
        await repair(source, destination, values["report"], settings, done)
    except TransientError as error:
        if done.total:
            raise
        raise EndpointError(error.message, remedy=error.remedy or "check the address") from error
    finally:
        if done.total:
            click.echo("\n".join(summary(done.deeds)), err=True)
    if not done.total:
        click.echo("the report names no differences: nothing was to be mended", err=True)
    return 0


def summary(deeds: Mapping[str, Mapping[Any, int]]) -> Iterator[str]:
    """Lines for people: what was done in each namespace, and what was not."""
    for name, counts in deeds.items():
        yield f"  {name}: " + ", ".join(f"{count:,} {deed}" for deed, count in sorted(counts.items()))
    total = sum(sum(counts.values()) for counts in deeds.values())
    mended = sum(counts.get("written", 0) + counts.get("deleted", 0) for counts in deeds.values())
    yield f"{mended:,} of {total:,} differences mended"
    if any(counts.get("left") for counts in deeds.values()):
        yield "note: what only the destination has was left; --delete-extra deletes it"
