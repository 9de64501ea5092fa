"""Small pieces that the tests of transforms share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bson

from dsync.endpoint import Endpoint
from dsync.testing.store import MemoryStore


def function(name: str) -> Endpoint:
    """One of tests.transform.functions as a transform."""
    return Endpoint(f"python:tests.transform.functions:{name}")


def numbered(numbers: Iterable[int]) -> list[bytes]:
    """Documents with these numbers as ids too."""
    return [bson.encode({"_id": n, "number": n, "text": f"text of {n}"}) for n in numbers]


def found(store: MemoryStore) -> dict[str, list[Any]]:
    """The ids of each namespace that has documents."""
    ids = {name: [bson.decode(document)["_id"] for document in store.documents(name)] for name in store.namespaces}
    return {name: sorted(each, key=str) for name, each in ids.items() if each}
