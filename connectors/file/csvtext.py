"""Values as the text of CSV cells, a column at a time: `plain` for people and other programs, `ejson` for the way back.

plain: strings as they are, numbers, true and false, dates in ISO 8601, ids in hexadecimal, everything else as JSON; null and
missing fields are empty cells (or null is the layout's token).

ejson: a string stands bare unless it is empty, is `\\N` or reads as JSON; such a one is a JSON string. Everything else is
Extended JSON; null is `\\N`, a missing field is an empty cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from connectors.file.csvcells import JSON_STARTS, instant, reads_as_json

# What columns held, as the report calls it.
NULLS, MISSES, EMPTIES = "nulls", "missing values", "empty strings"
TOKENS, AMBIGUOUS = "nulls as the token", "strings that are the token"
STRINGS, NUMBERS, BOOLEANS, DATES, IDS, NESTED = "strings", "numbers", "booleans", "dates", "ids", "nested values"

_UNSURE = frozenset({*JSON_STARTS, "", "\\"})


class Missing:
    """The type of a field that a document does not have."""


MISSING: Final = Missing()


class Number(str):
    """A number as it stands in a JSON text, where Python's numbers would not say the same."""

    __slots__ = ()


class Json(str):
    """An array or a document as it stands in a JSON text."""

    __slots__ = ()


Cells = Sequence[Any]
Cell = Callable[[Any], tuple[str, str]]


class PlainText:
    """Columns as plain text; what is not text by itself is remembered for the report."""

    def __init__(self, null: str | None) -> None:
        self._cells: dict[type, Cell] = {
            **_CELLS,
            type(None): lambda _: (TOKENS if null else NULLS, null or ""),
            dict: _plain_document,
        }
        self._null = null

    def column(self, values: Sequence[Any], held: set[str]) -> Cells:
        """The cells of a column; adds to `held` what it held."""
        types = set(map(type, values))
        if str in types and "" in values:
            held.add(EMPTIES)
        if str in types and self._null and self._null in values:
            held.add(AMBIGUOUS)
        if types == {str}:
            held.add(STRINGS)
            return values
        if types == {float}:
            held.add(NUMBERS)
            return _floats(values)
        if types == {int}:
            held.add(NUMBERS)
            return values
        cells = []
        for value in values:
            kind, text = self._cells[type(value)](value)
            held.add(kind)
            cells.append(text)
        return cells


class ExtendedText:
    """Columns that `--types ejson` reads back as the values that they were."""

    def __init__(self) -> None:
        self._cells: dict[type, Callable[[Any], str]] = {
            str: extended_string,
            type(None): lambda _: "\\N",
            dict: _json,
            list: _json,
            Json: str,
            Number: str,
            bool: _json,
            int: str,
            float: _json,
            Missing: lambda _: "",
        }

    def column(self, values: Sequence[Any], _: set[str]) -> Cells:
        """The cells of a column."""
        types = set(map(type, values))
        if types == {str}:
            if _UNSURE.isdisjoint({value[:1] for value in values}):
                return values
            return [value if value[:1] not in _UNSURE else extended_string(value) for value in values]
        if types == {float}:
            return _floats(values)
        if types == {int}:
            return values
        return [self._cells[type(value)](value) for value in values]


def extended_string(text: str) -> str:
    """A string in the ejson form."""
    return _json(text) if not text or text == "\\N" or reads_as_json(text) else text


def _floats(values: Sequence[float]) -> Cells:
    # As JSON writes them: Python's own text of 1e16 differs.
    return orjson.dumps(list(values))[1:-1].decode().split(",")


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _plain_document(document: dict[str, Any]) -> tuple[str, str]:
    if len(document) == 1:
        ((name, value),) = document.items()
        read = _WRAPPERS.get(name)
        known = read(value) if read is not None else None
        if known is not None:
            return known
    return NESTED, _json(document)


def _text_of(kind: str) -> Callable[[Any], tuple[str, str] | None]:
    return lambda value: (kind, value) if type(value) is str else None


def _plain_date(value: Any) -> tuple[str, str] | None:
    if type(value) is str:
        return DATES, value
    try:
        text = instant(int(value["$numberLong"]))
    except (KeyError, TypeError, ValueError):
        return None
    return None if text is None else (DATES, text)


_WRAPPERS: dict[str, Callable[[Any], tuple[str, str] | None]] = {
    "$oid": _text_of(IDS),
    "$date": _plain_date,
    "$numberInt": _text_of(NUMBERS),
    "$numberLong": _text_of(NUMBERS),
    "$numberDouble": _text_of(NUMBERS),
    "$numberDecimal": _text_of(NUMBERS),
}

_CELLS: dict[type, Cell] = {
    str: lambda text: (STRINGS, text),
    bool: lambda value: (BOOLEANS, "true" if value else "false"),
    int: lambda value: (NUMBERS, str(value)),
    float: lambda value: (NUMBERS, _json(value)),
    Number: lambda text: (NUMBERS, text),
    list: lambda value: (NESTED, _json(value)),
    Json: lambda text: (NESTED, text),
    Missing: lambda _: (MISSES, ""),
}
