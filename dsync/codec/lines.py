"""Documents that stand as lines of one text: a sequence like any other, taken apart only where somebody looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload


class Lines(Sequence[bytes]):
    """Documents of sound JSON, `count` of them, each on one line of `text` and ended by a line feed."""

    __slots__ = ("_count", "_documents", "text")

    def __init__(self, text: bytes, count: int) -> None:
        self.text = text
        self._count = count
        self._documents: list[bytes] | None = None

    def __len__(self) -> int:
        return self._count

    def part(self, within: slice) -> Lines:
        """Some of them, in a row."""
        start, stop, _ = within.indices(self._count)
        if (start, stop) == (0, self._count):
            return self
        documents = self[start:stop]
        return Lines(b"".join(document + b"\n" for document in documents), len(documents))

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if self._documents is None:
            self._documents = self.text.split(b"\n")[:-1]
        return self._documents[place]
