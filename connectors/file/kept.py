"""A cache of things that are taken out to be used and put back under the place where they are now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Thing = TypeVar("Thing")


class Kept(Generic[Key, Thing]):
    """Up to `limit` things; nobody else has one that was taken."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._things: OrderedDict[Key, Thing] = OrderedDict()

    def take(self, key: Key) -> Thing | None:
        """The thing of this key, which is no longer kept."""
        return self._things.pop(key, None)

    def keep(self, key: Key, thing: Thing) -> Thing | None:
        """Keeps a thing; what has to make room for it comes back."""
        before = self._things.pop(key, None)
        self._things[key] = thing
        if before is None and len(self._things) > self._limit:
            return self._things.popitem(last=False)[1]
        return before if before is not thing else None

    def drain(self) -> list[Thing]:
        """All things, none of which is kept any more."""
        things = list(self._things.values())
        self._things.clear()
        return things
