"""Sources that make their documents up: `/dev/fakesource` for load, `/dev/random` for variety."""

import click

from dsync.connector import ConnectorSpec

MILLISECONDS = click.FloatRange(min=0)


def _shared(namespace_prefix: str, update_partitions: int) -> tuple[click.Option, ...]:
    return (
        _count("--num-namespaces", 1, 1, "How many namespaces there are.", 100_000),
        _count("--num-partitions-per-namespace", 1, 1, "How many partitions each namespace is read in.", 100_000),
        _count(
            "--num-update-partitions-per-namespace",
            update_partitions,
            0,
            "How many change streams each namespace has; 0 is a source without one.",
            1000,
        ),
        _count("--num-docs-per-partition", 1000, 0, "How many documents each partition holds.", 10**12),
        _count("--batch-size", 1000, 1, "Documents a page; large documents come in smaller pages, of about 8 MiB."),
        _count("--update-batch-size", 100, 1, "The most updates in one message of a change stream."),
        _count("--max-updates-per-tick", 10, 1, "Each tick of a change stream brings 1 to this many updates."),
        _count("--update-duration", 0, 0, "Ticks after which a change stream falls silent; 0 is never."),
        click.Option(
            ["--stream-tick"],
            type=MILLISECONDS,
            default=1000.0,
            show_default=True,
            metavar="MS",
            help="Milliseconds between two ticks of a change stream; 0 is as fast as it is read.",
        ),
        click.Option(
            ["--namespace-prefix"],
            default=namespace_prefix,
            show_default=True,
            metavar="TEXT",
            help="What namespaces are called, before their number (from 1).",
        ),
        click.Option(
            ["--sleep"],
            type=MILLISECONDS,
            default=0.0,
            metavar="MS",
            help="Milliseconds to wait before each page, like a slow store.",
        ),
        click.Option(
            ["--jitter"],
            type=MILLISECONDS,
            default=0.0,
            metavar="MS",
            help="Up to this many milliseconds, by chance, on top of --sleep.",
        ),
        click.Option(
            ["--seed"],
            type=int,
            default=1,
            show_default=True,
            metavar="N",
            help="The same seed gives the same documents and updates, everywhere and always.",
        ),
    )


def _count(name: str, default: int, least: int, text: str, most: int | None = None) -> click.Option:
    return click.Option(
        [name], type=click.IntRange(least, most), default=default, show_default=True, metavar="N", help=text
    )


# When pages and ticks come, and how large they are, changes no document.
TUNING = frozenset({"sleep", "jitter", "stream_tick", "update_duration", "batch_size", "update_batch_size"})

RANDOM = ConnectorSpec(
    name="random",
    summary="Documents of many types, made up from a seed, then a stream of random inserts, updates and deletes.",
    examples=("/dev/random", "random:// --num-docs-per-partition 5000 --seed 7"),
    factory="connectors.random.varied:VariedSource",
    source_options=_shared("random.docs", 1),
    tuning=TUNING,
    sink=False,
)

FAKESOURCE = ConnectorSpec(
    name="fakesource",
    summary="Plain documents as fast as they can be made, to try out and measure a destination.",
    examples=("/dev/fakesource", "fakesource:// --num-namespaces 2 --num-docs-per-partition 100000 --payload 400"),
    factory="connectors.random.fakesource:FakeSource",
    source_options=(
        *_shared("fakesource.docs", 0),
        click.Option(
            ["--payload"],
            default="",
            metavar="BYTES|TEXT",
            help="A field `payload` in every document: a number is bytes of padding, anything else the text itself.",
        ),
        click.Option(
            ["--payload-json"],
            default="",
            metavar="OBJECT",
            help="""A JSON object (or Extended JSON) whose fields every document gets, as in '{"kind": "test"}'.""",
        ),
    ),
    tuning=TUNING,
    sink=False,
)
