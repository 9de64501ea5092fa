"""What a CSV file does not say about the documents that were written to it, in words for the summary."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from connectors.file.csvstaging import Summary
from connectors.file.csvtext import AMBIGUOUS, BOOLEANS, DATES, EMPTIES, IDS, MISSES, NESTED, NULLS, NUMBERS, STRINGS

_EMPTY = (NULLS, MISSES, EMPTIES)
_TYPED = (NUMBERS, BOOLEANS, DATES, IDS)


def notes_on(types: str, columns: Sequence[str], parts: Sequence[Summary]) -> tuple[str, ...]:
    """The notes on a file of these columns; `ejson` keeps everything but the order of fields."""
    notes: list[str] = []
    if types == "plain":
        held = _held(columns, parts)
        notes += _on_empty_cells(held)
        notes += _on_types(held)
    if _reordered(columns, parts):
        notes.append(
            "some documents have their fields in another order than the header; they read back in the header's"
        )
    return tuple(notes)


def _held(columns: Sequence[str], parts: Sequence[Summary]) -> list[set[str]]:
    held: dict[str, set[str]] = {name: set() for name in columns}
    for part in parts:
        for name, kinds in zip(part.columns, part.held, strict=True):
            held[name].update(kinds)
        if part.documents:
            for name in held.keys() - set(part.columns):
                held[name].add(MISSES)
    return list(held.values())


def _on_empty_cells(held: Iterable[set[str]]) -> list[str]:
    groups = Counter(tuple(kind for kind in _EMPTY if kind in kinds) for kinds in held)
    notes = []
    for kinds in sorted(groups, key=len, reverse=True):
        if kinds in ((), (EMPTIES,)):
            continue
        how = {1: "", 2: "both ", 3: "all "}[len(kinds)]
        notes.append(f"{_columns(groups[kinds])} held {_listed(kinds)}, {how}written as empty cells")
    return notes


def _on_types(held: Sequence[set[str]]) -> list[str]:
    nested = sum(NESTED in kinds for kinds in held)
    ambiguous = sum(AMBIGUOUS in kinds for kinds in held)
    typed = sum(not kinds.isdisjoint(_TYPED) for kinds in held)
    mixed = sum(len(kinds.intersection((STRINGS, NESTED, *_TYPED))) > 1 for kinds in held)
    notes = []
    if nested:
        notes.append(f"{_columns(nested)} held documents, arrays or rare types, written as JSON")
    if typed:
        notes.append(
            f"{_columns(typed)} held numbers, dates, ids or booleans, which read back as text unless --types says more"
        )
    if ambiguous:
        notes.append(f"{_columns(ambiguous)} held strings that are the null token, which read back as null")
    if mixed:
        notes.append(f"{_columns(mixed)} held values of several types, which plain text does not tell apart")
    return notes


def _reordered(columns: Sequence[str], parts: Iterable[Summary]) -> bool:
    place = {name: at for at, name in enumerate(columns)}
    for part in parts:
        places = [place[name] for name in part.columns]
        if part.reordered or any(after < before for before, after in itertools.pairwise(places)):
            return True
    return False


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _listed(kinds: Sequence[str]) -> str:
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
