"""Whether the first record of a file names its columns, and what the fields of its documents are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from connectors.file.csvsettings import CsvSettings, repeated
from connectors.file.csvsyntax import CsvError
from dsync.errors import UsageError

_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")


class Header(Struct, frozen=True):
    """Names of the columns, as the options call them, and of the documents' fields; whether the file's first record holds them."""

    columns: tuple[str, ...]
    fields: tuple[str, ...]
    in_file: bool


def resolve(settings: CsvSettings, first: Sequence[str], name: str, line: int) -> Header:
    """The header of a file whose first record, on `line`, has these cells; none where there is no record at all.

    Raises:
        UsageError: the options do not fit the file, or it takes an option to tell what its first line is.
        CsvError: the header gives a name twice, or one that no document can have.
    """
    if not first:
        return Header(settings.columns, _fields(settings, settings.columns, name), False)
    in_file = _names_columns(settings, first, name, line)
    columns = settings.columns or tuple(first)
    if len(columns) != len(first):
        raise UsageError(
            f"--columns gives {len(columns)} names, line {line} of {name!r} has {len(first)} cells",
            remedy="give as many names as there are columns, or check --delimiter",
        )
    twice = repeated(columns)
    if twice is not None:
        raise CsvError(name, line, f"the header names {twice!r} twice", remedy="rename one, or give --columns as well")
    if nul := next((column for column in columns if "\0" in column), None):
        raise CsvError(
            name, line, f"the column name {nul!r} holds a NUL character", remedy="rename it, or give --columns as well"
        )
    return Header(columns, _fields(settings, columns, name), in_file)


def _names_columns(settings: CsvSettings, first: Sequence[str], name: str, line: int) -> bool:
    # What `--types ejson` reads was written with a header, whatever its names look like.
    if settings.header != "auto" or (settings.types == "ejson" and not settings.columns):
        return settings.header != "no"
    if settings.columns:
        if tuple(first) == settings.columns:
            return True
        doubt = "--columns gives other names than it has"
        names = ",".join(settings.columns)
        raise _either(
            name, line, doubt, "it is a header, whose names --columns replaces", f"--header no --columns {names}"
        )
    doubt = _doubt(first)
    if not doubt:
        return True
    names = ",".join(f"column{number}" for number in range(1, len(first) + 1))
    raise _either(name, line, doubt, f"it names {len(first)} columns", f"--header no --columns {names}")


def _either(name: str, line: int, doubt: str, as_header: str, without: str) -> UsageError:
    return UsageError(
        f"cannot tell whether line {line} of {name!r} is a header: {doubt}",
        remedy=f"say --header yes ({as_header}), or {without} (it is the first record)",
    )


def _doubt(cells: Sequence[str]) -> str:
    """Why the cells are hardly names; empty when nothing speaks against it."""
    for number, cell in enumerate(cells, 1):
        if not cell.strip():
            return f"its cell {number} is empty"
        if cell == "\\N":
            return f"its cell {number} is \\N"
        if _NUMBER.fullmatch(cell):
            return f"its cell {number} is a number"
        if cell in cells[: number - 1]:
            return f"its cell {number} repeats another"
    return ""


def _fields(settings: CsvSettings, columns: tuple[str, ...], name: str) -> tuple[str, ...]:
    wanted = [("--types", column) for column in settings.typed_columns()]
    if settings.id_column is not None:
        wanted.append(("--id-column", settings.id_column))
    for option, column in wanted:
        if columns and column not in columns:
            raise UsageError(
                f"{option} names column {column!r}, which {name!r} does not have",
                remedy=f"its columns are {', '.join(columns)}",
            )
    if settings.id_column in (None, "_id"):
        return columns
    if "_id" in columns:
        raise UsageError(
            f"--id-column {settings.id_column!r} becomes _id, and {name!r} has a column _id",
            remedy="leave --id-column out",
        )
    return tuple("_id" if column == settings.id_column else column for column in columns)
