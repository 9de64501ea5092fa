"""Files of BSON documents one after another, as mongodump writes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import bson

from connectors.file.content import Content
from connectors.file.cursors import Mark
from connectors.file.format import MAX_RECORD_BYTES, Chunk, Rest
from dsync.codec import InvalidBson, compression, raw
from dsync.errors import DataError

SMALLEST_DOCUMENT_BYTES = 5
SCAN_BYTES = 1 << 20
# Where the array is in the document {"": [...]}: after the length, the type and the empty key.
EMPTY_KEY_BYTES = 6


class BsonFormat:
    """Documents, counted from 1; every one is checked, since a file can hold anything."""

    page_bytes = 1 << 20

    def __init__(self, name: str) -> None:
        self._name = name

    def start(self, content: Content) -> Mark:
        """The place of the first document."""
        packed = compression.of_content(content.read(0, 4))
        if packed != compression.NONE:
            raise DataError(f"{self._name!r} is compressed", remedy=f"add --compression {packed}")
        return Mark(0)

    def split(self, piece: bytes, at: Mark, rest: Rest) -> Chunk:
        """The whole documents of a piece."""
        ends, unsound = _ends(piece)
        documents = [piece[start:end] for start, end in itertools.pairwise(ends)]
        if flaw := first_flaw(documents):
            index, reason = flaw
            raise self._error(reason, at, ends[index], index)
        done = ends[-1]
        if not unsound and rest is not Rest.MORE and done < len(piece):
            unsound = "is cut off"
        if unsound:
            raise self._error(unsound, at, done, len(documents))
        number = at.number + len(documents)
        return Chunk(documents, range(at.number, number), Mark(at.offset + done, number))

    def cuts(self, content: Content, start: Mark, size: int, targets: Iterable[int]) -> list[Mark]:
        """Places between documents near the targets; the lengths alone are followed, as far as they are sound."""
        cuts: list[Mark] = []
        marks = _walk(content, start)
        mark: Mark | None = start
        for target in targets:
            while mark is not None and mark.offset < target:
                mark = next(marks, None)
            if mark is None or mark.offset >= size:
                break
            cuts.append(mark)
        return cuts

    def _error(self, reason: str, at: Mark, index: int, ahead: int) -> DataError:
        return DataError(f"{self._name!r} document {at.number + ahead} (offset {at.offset + index}): it {reason}")


def _walk(content: Content, at: Mark) -> Iterator[Mark]:
    """The place after each document."""
    want = SCAN_BYTES
    while True:
        piece = content.read(at.offset, want)
        ends, fault = _ends(piece)
        for ahead, end in enumerate(ends[1:], 1):
            yield Mark(at.offset + end, at.number + ahead)
        if fault or (len(ends) == 1 and len(piece) < want):
            return
        want = SCAN_BYTES if len(ends) > 1 else 2 * want
        at = Mark(at.offset + ends[-1], at.number + len(ends) - 1)


def _ends(piece: bytes) -> tuple[list[int], str]:
    """Where whole documents end in a piece, after a first 0, and what is wrong with the length that follows."""
    ends, end, size_at, last = [0], 0, raw.int32_at, len(piece) - 4
    while end <= last:
        (size,) = size_at(piece, end)
        if not SMALLEST_DOCUMENT_BYTES <= size <= MAX_RECORD_BYTES:
            return ends, f"claims a length of {size} bytes"
        end += size
        if end > len(piece):
            break
        ends.append(end)
    return ends, ""


def first_flaw(documents: Sequence[bytes]) -> tuple[int, str] | None:
    """The first document that is not sound BSON, and what is wrong; None where all are.

    What only a strict reader refuses, such as strings that are not UTF-8, MongoDB stores: it is no flaw.
    """
    if _are_reproduced(documents):
        return None
    for index, document in enumerate(documents):
        try:
            raw.check(document, strict=False)
        except InvalidBson as error:
            return index, f"is damaged: {error.message}"
    return None


def _are_reproduced(documents: Sequence[bytes]) -> bool:
    """Whether decoding and encoding gives the same bytes: what the C encoder writes is sound; much faster than a walk."""
    if any(document.count(b"\3") + document.count(b"\4") >= raw.MAX_NESTING for document in documents):
        return False
    try:
        decoded = bson.decode_all(b"".join(documents), raw.EVERY_DATE)
        again = bson.encode({"": decoded}, codec_options=raw.EVERY_DATE)
    except (bson.errors.BSONError, ValueError, OverflowError, TypeError, RecursionError):
        return False
    return len(decoded) == len(documents) and raw.slice_array(again, EMPTY_KEY_BYTES) == documents
