"""`dsync SOURCE DESTINATION`: the copy itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dsync.cli.endpoints import take_both
from dsync.cli.options import to_settings
from dsync.endpoint import Endpoint
from dsync.errors import DsyncError, EndpointError, InterruptedRun, TransientError

# Options by which a run verifies instead of copying.
VERIFIES = ("verify", "verify_quick_count", "verify_max_tasks", "parallel_integrity_check_workers")


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def copy(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Copies SOURCE to DESTINATION."""
    assert ctx.parent is not None
    source, destination, values = take_both(ctx.parent, words, ctx.parent.obj or {})
    from dsync.cli.runner import configure_logging, run_async

    configure_logging(values)
    if values["cleanup"]:
        from dsync.cli.state import cleanup

        return run_async(cleanup(source, destination, to_settings(values)))
    if any(values[name] is not None and values[name] is not False for name in VERIFIES):
        from dsync.cli.verify import run_verify

        return run_async(run_verify(source, destination, values))
    from dsync.workers.crews import keep_spares

    keep_spares(source, destination, to_settings(values))
    return run_async(run_copy(source, destination, values))


async def run_copy(source: Endpoint, destination: Endpoint, values: Mapping[str, Any]) -> int:
    """Copies, shows progress and the summary. Raises the failure that decides the exit status."""
    from dsync.cli.runner import Stop
    from dsync.progress import Tracker
    from dsync.progress.text import summary
    from dsync.progress.views import shown
    from dsync.run import migrate

    tracker, stop = Tracker(), Stop()
    stop.listen()
    try:
        async with shown(tracker, values["progress"]):
            await migrate(source, destination, to_settings(values), tracker=tracker, stop=stop.event)
    except DsyncError as error:
        raise judged(error, tracker) from error
    finally:
        if tracker.namespaces:
            click.echo("\n".join(summary(tracker)), err=True)
    if tracker.stage != "done":
        raise InterruptedRun(stop.signal_number)
    return 0


def judged(error: DsyncError, tracker: Any) -> DsyncError:
    """An endpoint that fails after the first write is a temporary failure: the same command goes on."""
    wrote = tracker.documents or tracker.updates or tracker.wrote_beyond
    if wrote and isinstance(error, EndpointError | TransientError):
        again = "run the same command again to go on"
        return TransientError(error.message, remedy=f"{error.remedy}; then {again}" if error.remedy else again)
    if isinstance(error, TransientError):
        return EndpointError(error.message, remedy=error.remedy or "check the address, then run the same command again")
    return error
