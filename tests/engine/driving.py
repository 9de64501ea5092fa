"""Small pieces that the engine's tests share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bson

from dsync.settings import Settings
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore


def documents(count: int, start: int = 0) -> list[bytes]:
    """Small documents with ids from `start` up."""
    return [bson.encode({"_id": number, "text": f"document {number}"}) for number in range(start, start + count)]


def store_with(name: str = "source", **namespaces: Iterable[bytes]) -> MemoryStore:
    """A store with these namespaces; `__` in a name stands for a dot."""
    store = MemoryStore(name)
    for namespace, found in namespaces.items():
        store.load(namespace.replace("__", "."), found)
    return store


def connector(store: MemoryStore, **shape: Any) -> MemoryConnector:
    """A connector to a store, of some shape."""
    return MemoryConnector(store, replace(Shape(), **shape))


def contents(store: MemoryStore, namespace: str) -> Sequence[bytes]:
    """What a namespace holds, in the order of the bytes."""
    return sorted(store.documents(namespace))


def settings(state: Path | None = None, **changes: Any) -> Settings:
    """Settings that try nothing again and keep their state in a file, or nowhere."""
    base = Settings(metadata=str(state) if state else "memory:", retry_for=0, mode="InitialSync")
    return replace(base, **changes)
