"""What a URI and its options ask for, checked before any file is touched."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from connectors.file import kinds
from connectors.file.csvsettings import CsvSettings
from connectors.file.csvwrite import CsvLayout
from dsync.errors import UsageError

BATCH_DOCUMENTS = 4_000
PARTITION_BYTES = 8 << 20

_FILE_URI = re.compile(r"file://([^/]*)(/.*)?", re.IGNORECASE | re.DOTALL)
_SIZE = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


class Settings(Struct, frozen=True):
    """`path` is absolute, links resolved; `format` and `compression` are empty where the extension decides."""

    typed: str
    path: str
    is_folder: bool
    format: str
    compression: str
    delimiter: str
    csv: CsvSettings
    write_types: str
    batch_documents: int
    partition_bytes: int

    def kind_of(self, name: str) -> kinds.Kind:
        """What a file of this name holds; options go before its extension. `format` is empty where nothing tells."""
        kind = kinds.of_name(name)
        stem = kind.stem
        if not kind.format and self.format:
            stem = Path(stem).stem
        delimiter = self.delimiter or kind.delimiter
        return kinds.Kind(stem, self.format or kind.format, self.compression or kind.compression, delimiter)

    def csv_layout(self, delimiter: str) -> CsvLayout:
        """How CSV is written."""
        null = None if self.write_types == "ejson" else self.csv.null
        return CsvLayout(types=self.write_types, delimiter=delimiter, columns=self.csv.columns, null=null)

    def name_of(self, relative: str) -> str:
        """A file below the path (empty: the path itself) as errors call it."""
        return str(Path(self.typed, relative)) if relative else self.typed


def parse(uri: str, options: Mapping[str, Any]) -> Settings:
    """The settings of a connector. Raises UsageError."""
    path = path_of(uri)
    data_format = _choice(options, "format", kinds.FORMAT_CHOICES)
    compression = _choice(options, "compression", kinds.COMPRESSION_CHOICES)
    delimiter = _delimiter(options.get("delimiter"))
    types = options.get("types") or "plain"
    return Settings(
        typed=path,
        path=os.path.realpath(path),
        is_folder=path.endswith("/"),
        format=data_format,
        compression=compression,
        delimiter=delimiter,
        csv=_csv_settings(options, delimiter or ",", types),
        write_types="ejson" if types == "ejson" else "plain",
        batch_documents=_batch_documents(options.get("batch_size")),
        partition_bytes=size_of(options.get("partition_size") or PARTITION_BYTES),
    )


def path_of(uri: str) -> str:
    """The path of a `file://` URI, decoded, or of a plain path, as it stands. Raises UsageError."""
    path = uri
    if match := _FILE_URI.fullmatch(uri):
        if match[1].lower() not in ("", "localhost"):
            raise UsageError(
                f"{uri!r} names the host {match[1]!r}",
                remedy=f"write file:///{match[1]}... or the plain path, as in './data'",
            )
        path = os.fsdecode(unquote_to_bytes(match[2] or ""))
    if not path:
        raise UsageError(f"{uri!r} names no path", remedy="write a path, as in './data' or 'file:///data'")
    if "\0" in path:
        raise UsageError(f"the path {path!r} holds a NUL byte")
    return path


def size_of(text: str | int) -> int:
    """Bytes, from a number or a text such as 8MiB; a kilobyte has 1024. Raises UsageError."""
    match = _SIZE.fullmatch(str(text).strip())
    size = int(match[1]) << (10 * " kmgt".index(match[2].lower() or " ")) if match else 0
    if not 0 < size < 1 << 60:
        raise UsageError(f"{text!r} is no size", remedy="write bytes or a size as in 64MiB")
    return size


def _choice(options: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = options.get(name) or kinds.AUTO
    if value not in choices:
        raise UsageError(f"--{name} {value!r} is not known", remedy=f"use one of {', '.join(choices)}")
    return "" if value == kinds.AUTO else str(value)


def _delimiter(value: str | None) -> str:
    if not value:
        return ""
    delimiter = "\t" if value in ("tab", r"\t") else value
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise UsageError(
            f"--delimiter {value!r} is not one plain character", remedy="use one as in ';', or the word tab"
        )
    return delimiter


def _csv_settings(options: Mapping[str, Any], delimiter: str, types: str) -> CsvSettings:
    columns = options.get("columns") or ""
    return CsvSettings(
        delimiter=delimiter,
        header=options.get("header") or "auto",
        columns=tuple(next(csv.reader([columns]), [])),
        null=options.get("null"),
        types="strings" if types == "plain" else types,
        id_column=options.get("id_column"),
    )


def _batch_documents(value: Any) -> int:
    documents = BATCH_DOCUMENTS if value is None else value
    if not isinstance(documents, int) or documents < 1:
        raise UsageError(f"--batch-size {value!r} is not a number of documents", remedy="use 1 or more")
    return documents
