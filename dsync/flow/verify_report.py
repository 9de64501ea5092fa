"""Reports as JSON lines: ids and field paths of what differs, never values, and a summary as the last line."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec
from msgspec import Struct

from dsync import codec
from dsync.codec import raw
from dsync.errors import DataError, DsyncError, UsageError
from dsync.flow.verify_spill import KINDS, Kind

# Longer lines are nobody's report: an id has 16 MB at the most, as text some more.
MOST_LINE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """A document that is missing, extra or changed at the destination.

    `id_kind` and `id_value` are its id as BSON; a kind of 0: it has none. `destination` differs from `namespace` where the copy
    gave it another name. `fields` are paths of a changed document.
    """

    namespace: str
    destination: str
    kind: Kind
    id_kind: int
    id_value: bytes
    fields: tuple[str, ...] = ()

    def line(self) -> bytes:
        """The difference as a line of a report."""
        line: dict[str, Any] = {"namespace": self.namespace}
        if self.destination != self.namespace:
            line["destination"] = self.destination
        if self.id_kind:
            line |= _id_as_text(self.id_kind, self.id_value)
        line |= {"kind": self.kind, "fields": self.fields}
        return msgspec.json.encode(line) + b"\n"


def _id_as_text(kind: int, value: bytes) -> dict[str, Any]:
    document = raw.value_document(kind, value, b"_id")
    (text,) = codec.bson_to_text([document])
    if text.startswith(b'{"_id":'):
        return {"id": msgspec.Raw(text[7:-1])}
    return {"id_bson": base64.b64encode(document).decode()}  # what Extended JSON cannot say


class Report:
    """Writes a report as it comes to be; without a path to `out`. A file is readable by its owner alone."""

    def __init__(self, path: str | None, out: BinaryIO) -> None:
        self._path = path
        self._out = out
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._path:
            self._file = _create(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def write(self, line: bytes) -> None:
        """Appends a line. Raises DsyncError where it cannot be written; a reader of stdout that went away is a BrokenPipeError."""
        try:
            (self._file or self._out).write(line)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DsyncError(f"the report {self._path!r} cannot be written: {error.strerror}") from error

    def end(self, summary: dict[str, Any]) -> None:
        """The last line."""
        self.write(msgspec.json.encode({"kind": "summary", **summary}) + b"\n")
        (self._file or self._out).flush()


@contextmanager
def report_at(path: str | Path | None) -> Iterator[Report]:
    """A report in a file, or nowhere."""
    with Path(os.devnull).open("wb") as nowhere, Report(str(path) if path else None, nowhere) as report:
        yield report


def _create(path: str) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise UsageError(
            f"the report {path!r} cannot be written: {error.strerror}", remedy="give another path"
        ) from error
    return os.fdopen(descriptor, "wb")


class Placed(Struct, frozen=True):
    """A difference with its line in the report, from 1."""

    line: int
    difference: Difference


@dataclass(frozen=True, slots=True)
class Summary:
    """What a report says of its verification: the identities of the ends; empty where it does not say."""

    source: str = ""
    destination: str = ""


def read_report(path: str) -> Iterator[Placed]:
    """The differences of a report. Raises UsageError where it cannot be read, DataError with the line where it is none."""
    for number, line in _parsed(path):
        if isinstance(line, Difference):
            yield Placed(number, line)


def check_report(path: str) -> Summary:
    """Reads the report to its end, so that nothing is done for one that turns out to be none; what it says of itself.

    Raises UsageError and DataError as `read_report` does.
    """
    summary = Summary()
    for _, line in _parsed(path):
        if isinstance(line, Summary):
            summary = line
    return summary


def _parsed(path: str) -> Iterator[tuple[int, Difference | Summary]]:
    try:
        with Path(path).open("rb") as file:
            for number, line in enumerate(_lines(file), 1):
                if line.strip():
                    yield number, _parse_at(path, number, line)
    except OSError as error:
        raise UsageError(f"the report {path!r} cannot be read: {error.strerror}", remedy="check --from") from error


def _parse_at(path: str, number: int, line: bytes) -> Difference | Summary:
    try:
        return _parse(line)
    except (ValueError, DataError, msgspec.MsgspecError) as error:
        reason = error.message if isinstance(error, DataError) else str(error)
        raise DataError(
            f"line {number} of the report {path!r} is not one that dsync verify wrote: {reason}",
            remedy="give the report as it was written",
        ) from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.readline(MOST_LINE_BYTES), b"")


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_paths = msgspec.json.Decoder(list[str])


def _parse(line: bytes) -> Difference | Summary:
    """A line that is about counts, which name no document, is as good as a summary. Raises ValueError and DataError."""
    try:
        found = _members.decode(line)
        kind = _text.decode(found["kind"])
        if kind in ("summary", "count"):
            return Summary(*(_text.decode(found[name]) if name in found else "" for name in ("source", "destination")))
        namespace = _text.decode(found["namespace"])
        destination = _text.decode(found["destination"]) if "destination" in found else namespace
        fields = tuple(_paths.decode(found["fields"])) if "fields" in found else ()
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]!r}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is not an object with the fields of one") from None
    if kind not in KINDS or not namespace or not destination:
        raise ValueError("its kind is none of " + ", ".join(KINDS) if kind not in KINDS else "its namespace is empty")
    id_kind, id_value = _parse_id(found)
    return Difference(namespace, destination, kind, id_kind, id_value, fields)


def _parse_id(found: dict[str, msgspec.Raw]) -> tuple[int, bytes]:
    if "id_bson" in found:
        document = base64.b64decode(_text.decode(found["id_bson"]), validate=True)
        raw.check(document, strict=False)
        return raw.id_of(document)
    if "id" not in found:
        return 0, b""
    try:
        (document,) = codec.text_to_bson([b'{"_id":' + bytes(found["id"]) + b"}"])
    except codec.RecordError as error:
        raise ValueError(f"its id is {error.reason}") from None
    return raw.id_of(document)


def count_line(namespace: str, destination: str, source_count: int, destination_count: int) -> bytes:
    """A line about a namespace of which only the counts are known to differ."""
    names = {"namespace": namespace} | ({"destination": destination} if destination != namespace else {})
    counts = {"source_documents": source_count, "destination_documents": destination_count}
    return msgspec.json.encode({**names, "kind": "count", **counts}) + b"\n"


def batches(differences: Iterable[Difference], most: int) -> Iterator[list[Difference]]:
    """Differences of one namespace at a time, so many at the most, in the order of the report within each."""
    waiting: dict[tuple[str, str], list[Difference]] = {}
    count = 0
    for difference in differences:
        names = difference.namespace, difference.destination
        waiting.setdefault(names, []).append(difference)
        count += 1
        if len(waiting[names]) == most:
            count -= most
            yield waiting.pop(names)
        elif count >= 16 * most:  # many namespaces with little each must not fill the memory
            yield from waiting.values()
            waiting, count = {}, 0
    yield from waiting.values()
