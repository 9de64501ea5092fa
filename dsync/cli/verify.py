"""`dsync verify SOURCE DESTINATION`: whether two stores hold the same."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from dsync.cli import options
from dsync.cli.endpoints import REST, take_both
from dsync.endpoint import Endpoint
from dsync.errors import DifferencesError, DsyncError, EndpointError, TransientError, UsageError

if TYPE_CHECKING:
    from dsync.flow.digest import Form
    from dsync.flow.verify_outcome import NamespaceOutcome, Outcome, VerifySettings

RECHECKS, RECHECK_PAUSE = 2, 1.0

OWN = (
    click.Option(
        ["--report"],
        type=click.Path(dir_okay=False),
        metavar="PATH",
        help="Write the report there, readable by you alone, instead of to stdout: a JSON line for each difference with the"
        " id and the paths of changed fields, never values, and a summary as the last line.",
    ),
    click.Option(
        ["--recheck"],
        type=click.IntRange(0),
        default=RECHECKS,
        show_default=True,
        metavar="N",
        help="Read what differs again N times, with a pause before each, before it is reported: changes may be on their way.",
    ),
    click.Option(
        ["--recheck-pause"],
        type=click.FloatRange(0),
        default=RECHECK_PAUSE,
        show_default=True,
        metavar="SECONDS",
        help="How long that pause is; longer than changes take to arrive.",
    ),
    click.Option(["--limit"], type=click.IntRange(1), metavar="N", help="Stop after N differences."),
    click.Option(
        ["--projection"],
        multiple=True,
        metavar="FIELD,...",
        help="Compare only these fields (and the ids); a.b is the field b of what stands in a.",
    ),
    click.Option(
        ["--ignore-field-order"], is_flag=True, help="Documents that differ only in the order of fields are equal."
    ),
    click.Option(["--ignore-extra"], is_flag=True, help="Documents that only the destination has are no difference."),
    click.Option(["--quick-count"], is_flag=True, help="Compare only how many documents each namespace has."),
    click.Option(
        ["--sample"],
        type=click.IntRange(1),
        metavar="N",
        help="Verify only N partitions of the source, picked at random; what is extra is not found.",
    ),
    click.Option(
        ["--partition"],
        type=click.IntRange(1),
        metavar="K",
        help="Verify only part K of --total-partitions, from 1: parts by a hash of the id, to share the work among machines.",
    ),
    click.Option(["--total-partitions"], type=click.IntRange(1), metavar="N", help="How many such parts there are."),
)

# Without which `--quick-count` would ignore what was asked for.
NOT_WITH_COUNTS = ("limit", "projection", "ignore_field_order", "as_text", "ignore_extra", "sample", "partition")


def hidden_globals(own: Sequence[click.Option]) -> Iterator[click.Option]:
    """The global options as they may stand behind a command's name too, without standing in its help again."""
    taken = {name for option in own for name in option.opts}
    for option in options.BEHIND:
        if not taken.intersection(option.opts):
            again = copy.copy(option)
            again.hidden = True
            yield again


def take_ends(ctx: click.Context, own: Sequence[click.Option]) -> tuple[Endpoint, Endpoint, dict[str, Any]]:
    """Source, destination and all options, wherever on the line they stood, of a command with two ends."""
    parent = ctx.parent
    assert parent is not None
    names = {option.name for option in own}
    here = {
        name: value
        for name, value in ctx.params.items()
        if name in names or (name != REST and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    }
    parent.params = options.merge(parent.params, [here])
    return take_both(parent, ctx.params[REST], parent.obj or {}, read_both=True, extra=own)


def command_of_ends(
    name: str, callback: Any, own: Sequence[click.Option], text: str, behind: str = ""
) -> click.Command:
    """A command with two ends and options of its own; `behind` is what may stand behind them."""
    metavar = " ".join(filter(None, ["SOURCE [options] DESTINATION [options]", behind]))
    words = click.Argument([REST], nargs=-1, type=click.UNPROCESSED, metavar=metavar)
    return click.Command(
        name,
        callback=callback,
        params=[*own, *hidden_globals(own), words],
        help=text,
        options_metavar="[options]",
        context_settings={"allow_interspersed_args": False, "default_map": {}, "help_option_names": ["--help", "-h"]},
    )


@click.pass_context
def _verify(ctx: click.Context, /, **_: Any) -> int:
    source, destination, values = take_ends(ctx, OWN)
    from dsync.cli.runner import configure_logging, run_async

    configure_logging(values)
    return run_async(run_verify(source, destination, values))


verify = command_of_ends(
    "verify",
    _verify,
    OWN,
    """Lists SOURCE and DESTINATION, over the full range, and says which documents are missing, extra or changed.

    With TRANSFORM, SOURCE is read through it, as a copy through it did. Exit status 0: equal; 4: there are differences; 1: it
    could not be finished, which is never taken for equal.
    """,
    "[TRANSFORM [options]]",
)


async def run_verify(source: Endpoint, destination: Endpoint, values: Mapping[str, Any]) -> int:
    """Verifies, writes the report, tells people what was found. Raises DifferencesError where the two differ."""
    from dsync.cli.runner import Stop
    from dsync.flow.verify import verify as compare
    from dsync.flow.verify_report import Report
    from dsync.progress import Tracker
    from dsync.progress.views import shown

    settings, stop, tracker = to_verify_settings(values), Stop(), Tracker()
    stop.listen()
    path = values.get("report")
    with Report(path, sys.stdout.buffer) as report:
        try:
            settings = replace(settings, state=await own_namespaces(values["metadata"]))
            async with shown(tracker, values["progress"]):
                outcome = await compare(source, destination, settings, report, tracker=tracker, stop=stop.event)
        except TransientError as error:  # nothing was compared yet
            raise EndpointError(error.message, remedy=error.remedy or "check the address") from error
    click.echo("\n".join(summary(outcome)), err=True)
    judge(outcome, path)
    return 0


async def own_namespaces(metadata: str) -> dict[str, str]:
    """The collections of a state that lives in a store which may be one of the ends."""
    from dsync.state import open_state

    if not metadata.startswith("mongodb"):
        return {}
    async with open_state(metadata) as state:
        return await state.own_namespaces()


def judge(outcome: Outcome, path: str | None) -> None:
    """Raises what decides the exit status; returns where the two are equal."""
    if outcome.error or outcome.result == "incomplete":
        error = outcome.error or DsyncError("it did not come to its end")
        raise DsyncError(f"the verification is incomplete: {error.message}", remedy=error.remedy) from error
    if outcome.result == "different":
        mend = f"dsync repair --from {path} SOURCE DESTINATION" if path else "dsync repair, with a --report of verify"
        raise DifferencesError("the destination differs from the source", remedy=f"mend it with {mend}")


def to_verify_settings(values: Mapping[str, Any]) -> VerifySettings:
    """The library's settings from the command line's values. Raises UsageError for options that exclude each other."""
    from dsync.flow.verify_outcome import VerifySettings

    general = options.to_settings(values)
    quick = bool(values.get("quick_count") or values["verify_quick_count"])
    sample = values.get("sample") or values["verify_max_tasks"]
    part, parts = values.get("partition"), values.get("total_partitions")
    refuse_contradictions({**values, "sample": sample}, quick=quick)
    return VerifySettings(
        selection=general.selection,
        merge_namespaces=general.merge_namespaces,
        form=to_form(values),
        tasks=values["parallel_integrity_check_workers"] or general.local_copiers,
        retry_for=general.retry_for,
        memory_limit=general.memory_limit,
        recheck=values.get("recheck", RECHECKS),
        recheck_pause=values.get("recheck_pause", RECHECK_PAUSE),
        limit=values.get("limit"),
        quick_count=quick,
        part=part or 1,
        parts=parts or 1,
        sample=sample,
        ignore_extra=bool(values.get("ignore_extra")),
        duplicates=general.duplicates,
        transform=general.transform,
    )


def refuse_contradictions(values: Mapping[str, Any], *, quick: bool) -> None:
    """Raises UsageError for options that would not do what they say beside each other."""
    part, parts = values.get("partition"), values.get("total_partitions")
    if (part is None) != (parts is None):
        raise UsageError("--partition and --total-partitions belong together", remedy="give both or neither")
    if part is not None and parts is not None and part > parts:
        raise UsageError(f"--partition {part} is more than --total-partitions {parts}", remedy="parts count from 1")
    if part is not None and values["sample"]:
        raise UsageError("a sample cannot be shared out", remedy="give --sample or --partition, not both")
    for name in NOT_WITH_COUNTS if quick else ():
        if values.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} has no meaning where only counts are compared",
                remedy="leave it or --quick-count out",
            )


def to_form(values: Mapping[str, Any]) -> Form:
    """What of a document is compared."""
    from dsync.flow.digest import Form

    fields = [field for value in values.get("projection", ()) for field in value.split(",")]
    paths = tuple(tuple(part.encode() for part in field.split(".")) for field in dict.fromkeys(fields))
    if any(not part for path in paths for part in path):
        raise UsageError("--projection has an empty name", remedy="write names of fields as in a,b.c")
    as_text = bool(values.get("as_text"))
    if as_text and any(len(path) > 1 for path in paths):
        raise UsageError("--projection with --as-text takes whole columns", remedy="name them without dots")
    return Form(bool(values.get("ignore_field_order")), as_text, paths)


def summary(outcome: Outcome) -> Iterator[str]:
    """Lines for people about each namespace and the whole."""
    from dsync.progress.text import MOST_LISTED, number

    interesting = sorted(outcome.namespaces, key=lambda each: not (each.differences or each.counts_differ))
    for each in interesting[:MOST_LISTED]:
        yield namespace_line(each)
    if len(interesting) > MOST_LISTED:
        yield f"  and {number(len(interesting) - MOST_LISTED, 'more namespace')}"
    yield total_line(outcome)
    for note in outcome.notes:
        yield f"note: {note}"


def namespace_line(found: NamespaceOutcome) -> str:
    """One namespace: the documents of each side, and what differs."""
    return f"  {found.pair.shown}: {counts_text(found.documents)}{differences_text(found.differences)}"


def total_line(outcome: Outcome) -> str:
    """The whole: the verdict, what it holds for, how long it took."""
    covered = f" ({outcome.covered})" if outcome.covered else ""
    counts = counts_text([outcome.documents(side) for side in (0, 1)])
    return f"{outcome.result}{covered}: {counts}{differences_text(outcome.differences)}, {outcome.seconds:.1f} s"


def counts_text(documents: Sequence[int | None]) -> str:
    """How many documents each side has."""
    from dsync.progress.text import number

    ours, theirs = ("an unknown number" if count is None else number(count, "document") for count in documents)
    return f"{ours} on each side" if ours == theirs else f"{ours} at the source, {theirs} at the destination"


def differences_text(differences: Mapping[Any, int]) -> str:
    """How many of each kind, after a comma; empty where there are none."""
    return "".join(f", {count:,} {kind}" for kind, count in sorted(differences.items()) if count)
