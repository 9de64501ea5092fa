"""What CSV means, a byte at a time: slow, simple, and written without the connector. Also files to try it on."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Meaning:
    """The records of a file in front of its first fault, each with its line, and that fault's line and reason."""

    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    fault: tuple[int, str] | None = None


def meaning(data: bytes, delimiter: bytes, width: int | None = None) -> Meaning:
    """Reads bytes that start at a record on line 1; `width` is how many cells a record has to have."""
    found = Meaning()
    at, line = 0, 1
    while at < len(data) and found.fault is None:
        end, cells, broken = _record(data, at, delimiter)
        start_line, record = line, data[at:end]
        line += record.count(b"\n")
        if broken is not None:
            place, reason = broken
            found.fault = (start_line + data.count(b"\n", at, place), reason)
        elif (bad := _undecodable(record)) is not None:
            found.fault = (start_line + record.count(b"\n", 0, bad), "not UTF-8")
        elif cells is not None:
            if width is not None and len(cells) != width:
                found.fault = (start_line, "ragged")
            else:
                found.rows.append((start_line, [cell.decode() for cell in cells]))
        at = end
    return found


def _undecodable(record: bytes) -> int | None:
    try:
        record.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _record(data: bytes, at: int, delimiter: bytes) -> tuple[int, list[bytes] | None, tuple[int, str] | None]:
    """The end of the record at `at`, its cells (None for a blank line), and where it breaks."""
    cells: list[bytes] = []
    cell, begun = bytearray(), at
    state = "start"  # of a cell; plain; quoted; closed
    while at < len(data):
        byte = data[at : at + 1]
        if state == "quoted":
            if byte != b'"':
                cell += byte
            elif data[at + 1 : at + 2] == b'"':
                cell += b'"'
                at += 1
            else:
                state, closed_at = "closed", at
        elif byte == b"\r" and data[at + 1 : at + 2] != b"\n":
            return len(data), None, (at, "a carriage return")
        elif byte in b"\r\n":
            at += 1 + (byte == b"\r")
            blank = state == "start" and not cells
            return at, None if blank else [*cells, bytes(cell)], None
        elif byte == delimiter:
            cells.append(bytes(cell))
            cell, state = bytearray(), "start"
        elif state == "closed":
            return len(data), None, (closed_at, "text after")
        elif byte == b'"':
            if state == "plain":
                return len(data), None, (at, "a quote inside")
            state, opened_at = "quoted", at
        else:
            state = "plain"
            cell += byte
        at += 1
    if state == "quoted":
        return at, None, (opened_at, "never closed")
    return at, [*cells, bytes(cell)] if at > begun else None, None


def by_csv_module(data: bytes, delimiter: str) -> list[list[str]] | None:
    """The records by `csv.reader(strict=True)`, without blank lines; None when it refuses them."""
    try:
        text = io.StringIO(data.decode(), newline="")
        return [row for row in csv.reader(text, delimiter=delimiter, strict=True) if row]
    except (csv.Error, UnicodeDecodeError):
        return None


def documents(names: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> list[bytes]:
    """Rows as JSON objects of strings."""
    return [
        json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, separators=(",", ":")).encode()
        for _, row in rows
    ]


_PIECES = [
    "a",
    "bc",
    "x y",
    "5",
    "\u00e9",
    "\u2028",
    "\U0001f600",
    "\ufeff",
    "\\",
    "\\n",
    "\\N",
    "\t",
    "\x01",
    "\x07",
    "\x7f",
    "\0",
    "%",
    "'",
]
_BREAKS = [b'"', b"\r", b"\n", b"\xff", b",", b'""', b"\xc3", b'",', b',"', b'"\n', b"\r\n", b'x"']


def sound_file(rng: random.Random, delimiter: str, width: int) -> bytes:
    """A sound file of up to 12 records of this width, with LF or CRLF or both."""
    records = []
    for _ in range(rng.randrange(13)):
        if rng.random() < 0.05:
            records.append("")
        cells = [_cell(rng, delimiter) for _ in range(width)]
        records.append('""' if cells == [""] else delimiter.join(cells))
    ends = rng.choice([["\n"], ["\r\n"], ["\n", "\r\n"]])
    text = "".join(record + rng.choice(ends) for record in records)
    return (text.rstrip("\r\n") if rng.random() < 0.3 else text).encode()


def _cell(rng: random.Random, delimiter: str) -> str:
    pieces = [rng.choice(_PIECES) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    if rng.random() < 0.35:
        for _ in range(rng.randrange(4)):
            special = rng.choice(['""', delimiter, "\n", "\r\n", "\r", f'"",""{delimiter}', f'{delimiter}""', '""\n'])
            pieces.insert(rng.randrange(len(pieces) + 1), special)
        return f'"{"".join(pieces)}"'
    return "".join(piece for piece in pieces if delimiter not in piece)


def broken_file(rng: random.Random, delimiter: str, width: int) -> bytes:
    """A file that was sound before some bytes were put in or taken away; it may still be."""
    data = sound_file(rng, delimiter, width)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + (rng.choice(_BREAKS) if rng.random() < 0.7 else b"") + data[at + rng.randrange(2) :]
    return data
