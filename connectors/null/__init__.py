"""`/dev/null`: takes everything and keeps nothing."""

import click

from dsync.connector import ConnectorSpec

MILLISECONDS = click.FloatRange(min=0)

SPEC = ConnectorSpec(
    name="null",
    summary="Takes every document and update and keeps none: to measure a source, or to look at what it gives.",
    examples=("/dev/null", "/dev/null --log-json", "null:// --sleep 50 --sleep-jitter 10"),
    factory="connectors.null.sink:NullSink",
    sink_options=(
        click.Option(
            ["--log-json"],
            is_flag=True,
            default=False,
            help="Print a line of JSON (Extended JSON) to standard output for every document and update.",
        ),
        click.Option(
            ["--sleep"],
            type=MILLISECONDS,
            default=0.0,
            metavar="MS",
            help="Milliseconds that each write takes, like a slow store.",
        ),
        click.Option(
            ["--sleep-jitter"],
            type=MILLISECONDS,
            default=0.0,
            metavar="MS",
            help="Up to this many milliseconds, by chance, on top of --sleep.",
        ),
        click.Option(
            ["--id"],
            default="null",
            show_default=True,
            metavar="TEXT",
            help="What this sink is called: runs to sinks of different names are different flows.",
        ),
    ),
    tuning=frozenset({"log_json", "sleep", "sleep_jitter"}),
    source=False,
)
