"""A folder of two text files: documents to begin with, and updates to follow."""

import click

from dsync.connector import ConnectorSpec

SPEC = ConnectorSpec(
    name="testconn",
    summary="A folder with bootstrap.json (documents) and updates.json (changes): test data that is written by hand.",
    examples=("testconn://folder", "testconn:///absolute/folder --namespace-name shop.orders"),
    factory="connectors.testconn.connector:TestconnConnector",
    options=(
        click.Option(
            ["--namespace-name"],
            default="",
            metavar="NAME",
            help="What the folder's one namespace is called; otherwise as it was first written, else testconn.docs.",
        ),
    ),
    source_options=(
        click.Option(
            ["--page-bytes"],
            type=click.IntRange(1, 16 << 20),
            default=64 << 10,
            show_default=True,
            metavar="N",
            help="About how much text is read at a time; longer lines are read whole.",
        ),
    ),
    tuning=frozenset({"page_bytes"}),
)
