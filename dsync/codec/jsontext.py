"""JSON text as records: JSON lines and JSON arrays, cut into their objects without parsing more than is needed.

All functions are pure; the caller reads the text, in chunks of any size, and the verdict is the same for every size:

    at = jsontext.start(head, rest)      # form "lines" or "array", after a byte-order mark; None: show more of it
    page = jsontext.split(chunk, at, rest)   # `chunk` is the text from `at.offset` on, `rest` what follows it
    page.texts, page.numbers             # the objects as they stand, and the line or element where each one starts
    at = page.next                       # go on from here; unchanged: show more (twice as much) of the text at once

A `Position` is small and plain, made to be kept in a cursor: reading goes on from it in another process. In the form
"lines" an object may span lines (as mongoexport --pretty writes it), but no two start on one line; blank lines and CRLF
are taken. What is no JSON object, invalid UTF-8 or anything after the array is a `TextError` that knows its place.

To read a large text in parts, cut it: `lines_cut` and `array_cut` find a boundary between records near any place. A part
starts at `Position(form, offset)` and its last chunk is split with `Rest.CUT`; numbers then count from its own start.
Cuts of lines are always sound. Those of arrays are checked against the text that they are shown, and every part proves
that it ends between two elements, so that a wrong cut becomes an error and never a wrong record.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dsync.codec.errors import RecordError
from dsync.codec.jsonscan import (
    OBJECT,
    Incomplete,
    Position,
    TextError,
    are_objects,
    is_utf8,
    object_end,
    separator,
    skip,
    text_error,
)

# The longest record that is waited for; messages on the wire are capped at the same size.
MAX_RECORD_BYTES = 64 << 20

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_LINE_END = re.compile(rb"[ \t\r]*(?:\n|\Z)")
_OBJECT_LINE = re.compile(rb"\}[ \t\r]*\n[ \t\r\n]*(?=\{)")

# More records at a time outgrow the processor's cache: two thirds of the rate for ten thousand.
CHUNK_RECORDS = 256

# How often a guess at the end of the last whole element is tried before the text is walked through.
_GUESSES = 3

_record = msgspec.json.Decoder(msgspec.Raw)
_records = msgspec.json.Decoder(list[msgspec.Raw])


__all__ = [
    "MAX_RECORD_BYTES",
    "Page",
    "Position",
    "Rest",
    "TextError",
    "array_cut",
    "array_mark",
    "check",
    "lines_cut",
    "one_line",
    "split",
    "start",
    "to_array",
    "to_lines",
]


class Rest(enum.Enum):
    """What follows a chunk."""

    MORE = enum.auto()
    # The text goes on, but this reader's part ends here, at a cut.
    CUT = enum.auto()
    END = enum.auto()


class Page(Struct, frozen=True):
    """The records of a chunk; `numbers` are the lines or elements where they start."""

    texts: list[bytes]
    numbers: Sequence[int]
    next: Position


def start(head: bytes, rest: Rest = Rest.MORE) -> Position | None:
    """The position of the first record of a text; None: `head` is too short to tell. An empty text is no lines."""
    if rest is Rest.MORE and len(head) < len(BYTE_ORDER_MARK):
        return None
    offset = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0
    lines = Position("lines", offset)
    first = skip(head, offset)
    if first == len(head):
        return None if rest is Rest.MORE else lines
    if head[first : first + 1] == b"[":
        return Position("array", offset, 1, "open")
    if head[first] != OBJECT:
        wide = head[offset:].startswith((b"\xff\xfe", b"\xfe\xff"))
        reason = "UTF-16 text" if wide else "no JSON object"
        raise TextError(f"{reason} where JSON lines or an array should start", lines, offset=first, number=1)
    return lines


def split(chunk: bytes, at: Position, rest: Rest) -> Page:
    """The whole records of `chunk`, which is the text from `at.offset` on.

    With more to come, what is not whole is left for the next call. Raises TextError for the first record that is bad.
    """
    page = _split_lines(chunk, at, rest) if at.form == "lines" else _split_array(chunk, at, rest)
    if page.next.offset == at.offset and rest is Rest.MORE and len(chunk) > MAX_RECORD_BYTES:
        raise text_error(f"longer than {MAX_RECORD_BYTES >> 20} MiB", at, 0, at.number)
    return page


def to_lines(texts: Sequence[bytes]) -> bytes:
    """JSON lines of these records, each on one line; they are not parsed again."""
    lines = b"\n".join((*texts, b""))
    if lines.count(b"\n") != len(texts) or b"\r" in lines:
        return b"\n".join((*map(one_line, texts), b""))
    return lines


def to_array(texts: Sequence[bytes]) -> bytes:
    """A JSON array of these records, each as it stands."""
    return b"[%b]\n" % b",\n".join(texts)


def one_line(text: bytes) -> bytes:
    """The same record without line ends, which stand only between the tokens of valid JSON."""
    return text.replace(b"\n", b" ").replace(b"\r", b" ")


def check(texts: Sequence[bytes]) -> None:
    """Raises RecordError for the first of these records that is not one sound JSON object."""
    for at in range(0, len(texts), CHUNK_RECORDS):
        chunk = texts[at : at + CHUNK_RECORDS]
        if not _are_sound(chunk):
            for index, text in enumerate(chunk, at):
                if reason := _refusal(text):
                    raise RecordError(index, reason)


def _are_sound(texts: Sequence[bytes]) -> bool:
    """Whether all of them are, as far as a look at all at once can tell."""
    array = b"[%b]" % b",".join(texts)
    try:
        raws = _records.decode(array)
    except (msgspec.DecodeError, RecursionError):
        return False
    # Equal lengths mean equal texts: nothing but the commas is between them.
    return list(map(len, raws)) == list(map(len, texts)) and are_objects(texts) and is_utf8(array)


def _refusal(text: bytes) -> str:
    begin = skip(text, 0)
    if begin == len(text):
        return "empty"
    try:
        end = object_end(text, begin, Position("lines", 0), 1)
    except TextError as error:
        return error.reason
    except Incomplete:
        return "it ends too early"
    return "something follows the object" if skip(text, end) < len(text) else ""


def lines_cut(window: bytes) -> int | None:
    """The first place in a piece of JSON lines where a record starts; None: none is seen.

    A line end between `}` and `{` is never inside a string or an object of valid JSON, wherever the piece begins.
    """
    match = _OBJECT_LINE.search(window)
    return match.end() if match else None


def array_mark(head: bytes, at: Position) -> bytes | None:
    """How the elements of an array follow each other, as in `},\\n{"_id"`, by its first two; None: not in `head`."""
    offset = skip(head, at.offset)
    if at.expect == "open":
        offset = skip(head, offset + 1)
    return separator(head, offset)


def array_cut(window: bytes, mark: bytes, rest: Rest) -> int | None:
    """The first place in a piece of an array where an element starts, after the comma; None: none to be relied on.

    All from there to the end of `window` has to be elements, so the longer it is (4 MiB or more), the surer the cut.
    """
    found = window.find(mark)
    for _ in range(_GUESSES):
        if found < 0:
            return None
        cut = found + mark.index(b",") + 1
        if _reads_on(window[cut:], rest):
            return cut
        found = window.find(mark, cut)
    return None


def _reads_on(piece: bytes, rest: Rest) -> bool:
    try:
        page = _split_array(piece, Position("array", 0), rest)
    except TextError:
        return False
    return len(page.texts) > 0 and (page.next.expect == "end") == (rest is Rest.END)


def _split_lines(chunk: bytes, at: Position, rest: Rest) -> Page:
    end = chunk.rfind(b"\n") + 1 if rest is Rest.MORE else len(chunk)
    if end == 0:
        blank = len(chunk) if skip(chunk, 0) == len(chunk) else 0
        return Page([], (), replace(at, offset=at.offset + blank))
    # Where an object goes on after the last line, the last line that starts with one is the end.
    for size in (end, chunk.rfind(b"\n{", 0, end) + 1 if rest is Rest.MORE else 0):
        page = _whole_lines(chunk[:size], at) if size else None
        if page:
            return page
    return _walk_lines(chunk[:end], at, rest)


def _whole_lines(text: bytes, at: Position) -> Page | None:
    """All records of a text that holds nothing but whole ones; None: it is not so simple."""
    try:
        raws = _record.decode_lines(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not is_utf8(text):
        return None
    numbers: Sequence[int]
    lines = text.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    following = Position("lines", at.offset + len(text), at.number + text.count(b"\n"))
    # Equal lengths mean equal texts: values are separated by blanks alone, and end in none.
    if list(map(len, raws)) == list(map(len, lines)):
        texts, numbers = lines, range(at.number, at.number + len(lines))
    else:
        texts = list(map(bytes, raws))
        numbers = _lines_of(texts, text, at.number)
    return Page(texts, numbers, following) if are_objects(texts) and len(numbers) == len(texts) else None


def _lines_of(texts: list[bytes], text: bytes, line: int) -> list[int]:
    """The lines where these records, all that `text` holds, start; fewer where two start on one line."""
    numbers: list[int] = []
    done = 0
    for record in texts:
        begin = skip(text, done)
        between = text.count(b"\n", done, begin)
        if numbers and not between:
            break
        line += between
        numbers.append(line)
        line += record.count(b"\n")
        done = begin + len(record)
    return numbers


def _walk_lines(text: bytes, at: Position, rest: Rest) -> Page:
    """Record by record, the slow and exact way: for records over several lines, and to find what is wrong."""
    texts: list[bytes] = []
    numbers: list[int] = []
    done, line = 0, at.number
    while (begin := skip(text, done)) < len(text):
        number = line + text.count(b"\n", done, begin)
        try:
            end = object_end(text, begin, at, number)
        except Incomplete:
            if rest is Rest.MORE:
                break
            raise text_error("the text ends inside an object", at, begin, number) from None
        line_end = _LINE_END.match(text, end)
        if line_end is None:
            raise text_error("something follows the object on its line", at, skip(text, end), number)
        texts.append(text[begin:end])
        numbers.append(number)
        line = number + text.count(b"\n", begin, line_end.end())
        done = line_end.end()
    else:
        line += text.count(b"\n", done)
        done = len(text)
    return Page(texts, numbers, Position("lines", at.offset + done, line))


def _split_array(chunk: bytes, at: Position, rest: Rest) -> Page:
    offset = skip(chunk, 0)
    if at.expect == "open" and offset < len(chunk):
        offset = skip(chunk, offset + 1)
        at = replace(at, expect="first", offset=at.offset + offset)
        chunk, offset = chunk[offset:], 0
    if at.expect == "end" and offset < len(chunk):
        raise text_error("something follows the array", at, offset, at.number)
    if at.expect in ("first", "value") and chunk:
        return _whole_elements(chunk, at, rest) or _walk_array(chunk, at, rest)
    if rest is not Rest.MORE and at.expect != "end":
        return _walk_array(chunk, at, rest)
    return Page([], (), replace(at, offset=at.offset + offset))


def _whole_elements(chunk: bytes, at: Position, rest: Rest) -> Page | None:
    """The elements of a chunk all at once; None: it is not so simple."""
    if rest is not Rest.MORE:
        body = chunk.rstrip(b" \t\r\n")
        closed = b"]" if rest is Rest.END else b","
        return _elements(body[:-1], at, len(chunk), rest is Rest.END) if body.endswith(closed) else None
    if between := separator(chunk, skip(chunk, 0)):
        end = len(chunk)
        for _ in range(_GUESSES):
            end = chunk.rfind(between, 0, end)
            if end <= 0:
                return None
            if page := _elements(chunk[: end + 1], at, end + between.index(b",") + 1, False):
                return page
    return None


def _elements(body: bytes, at: Position, consumed: int, closed: bool) -> Page | None:
    try:
        raws = _records.decode(b"[" + body + b"]")
    except (msgspec.DecodeError, RecursionError):
        return None
    texts = list(map(bytes, raws))
    if not texts or not are_objects(texts) or not is_utf8(body):
        return None
    number = at.number + len(texts)
    following = Position("array", at.offset + consumed, number, "end" if closed else "value")
    return Page(texts, range(at.number, number), following)


def _walk_array(chunk: bytes, at: Position, rest: Rest) -> Page:
    """Element by element, the slow and exact way."""
    texts: list[bytes] = []
    here, done = at, 0
    while True:
        begin = skip(chunk, done)
        if begin == len(chunk):
            break
        if here.expect == "first" and chunk[begin : begin + 1] == b"]":
            end = after = begin
        else:
            try:
                end = object_end(chunk, begin, at, here.number)
            except Incomplete:
                break
            after = skip(chunk, end)
            if after == len(chunk):
                break
            texts.append(chunk[begin:end])
            here = replace(here, number=here.number + 1, expect="value")
        done = after + 1
        if chunk[after : after + 1] == b"]":
            here = replace(here, expect="end")
            break
        if chunk[after : after + 1] != b",":
            raise text_error("no comma after the element", at, after, here.number - 1)
    return _walked(chunk, at, rest, texts, replace(here, offset=at.offset + done))


def _walked(chunk: bytes, at: Position, rest: Rest, texts: list[bytes], here: Position) -> Page:
    """What a walk through an array found, if the chunk may end like that."""
    left = skip(chunk, here.offset - at.offset)
    if here.expect == "end" and left < len(chunk):
        raise text_error("something follows the array", at, left, here.number)
    if rest is Rest.END and here.expect != "end":
        raise text_error("the text ends before the array does", at, len(chunk), here.number)
    if rest is Rest.CUT and (here.expect != "value" or left < len(chunk)):
        raise text_error("the part of the array does not end between two elements", at, len(chunk), here.number)
    if left == len(chunk):
        here = replace(here, offset=at.offset + left)
    return Page(texts, range(at.number, here.number), here)
