"""What a file is by its name: format, compression, and the name without either."""

from __future__ import annotations

import functools

from msgspec import Struct

CSV, JSONL, JSON, BSON, PARQUET = "csv", "jsonl", "json", "bson", "parquet"
AUTO = "auto"
FORMAT_CHOICES = (AUTO, CSV, JSONL, JSON, BSON, PARQUET)
COMPRESSION_CHOICES = (AUTO, "none", "gzip", "zstd")

# The first extension of a format is the one that is written.
EXTENSIONS = {
    ".csv": CSV,
    ".tsv": CSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": JSON,
    ".bson": BSON,
    ".parquet": PARQUET,
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


class Kind(Struct, frozen=True):
    """What a file's name tells; `format` is empty where it tells none."""

    stem: str
    format: str
    compression: str
    delimiter: str = ","


def of_name(name: str) -> Kind:
    """The kind of a file of this name; extensions in any case."""
    compression = "none"
    for extension, each in _COMPRESSIONS.items():
        if name.lower().endswith(extension) and len(name) > len(extension):
            name, compression = name[: -len(extension)], each
            break
    for extension, each in EXTENSIONS.items():
        if name.lower().endswith(extension) and len(name) > len(extension):
            return Kind(name[: -len(extension)], each, compression, "\t" if extension == ".tsv" else ",")
    return Kind(name, "", compression)


def extension_of(data_format: str, compression: str, delimiter: str = ",") -> str:
    """The extension of a file that is written in this format."""
    if data_format == CSV and delimiter == "\t":
        plain = ".tsv"
    else:
        plain = next(extension for extension, each in EXTENSIONS.items() if each == data_format)
    return plain + next((extension for extension, each in _COMPRESSIONS.items() if each == compression), "")


def to_text(kind: Kind) -> str:
    """The kind as it stands in a cursor."""
    return f"{kind.format} {kind.compression} {ord(kind.delimiter)}"


@functools.lru_cache
def of_text(text: str) -> Kind | None:
    """The kind that a cursor names; None where it is none."""
    match text.split(" "):
        case [str(data_format), str(compression), str(delimiter)]:
            known = data_format in FORMAT_CHOICES[1:] and compression in COMPRESSION_CHOICES[1:]
            if known and delimiter.isascii() and delimiter.isdigit() and int(delimiter) < 128:
                return Kind("", data_format, compression, chr(int(delimiter)))
    return None
