"""The global options: those of a run, wherever on the line they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from dsync.engine import LOCAL
from dsync.errors import UsageError
from dsync.settings import LOAD_LEVELS, Settings

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class Size(click.ParamType[int]):
    """A number of bytes: 400MB, 2GiB, 1000000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(|[kmg]i?)b?\s*", str(value).lower())
        if match is None:
            self.fail(f"{value!r} is not a size; write for example 400MB or 2GiB", param, ctx)
        return int(float(match[1]) * UNITS[match[2]])


class Replaced(click.Option):
    """An option of other versions that has no meaning here: using it names what replaces it."""

    def __init__(self, name: str, instead: str, *, is_flag: bool = False) -> None:
        super().__init__([name], is_flag=is_flag, hidden=True, expose_value=False, callback=self._refuse)
        self.instead = instead

    def _refuse(self, ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value and ctx.get_parameter_source(param.name or "") is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"{self.opts[0]} has no meaning here; {self.instead}", ctx)


def load_config(ctx: click.Context, param: click.Parameter, path: str | None) -> str | None:
    """Makes the file's options the defaults of this command line."""
    if path and not ctx.resilient_parsing:
        from dsync.cli.config import ENDS, read_config

        known = {option.name or "": option for option in GLOBAL}
        found = read_config(path, set(known))
        ctx.obj = {end: found.pop(end) for end in ENDS if end in found}
        ctx.default_map = {
            name: [value] if known[name].multiple and isinstance(value, str) else value for name, value in found.items()
        }
    return path


SELECTION = (
    click.Option(
        ["--namespace", "--ns", "--nsFrom", "namespace"],
        multiple=True,
        metavar="NAME[:NEW]",
        help="What to copy, comma separated or repeated: db, db.collection, or db.collection:db2.collection2 to give it"
        " another name. A name covers everything below it. Default: everything that SOURCE names.",
    ),
    click.Option(["--exclude"], multiple=True, metavar="NAME", help="What to leave out, by the same names."),
    click.Option(["--merge-namespaces"], is_flag=True, help="Let two source namespaces be written to one."),
)

RUN = (
    click.Option(
        ["--mode"],
        type=click.Choice(["Full", "CDC", "InitialSync"], case_sensitive=False),
        metavar="[Full|CDC|InitialSync]",
        help="Full copies, then follows changes until stopped. CDC only follows them, on from an earlier copy. InitialSync"
        " copies and ends. Default: Full where both ends can, else InitialSync.",
    ),
    click.Option(
        ["--until-caught-up"], is_flag=True, help="End when all changes up to the end of the copy are applied."
    ),
    click.Option(
        ["--indexes"],
        is_flag=True,
        help="Copy indexes, validators and options of collections too: options before the data, the rest after it; unique"
        " indexes as soon as no change under way is in their way. TTL indexes delete at the destination from then on.",
    ),
    click.Option(["--views"], is_flag=True, help="Make the views of the source at the destination, after the data."),
    click.Option(
        ["--reverse"],
        is_flag=True,
        help="Follow the changes of DESTINATION back to SOURCE, from where the last run of the same command ended.",
    ),
    click.Option(
        ["--max-delete"],
        type=click.IntRange(0),
        help="Stop, with exit status 7, before changes delete more documents than this in a run.",
    ),
    click.Option(
        ["--cdc-resume-token-interval"],
        type=click.FloatRange(0.01),
        default=1,
        show_default=True,
        metavar="SECONDS",
        help="How often the position in a change stream is saved.",
    ),
    click.Option(["--flow"], default="", metavar="NAME", help="A name for this run's state, to keep several apart."),
    click.Option(["--restart"], is_flag=True, help="Start an unfinished copy over instead of going on."),
    click.Option(["--overwrite"], is_flag=True, help="Replace files or objects that this flow did not write."),
    click.Option(
        ["--duplicates"],
        type=click.Choice(["fail", "last"]),
        default="fail",
        show_default=True,
        help="When documents share an id: fail at the end, or keep one of each.",
    ),
    click.Option(
        ["--on-error"],
        type=click.Choice(["fail", "set-aside"]),
        default="fail",
        show_default=True,
        help="When the destination refuses a document: fail, or put it into --dead-letters and end with exit status 6.",
    ),
    click.Option(["--dead-letters"], default="", metavar="PATH", help="The file of refused documents, as JSON lines."),
    click.Option(
        ["--metadata", "-m"],
        default="",
        metavar="WHERE",
        help="Where the state is kept: a path, sqlite:///path, mongodb://host/database, or memory: for a run that is never"
        " resumed."
        " Default: the user's state folder.",
    ),
    click.Option(["--cleanup"], is_flag=True, help="Forget the state of this flow and copy nothing (see state reset)."),
)

SPEED = (
    click.Option(
        ["--load-level"],
        type=click.Choice(list(LOAD_LEVELS), case_sensitive=False),
        metavar="[Low|Medium|High|Beast]",
        help="Partitions copied at a time: 4, 8, 16 or 32. Default: Low; on a cluster one for each thread of its workers.",
    ),
    click.Option(
        ["--parallel-copiers"], type=click.IntRange(1), help="The same as a number; it wins over --load-level."
    ),
    click.Option(
        ["--workers"],
        type=click.IntRange(1),
        help="Processes at the most. Default: the cores, started only where they pay; of a cluster all workers.",
    ),
    click.Option(
        ["--engine"],
        default=LOCAL,
        show_default=True,
        metavar="ENGINE",
        help="Where steps of the copy run: local, or a Dask cluster by its scheduler: dask://HOST:8786 or tls://HOST:8786."
        " See docs/scale-out.md.",
    ),
    click.Option(["--memory-limit"], type=Size(), help="For all processes together. Default: a quarter of the memory."),
    click.Option(
        ["--writer-batch-size"],
        type=click.IntRange(1),
        help="Documents in a batch at the most. Default: 4000; of lines that go from file to file as many as fit.",
    ),
    click.Option(
        ["--write-rate-limit"], type=click.FloatRange(0), default=0, help="Documents a second at the most. 0: no limit."
    ),
    click.Option(
        ["--retry-for"],
        type=click.FloatRange(0),
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="How long to try again what may succeed the next time.",
    ),
)

VERIFICATION = (
    click.Option(["--verify"], is_flag=True, help="Copy nothing, verify an earlier copy: the same as dsync verify."),
    click.Option(
        ["--verify-quick-count"],
        is_flag=True,
        help="Copy nothing, compare the numbers of documents of an earlier copy.",
    ),
    click.Option(
        ["--verify-max-tasks"],
        type=click.IntRange(0),
        metavar="N",
        help="Copy nothing, verify a sample of an earlier copy: N partitions of the source, picked at random. 0: all.",
    ),
    click.Option(
        ["--parallel-integrity-check-workers"],
        type=click.IntRange(1),
        metavar="N",
        help="Copy nothing, verify an earlier copy with N partitions read at a time on each side."
        " Default: as --parallel-copiers.",
    ),
)

OUTPUT = (
    click.Option(
        ["--progress/--no-progress"],
        default=None,
        help="A live display at a terminal, a line every few seconds elsewhere. Default: on.",
    ),
    click.Option(["--logfile"], type=click.Path(dir_okay=False), help="Write the log there instead of to stderr."),
    click.Option(
        ["--verbosity"],
        type=click.Choice(["DEBUG", "INFO", "WARN", "ERROR"], case_sensitive=False),
        metavar="[DEBUG|INFO|WARN|ERROR]",
        default="WARN",
        show_default=True,
        help="How much is logged.",
    ),
    click.Option(
        ["--config", "-c"],
        type=click.Path(exists=True, dir_okay=False),
        is_eager=True,
        callback=load_config,
        help="A YAML file with options by their names, and maps `source:`, `destination:` and `transform:` for theirs.",
    ),
)

REPLACED = (
    Replaced("--parallel-writers", "use --parallel-copiers"),
    Replaced("--verify-mem", "use --memory-limit"),
)

GROUPS = {
    "What to copy": SELECTION,
    "How to run": RUN,
    "How fast": SPEED,
    "Verification": VERIFICATION,
    "What to show": OUTPUT,
}
GLOBAL: tuple[click.Option, ...] = (*(option for group in GROUPS.values() for option in group), *REPLACED)

# What may stand behind an endpoint too; the configuration file must be known before any endpoint is read.
BEHIND = tuple(option for option in GLOBAL if option.name != "config")


def merge(before: Mapping[str, Any], behind: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Global options from before and behind the endpoints: lists are joined, else the last one wins."""
    merged = dict(before)
    for values in behind:
        for name, value in values.items():
            merged[name] = (*merged.get(name, ()), *value) if isinstance(value, tuple) else value
    return merged


def to_settings(values: Mapping[str, Any]) -> Settings:
    """The library's settings from the command line's values. Raises UsageError."""
    from dsync import namespaces

    if values["restart"] and values["cleanup"]:
        raise UsageError("--restart and --cleanup exclude each other", remedy="give one of them")
    if (values["on_error"] == "set-aside") != bool(values["dead_letters"]):
        raise UsageError("--on-error set-aside and --dead-letters belong together", remedy="give both or neither")
    copiers = values["parallel_copiers"] or LOAD_LEVELS.get(values["load_level"])
    return Settings(
        selection=namespaces.parse(values["namespace"], values["exclude"]),
        mode=values["mode"],
        flow=values["flow"],
        copiers=copiers,
        engine=values["engine"],
        workers=values["workers"],
        memory_limit=values["memory_limit"],
        writer_batch_size=values["writer_batch_size"],
        write_rate_limit=values["write_rate_limit"],
        retry_for=values["retry_for"],
        metadata=values["metadata"],
        restart=values["restart"],
        overwrite=values["overwrite"],
        reverse=values["reverse"],
        merge_namespaces=values["merge_namespaces"],
        duplicates=values["duplicates"],
        dead_letters=values["dead_letters"],
        until_caught_up=values["until_caught_up"],
        indexes=values["indexes"],
        views=values["views"],
        max_delete=values["max_delete"],
        save_positions_seconds=values["cdc_resume_token_interval"],
        transform=values.get("transform"),
    )
