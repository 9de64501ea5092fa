"""Functions that tests name as transforms: good ones, and every way of being bad."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from typing import Any

Made = Iterator[tuple[str, dict[str, Any]]]

not_a_function = 7


def keep(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Everything as it is."""
    yield namespace, {"_id": id} if document is None else document


def mark(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """A field more."""
    yield namespace, {"_id": id} if document is None else document | {"marked": True}


def even(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Leaves out the documents with an odd number."""
    if document is None:
        yield namespace, {"_id": id}
    elif document["number"] % 2 == 0:
        yield namespace, document


def by_parity(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Another namespace by what is in a document."""
    if document is None:
        yield f"{namespace}_odd", {"_id": id}
        yield f"{namespace}_even", {"_id": id}
    else:
        yield f"{namespace}_{'odd' if document['number'] % 2 else 'even'}", document


def split(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """One document for each of up to three parts, with ids that follow from the id."""
    count = 3 if document is None else document["number"] % 4
    for part in range(count):
        yield f"{namespace}_parts", {"_id": f"{id}/{part}"} | ({} if document is None else {"of": id, "part": part})


def split_anyhow(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Two documents with ids that follow from nothing that a delete knows."""
    if document is None:
        yield namespace, {"_id": id}
    else:
        yield namespace, {"_id": f"{document['number']}a"}
        yield namespace, {"_id": f"{document['number']}b"}


def forget_deletes(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Has no answer to a delete."""
    if document is not None:
        yield namespace, document


def raises(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Fails on every tenth document, with its contents in the error's text."""
    if document is not None and document["number"] % 10 == 7:
        raise ValueError(f"secret {document['text']}")
    yield namespace, {"_id": id} if document is None else document


def random_ids(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Never the same twice."""
    yield namespace, {"_id": str(uuid.uuid4())}


def random_values(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """The same ids, never the same documents."""
    yield namespace, {"_id": id} if document is None else document | {"luck": random.random()}


def no_answer(namespace: str, document: dict[str, Any] | None, id: Any) -> Any:
    """A forgotten yield."""
    return None


def text(namespace: str, document: dict[str, Any] | None, id: Any) -> Any:
    """Not an iterable of pairs."""
    return "text"


def no_pairs(namespace: str, document: dict[str, Any] | None, id: Any) -> Any:
    """A forgotten namespace."""
    yield {"_id": id}


def no_namespace(namespace: str, document: dict[str, Any] | None, id: Any) -> Any:
    """An empty namespace."""
    yield "", {"_id": id}


def no_document(namespace: str, document: dict[str, Any] | None, id: Any) -> Any:
    """A list in the place of a document."""
    yield namespace, [1]


def no_bson(namespace: str, document: dict[str, Any] | None, id: Any) -> Any:
    """A value that no store has."""
    yield namespace, {"_id": id, "odd": object()}


def exits(namespace: str, document: dict[str, Any] | None, id: Any) -> Any:
    """Tries to end the program."""
    raise SystemExit(0)


def two_arguments(namespace: str, document: dict[str, Any]) -> Made:
    """Takes too little."""
    yield namespace, document


async def asynchronous(namespace: str, document: dict[str, Any], id: Any) -> Any:
    """Would never run."""
    yield namespace, document


def together(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Everything into one namespace, under the ids as they are."""
    yield "all", {"_id": id} if document is None else document


def half(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Two documents become one."""
    yield namespace, {"_id": id // 2} if document is None else document | {"_id": id // 2}


def late_split(namespace: str, document: dict[str, Any] | None, id: Any) -> Made:
    """Ids that follow from the id, but for documents with large numbers."""
    if document is not None and document["number"] > 1900:
        yield namespace, document | {"_id": f"{id} and {document['number']}"}
    else:
        yield namespace, {"_id": id} if document is None else document
