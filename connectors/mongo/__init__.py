"""MongoDB: source and sink, raw BSON end to end."""

import click

from dsync.connector import ConnectorSpec

POSITIVE = click.IntRange(min=1)
SECONDS = click.FloatRange(min=0, min_open=True)

CONNECTION_OPTIONS = (
    click.Option(
        ["--password"],
        metavar="PASSWORD",
        help="The password of the user whom the URI names without one, as in mongodb://USER@HOST.",
    ),
    click.Option(
        ["--server-timeout"],
        type=SECONDS,
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to look for a server that can be used before giving up.",
    ),
    click.Option(
        ["--ping-timeout"],
        type=SECONDS,
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="How long a server that was found may take to answer the first ping.",
    ),
    click.Option(
        ["--operation-timeout"],
        type=SECONDS,
        default=120.0,
        show_default=True,
        metavar="SECONDS",
        help="How long one read or write may take before it is given up and tried again.",
    ),
)

SOURCE_OPTIONS = (
    click.Option(
        ["-q", "--initial-sync-query"],
        default="",
        metavar="FILTER",
        help="Copy and follow only the documents that match this filter, written as Extended JSON, "
        """for instance '{"status": "active"}'.""",
    ),
    click.Option(
        ["--doc-partition"],
        type=POSITIVE,
        default=50_000,
        show_default=True,
        metavar="DOCUMENTS",
        help="How many documents a partition should hold; partitions are copied side by side.",
    ),
    click.Option(
        ["--max-page-size"],
        type=click.IntRange(min=1, max=100_000),
        default=4_000,
        show_default=True,
        metavar="DOCUMENTS",
        help="How many documents are read at a time; a page also ends at about 2 MB.",
    ),
    click.Option(
        ["--per-namespace-streams"],
        is_flag=True,
        help="Follow each collection in a change stream of its own, with its own position, and later ones in one more.",
    ),
    click.Option(
        ["--full-document-key"],
        is_flag=True,
        help="Identify changed documents by the shard key and _id instead of _id alone; for sharded destinations.",
    ),
    click.Option(
        ["--ddl"],
        type=click.Choice(["fail", "apply", "ignore"]),
        default="fail",
        show_default=True,
        help="What to do when a collection is dropped or renamed while it is copied or followed: stop, do the same to the "
        "destination's documents, or leave them there.",
    ),
    click.Option(
        ["--stream-wait"],
        type=SECONDS,
        default=1.0,
        show_default=True,
        metavar="SECONDS",
        help="How often an idle change stream reports its position.",
    ),
)

SINK_OPTIONS = (
    click.Option(
        ["--skip-batch-overwrite"],
        is_flag=True,
        help="In the copy, leave documents whose _id is already there as they are instead of replacing them.",
    ),
    click.Option(
        ["--writer-batch-size"],
        type=click.IntRange(min=0, max=100_000),
        default=0,
        metavar="DOCUMENTS",
        help="How many documents go into one write command at most; 0: as many as arrive together.",
    ),
)

SPEC = ConnectorSpec(
    name="mongodb",
    summary="MongoDB databases and collections; copies and follows changes",
    examples=(
        "mongodb://localhost:27017/shop",
        "mongodb://user:password@host1,host2/shop?replicaSet=rs0",
        "mongodb+srv://user:password@cluster0.example.net",
    ),
    factory="connectors.mongo.connector:MongoConnector",
    options=CONNECTION_OPTIONS,
    source_options=SOURCE_OPTIONS,
    sink_options=SINK_OPTIONS,
    tuning=frozenset(
        {"server_timeout", "ping_timeout", "operation_timeout", "stream_wait", "ddl", "writer_batch_size"}
    ),
    secrets=frozenset({"password"}),
    extra="mongodb",
    uri_options=False,
)
