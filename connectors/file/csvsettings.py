"""How a CSV file is to be read, as asked for."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from connectors.file.csvcells import EJSON, INFER, STRING, CellType, parse_types
from connectors.file.csvsyntax import Dialect
from dsync.errors import UsageError

_WHOLE_TYPES = ("strings", "infer", "ejson")


class CsvSettings(Struct, frozen=True):
    """How a CSV file is to be read.

    `columns` names the columns where the file does not, or replaces the names of its header; `null` is the text of a cell that
    means null; `types` is strings, infer, ejson or `name:type,…`; the column `id_column` becomes `_id`.

    Raises:
        UsageError: settings that no file can satisfy.
    """

    delimiter: str = ","
    header: str = "auto"
    columns: tuple[str, ...] = ()
    null: str | None = None
    types: str = "strings"
    id_column: str | None = None

    def __post_init__(self) -> None:
        Dialect(self.delimiter)
        if self.header not in ("auto", "yes", "no"):
            raise UsageError(f"--header {self.header!r} is not known", remedy="use auto, yes or no")
        if self.header == "no" and not self.columns:
            raise UsageError("--header no leaves the columns without names", remedy="name them with --columns a,b,…")
        if (twice := repeated(self.columns)) is not None:
            raise UsageError(f"--columns names {twice!r} twice", remedy="give each column a name of its own")
        if self.types == "ejson" and self.null is not None:
            raise UsageError(r"--null does not go with --types ejson", remedy=r"leave --null out: there \N means null")
        self.typed_columns()

    def typed_columns(self) -> dict[str, CellType]:
        """The types of the columns that `types` names one by one."""
        return {} if self.types in _WHOLE_TYPES else parse_types(self.types)

    def types_of(self, columns: Sequence[str]) -> list[CellType | None]:
        """The type of each column; None for strings."""
        if self.types in ("infer", "ejson"):
            return [INFER if self.types == "infer" else EJSON] * len(columns)
        typed = self.typed_columns()
        return [None if typed.get(column) is STRING else typed.get(column) for column in columns]


def repeated(names: Sequence[str]) -> str | None:
    """The first name that stood before, if there is one."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
