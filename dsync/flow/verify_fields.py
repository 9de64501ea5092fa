"""In which fields two documents differ: paths, never values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from dsync.codec import raw
from dsync.flow.digest import Form, id_first

# A document with more differences than this names the first ones; `ELLIPSIS` stands for the rest.
MOST_PATHS = 1000
ELLIPSIS = "…"

Element = tuple[int, bytes]


def changed_paths(ours: bytes, theirs: bytes, form: Form) -> list[str]:
    """Paths of the fields that were added, removed, changed or moved, each once, in the order of `ours`; the deepest that tell."""
    found: Iterable[bytes]
    if form.as_text:
        before, after = form.texts(ours), form.texts(theirs)
        found = (key for key in (before | after) if before.get(key) != after.get(key))
    elif form.projection:
        found = (b".".join(path) for path in form.projection if form.at(ours, path) != form.at(theirs, path))
    else:
        found = _differences(id_first(ours), id_first(theirs), b"", form.ignore_field_order)
    paths = [path.decode(errors="replace") for path in islice(dict.fromkeys(found), MOST_PATHS + 1)]
    return paths if len(paths) <= MOST_PATHS else [*paths[:MOST_PATHS], ELLIPSIS]


def _differences(ours: bytes, theirs: bytes, prefix: bytes, any_order: bool) -> Iterator[bytes]:
    before, after = _by_key(ours), _by_key(theirs)
    for key in dict.fromkeys((*before, *after)):
        here, there = before.get(key, []), after.get(key, [])
        if here == there:
            continue
        path = prefix + key
        if len(here) == len(there) == 1 and here[0][0] == there[0][0] and here[0][0] in (raw.DOCUMENT, raw.ARRAY):
            deeper = list(_differences(here[0][1], there[0][1], path + b".", any_order))
            yield from deeper or ([] if any_order else [path])
        else:
            yield path
    if not any_order:
        yield from (prefix + key for key in _moved(list(before), list(after)))


def _by_key(document: bytes) -> dict[bytes, list[Element]]:
    found: dict[bytes, list[Element]] = {}
    for kind, key, start, end in raw.elements(document):
        found.setdefault(key, []).append((kind, document[start:end]))
    return found


def _moved(before: list[bytes], after: list[bytes]) -> Iterator[bytes]:
    """Keys of both that stand at another place among those of both."""
    ours, theirs = set(before), set(after)
    here, there = [key for key in before if key in theirs], [key for key in after if key in ours]
    yield from (key for key, other in zip(here, there, strict=True) if key != other)
