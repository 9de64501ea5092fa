"""JSON lines and JSON arrays in files; which of the two a file is shows its first character."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from connectors.file.content import Content
from connectors.file.cursors import NOT_COUNTED, Mark
from connectors.file.format import MAX_RECORD_BYTES, Chunk, Rest, refuse_foreign_text
from dsync.codec import jsontext
from dsync.errors import DataError

# How far a cut is looked for at first, and how much is read at once where elements are counted.
WINDOW_BYTES = 64 << 10
SCAN_BYTES = 1 << 20
SHORT_SCAN_BYTES = 256

_RESTS = {Rest.MORE: jsontext.Rest.MORE, Rest.CUT: jsontext.Rest.CUT, Rest.END: jsontext.Rest.END}


class JsonFormat:
    """Objects one after another, or an array of them. `Mark.state` is "lines" or what an array expects next."""

    page_bytes = 64 << 10

    def __init__(self, name: str) -> None:
        self._name = name

    def start(self, content: Content) -> Mark:
        """The place of the first record, after a byte-order mark."""
        size = WINDOW_BYTES
        while True:
            head = content.read(0, size)
            rest = jsontext.Rest.MORE if len(head) == size and size < MAX_RECORD_BYTES else jsontext.Rest.END
            refuse_foreign_text(head, self._name)
            try:
                position = jsontext.start(head, rest)
            except jsontext.TextError as error:
                raise self._placed(error) from error
            if position is not None:
                return _mark(position)
            size *= 4

    def split(self, piece: bytes, at: Mark, rest: Rest) -> Chunk:
        """The whole records of a piece."""
        try:
            page = jsontext.split(piece, _position(at), _RESTS[rest])
        except jsontext.TextError as error:
            raise self._placed(error) from error
        return Chunk(page.texts, page.numbers, _mark(page.next))

    def cuts(self, content: Content, start: Mark, size: int, targets: Iterable[int]) -> list[Mark]:
        """Places between records near the targets."""
        if start.state == "lines":
            return list(self._line_cuts(content, start, size, targets))
        return list(self._element_cuts(content, start, targets))

    def _line_cuts(self, content: Content, start: Mark, size: int, targets: Iterable[int]) -> Iterator[Mark]:
        last = start
        for target in targets:
            if target <= last.offset:
                continue
            cut = _next_line_cut(content, target, size)
            if cut is not None:
                last = Mark(cut, NOT_COUNTED, "lines")
                yield last

    def _element_cuts(self, content: Content, start: Mark, targets: Iterable[int]) -> Iterator[Mark]:
        """Elements have to be counted from the first one on, so the file is read."""
        at = start
        for target in targets:
            while at.offset < target:
                chunk = self._split_next(content, at, target)
                if chunk.next == at or chunk.next.state == "end":
                    return
                at = chunk.next
            if at.state == "value":
                yield at

    def _split_next(self, content: Content, at: Mark, target: int) -> Chunk:
        """The records of the next piece, up to about the target; at least one."""
        size = min(SCAN_BYTES, max(SHORT_SCAN_BYTES, target - at.offset))
        while True:
            piece = content.read(at.offset, size)
            chunk = self.split(piece, at, Rest.MORE if len(piece) == size else Rest.END)
            if chunk.next != at or len(piece) < size:
                return chunk
            size *= 4

    def _placed(self, error: jsontext.TextError) -> DataError:
        return DataError(f"{self._name!r} {error.message}", remedy=error.remedy)


def _next_line_cut(content: Content, target: int, size: int) -> int | None:
    window = WINDOW_BYTES
    while True:
        piece = content.read(target, window)
        cut = jsontext.lines_cut(piece)
        if cut is not None:
            return target + cut
        if target + len(piece) >= size or window > MAX_RECORD_BYTES:
            return None
        window *= 4


def _mark(position: jsontext.Position) -> Mark:
    return Mark(position.offset, position.number, "lines" if position.form == "lines" else position.expect)


def _position(mark: Mark) -> jsontext.Position:
    if mark.state == "lines":
        return jsontext.Position("lines", mark.offset, mark.number)
    expect: dict[str, Literal["open", "first", "value", "end"]] = {
        "open": "open",
        "first": "first",
        "value": "value",
        "end": "end",
    }
    return jsontext.Position("array", mark.offset, mark.number, expect.get(mark.state, "end"))
