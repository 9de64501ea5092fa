"""The documents of an array of BSON, taken apart only when somebody looks at them: a page is mostly just handed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from dsync.codec import raw


class Documents(Sequence[bytes]):
    """The documents of the array at `at`. Holds the buffer, a server's reply for one, as long as it lives.

    `size` is that of all documents together, without what stands between them; `begin_with_id` whether each has its `_id` first.
    Raises InvalidBson at once where it is no array of documents: what is in them is not looked at, as in all of `raw`.
    """

    __slots__ = ("_apart", "_at", "_buffer", "_sizes", "begin_with_id", "size")

    def __init__(self, buffer: bytes, at: int = 0) -> None:
        self._buffer = buffer
        self._at = at
        self._sizes, self.begin_with_id = raw.array_sizes(buffer, at)
        self._apart: list[bytes] | None = None
        self.size = sum(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.apart())

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        return self.apart()[index]

    @property
    def array(self) -> bytes:
        """All of them as they came: an array of BSON."""
        return self._buffer[self._at : self._at + self.array_bytes]

    @property
    def array_bytes(self) -> int:
        """The size of the array."""
        return raw.document_size(self._buffer, self._at)

    @property
    def last(self) -> bytes:
        """The last one, without a look at the others; there is one."""
        end = self._at + raw.document_size(self._buffer, self._at) - 1
        return self._buffer[end - self._sizes[-1] : end]

    def apart(self) -> list[bytes]:
        """Each as bytes of its own."""
        if self._apart is None:
            self._apart = raw.slices(self._buffer, self._at, self._sizes)
        return self._apart


def total_bytes(documents: Sequence[bytes]) -> int:
    """The size of all documents together."""
    return documents.size if isinstance(documents, Documents) else sum(map(len, documents))


def kept(documents: Sequence[bytes]) -> Sequence[bytes]:
    """The documents for who looks at them more than once: a message makes them anew each time."""
    return documents if isinstance(documents, Documents) else list(documents)
