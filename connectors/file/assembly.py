"""A file that is put together while batches behind its first ones are still written."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from connectors.file import durable
from connectors.file.layouts import Layout
from connectors.file.staging import Staged

ASSEMBLED = "assembled"


class Assembly:
    """The batches so far, one after another, in a file beside them that has no name to stay by; blocking.

    It is nothing that anyone relies on: `batches` says which files were taken, and whoever finds other ones begins anew.
    """

    def __init__(self, folder: Path) -> None:
        self._ending = contextlib.ExitStack()
        self.descriptor, self.path = self._ending.enter_context(durable.written_beside(folder / ASSEMBLED))
        self.batches: list[Staged] = []

    def extend(self, layout: Layout, batches: Sequence[Staged]) -> list[str]:
        """Adds what is new of the batches, of which the first are those that it has; answers what it cannot say of them."""
        new = batches[len(self.batches) :]
        notes = layout.assemble(new, self.descriptor) if new or not batches else []
        self.batches += new
        return notes

    def leads_to(self, batches: Sequence[Staged]) -> bool:
        """Whether these are the batches that it has, unchanged, and perhaps more."""
        return self.batches == batches[: len(self.batches)]

    def close(self) -> None:
        """Removes it unless it has got another name. Repeatable."""
        self._ending.close()
