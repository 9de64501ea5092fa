"""How `mystore://` presents itself to dsync. It is imported for every `dsync help`, so it imports no driver."""

import click

from dsync import ConnectorSpec

SPEC = ConnectorSpec(
    name="mystore",
    summary="Documents in a SQLite file.",
    examples=("mystore://shop.db", "mystore:///data/shop.db --page-documents 500"),
    factory="dsync_mystore.connector:MystoreConnector",
    options=(
        click.Option(
            ["--busy-timeout"],
            type=click.FloatRange(0),
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for another program that writes to the file.",
        ),
    ),
    source_options=(
        click.Option(
            ["--page-documents"],
            type=click.IntRange(1, 100_000),
            default=1000,
            show_default=True,
            metavar="N",
            help="The most documents in a page.",
        ),
    ),
    # Options whose change does not make a run another one.
    tuning=frozenset({"busy_timeout", "page_documents"}),
)
