"""A file that is put together while batches behind its first ones are still written."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from connectors.file import durable
from connectors.file.layouts import Layout
from connectors.file.staging import Staged

ASSEMBLED = "assembled"


class Assembly:
    """Batches one after another in a file beside them, which has no name to stay by yet; blocking.

    Nobody relies on it: it knows which files it took, and whoever finds other ones begins anew. Takes the same memory however
    many they are.
    """

    def __init__(self, folder: Path) -> None:
        self._ending = contextlib.ExitStack()
        self.descriptor, self.path = self._ending.enter_context(durable.written_beside(folder / ASSEMBLED))
        # How many batches it has, and what tells them from others.
        self.taken = 0
        self._seen = hashlib.blake2b()

    def extend(self, layout: Layout, batches: Sequence[Staged]) -> list[str]:
        """Adds batches; answers what the file cannot say of them."""
        notes = layout.assemble(batches, self.descriptor)
        _note(self._seen, batches)
        self.taken += len(batches)
        return notes

    def leads_to(self, batches: Sequence[Staged]) -> bool:
        """Whether the first of these batches are those that it has, unchanged."""
        found = hashlib.blake2b()
        _note(found, batches[: self.taken])
        return found.digest() == self._seen.digest()

    def close(self) -> None:
        """Removes the file unless it has got another name. Repeatable."""
        self._ending.close()


def _note(seen: hashlib.blake2b, batches: Iterable[Staged]) -> None:
    for batch in batches:
        seen.update(repr((batch.path.name, batch.documents, batch.offset, batch.size, batch.version)).encode())
