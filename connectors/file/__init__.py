"""Files and folder trees: CSV, JSON lines, JSON, BSON and Parquet, plain or compressed, as source and as sink."""

import click

from connectors.file.kinds import COMPRESSION_CHOICES, FORMAT_CHOICES
from dsync.connector import ConnectorSpec

_FORMAT = click.Option(
    ["--format"],
    type=click.Choice(FORMAT_CHOICES),
    default="auto",
    show_default=True,
    help="What the files hold. auto goes by the extension (.csv .tsv .jsonl .ndjson .json .bson .parquet); a new folder gets "
    "jsonl. json is an array or objects one after another, jsonl one object a line, bson what mongodump writes; parquet needs "
    "pip install 'dsync[parquet]'.",
)
_COMPRESSION = click.Option(
    ["--compression"],
    type=click.Choice(COMPRESSION_CHOICES),
    default="auto",
    show_default=True,
    help="How the files are compressed. auto goes by the extension (.gz, .zst); a new folder gets none.",
)
_DELIMITER = click.Option(
    ["--delimiter"],
    metavar="CHAR",
    help="CSV: what stands between cells, one character, or the word tab. Default: a comma, for .tsv files a tab.",
)

_COLUMNS = click.Option(
    ["--columns"],
    metavar="A,B,...",
    help="CSV: names of columns, in order. Read: for files without a header; with --header yes they replace its names. "
    "Written: these columns come first.",
)
_NULL = click.Option(
    ["--null"],
    metavar="TOKEN",
    help=r"CSV: the text of a cell that means null, as in --null '\N' or, when reading, --null '' (empty cells). "
    "Default: no cell is read as null, null is written as an empty cell.",
)

_SOURCE_OPTIONS = (
    click.Option(
        ["--header"],
        type=click.Choice(["auto", "yes", "no"]),
        default="auto",
        show_default=True,
        help="CSV: whether the first line names the columns. auto takes it as names unless it looks like data (an empty, "
        "numeric, \\N or repeated cell), which is an error that shows both readings.",
    ),
    click.Option(
        ["--types"],
        metavar="TYPES",
        default="strings",
        show_default=True,
        help="CSV: strings takes every cell as text; infer finds numbers, dates and true/false; NAME:TYPE,... types some "
        "columns (string, int, long, double, decimal, bool, date, objectid, uuid, binary, json); ejson reads what "
        "--types ejson wrote, every value as it was.",
    ),
    click.Option(
        ["--id-column"],
        metavar="NAME",
        help="CSV: the column that is the document's identity; it becomes _id. Default: _id, else id, else the line makes one.",
    ),
    click.Option(
        ["--batch-size"],
        type=click.IntRange(1, 1_000_000),
        default=4_000,
        show_default=True,
        metavar="N",
        help="The most documents in a page; pages also end after about 64 KB of text or 1 MB of BSON.",
    ),
    click.Option(
        ["--partition-size"],
        metavar="SIZE",
        default="8MiB",
        show_default=True,
        help="Plain files larger than this are read in parts side by side, as in 64MiB. Compressed files are read as a whole.",
    ),
)

_SINK_OPTIONS = (
    click.Option(
        ["--types"],
        type=click.Choice(["plain", "ejson"]),
        default="plain",
        show_default=True,
        help="CSV: plain writes values as people expect them, but null, missing and empty look alike; ejson writes every "
        "value so that --types ejson reads it back as it was.",
    ),
)

SPEC = ConnectorSpec(
    name="file",
    summary="A file or a folder of files: CSV, JSON lines, JSON, BSON or Parquet, plain, gzip or zstd.",
    examples=("people.csv", "dump/shop --format bson", "file:///data/out/ --format csv --compression gzip"),
    factory="connectors.file.connector:FileConnector",
    options=(_FORMAT, _COMPRESSION, _DELIMITER, _COLUMNS, _NULL),
    source_options=_SOURCE_OPTIONS,
    sink_options=_SINK_OPTIONS,
    tuning=frozenset({"batch_size", "partition_size"}),
)
