"""JSON objects in S3 and what speaks like it: a folder of objects per namespace, plain, gzip or zstd."""

import click

from dsync.connector import ConnectorSpec

SPEC = ConnectorSpec(
    name="s3",
    summary="Objects of JSON in S3 or a store that speaks like it: a JSON array or JSON lines, plain, gzip or zstd.",
    examples=(
        "s3://bucket/backup --region eu-west-1",
        "s3://bucket/export/people.jsonl.gz --profile work",
        "s3://bucket --endpoint http://localhost:9000 --use-path-style",
    ),
    factory="connectors.s3.connector:S3Connector",
    options=(
        click.Option(
            ["--region"], metavar="NAME", help="The bucket's region. Default: what the AWS configuration says."
        ),
        click.Option(
            ["--endpoint"],
            metavar="URL",
            help="Another server than Amazon's, as in http://localhost:9000 (MinIO, Ceph, R2, ...).",
        ),
        click.Option(
            ["--profile"], metavar="NAME", help="The profile of ~/.aws/config and ~/.aws/credentials to sign in with."
        ),
        click.Option(
            ["--access-key-id"],
            metavar="ID",
            help="The access key. Default: the usual AWS chain: AWS_ACCESS_KEY_ID, ~/.aws, the machine's role.",
        ),
        click.Option(
            ["--secret-access-key"],
            metavar="KEY",
            help="The secret of --access-key-id; better in AWS_SECRET_ACCESS_KEY, where other users cannot see it.",
        ),
        click.Option(
            ["--session-token"],
            metavar="TOKEN",
            help="The token of temporary credentials; better in AWS_SESSION_TOKEN.",
        ),
        click.Option(
            ["--use-path-style"],
            is_flag=True,
            default=False,
            help="Address the bucket as http://host/bucket instead of http://bucket.host, as many other servers want it.",
        ),
        click.Option(
            ["--prefix"],
            metavar="TEXT",
            help="The folder within the bucket, below what the URI names: s3://b/a --prefix c is s3://b/a/c.",
        ),
    ),
    source_options=(
        click.Option(
            ["--partition-size"],
            metavar="SIZE",
            default="16MiB",
            show_default=True,
            help="Uncompressed objects larger than this are read in parts side by side, smaller ones together, as in "
            "64MiB; at least 4MiB. 0: every object as a whole.",
        ),
    ),
    sink_options=(
        click.Option(
            ["--max-file-size"],
            type=click.IntRange(1, 1024),
            default=8,
            show_default=True,
            metavar="MB",
            help="About how much an object holds, before compression. Each one is made in memory.",
        ),
        click.Option(
            ["--output-format"],
            type=click.Choice(["json", "jsonl"]),
            default="json",
            show_default=True,
            help="json: an object is a JSON array. jsonl: one document a line.",
        ),
        click.Option(
            ["--compression"],
            type=click.Choice(["none", "gzip", "zstd"]),
            default="none",
            show_default=True,
            help="How objects are compressed when written. When read, name and content tell.",
        ),
    ),
    secrets=frozenset({"access_key_id", "secret_access_key", "session_token"}),
    tuning=frozenset({"region", "profile", "use_path_style", "partition_size"}),
    extra="s3",
)
