"""The reader of a file of any kind, and the partitions that a file is read in."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from connectors.file import kinds, tree
from connectors.file.bsonformat import BsonFormat
from connectors.file.content import Content, Plain, Stream
from connectors.file.cursors import Mark, Part
from connectors.file.format import Format, Rest
from connectors.file.jsonformat import JsonFormat
from connectors.file.reader import Reader, TextReader
from connectors.file.settings import Settings
from connectors.file.tabular import CsvFormat
from dsync.errors import DataError

# More partitions than this only make the plan longer.
MOST_PARTS = 1000
# How much of a partition is looked at to estimate how many documents it has.
SAMPLE_BYTES = 64 << 10
# How much is read at once to find an error.
SCAN_BYTES = 1 << 20


class PlannedFile(Struct, frozen=True):
    """A file's partitions with their estimated documents (0: unknown), and what will not come over."""

    parts: list[tuple[Part, int]]
    warnings: list[str]


def plan_file(settings: Settings, entry: tree.Entry, name: str) -> PlannedFile:
    """The partitions of a file; blocking. Raises DataError where a look at the file shows that it cannot be read."""
    with tree.opened(settings.path, entry.path) as descriptor:
        identity = tree.identity(descriptor)
        kind = kinds.to_text(entry.kind)
        whole = Part(entry.namespace, entry.path, kind, identity, Mark(0), None, 1, settings.batch_documents)
        if entry.kind.format == kinds.PARQUET:
            return _plan_parquet(settings, descriptor, name, whole)
        if entry.kind.compression != "none":
            return _plan_stream(settings, entry.kind, descriptor, name, whole)
        content = Plain(descriptor)
        return PlannedFile(_plan_plain(settings, entry.kind, content, name, whole), [])


def make_format(settings: Settings, kind: kinds.Kind, content: Content, name: str) -> Format:
    """What understands files of this kind. Raises UsageError and DataError for a CSV file without a sound header."""
    if kind.format == kinds.CSV:
        return CsvFormat(replace(settings.csv, delimiter=kind.delimiter), content, name)
    return BsonFormat(name) if kind.format == kinds.BSON else JsonFormat(name)


@contextlib.contextmanager
def opened_reader(settings: Settings, kind: kinds.Kind, part: Part) -> Iterator[Reader]:
    """A reader of the file of a partition, for as long as it lasts; blocking."""
    name = settings.name_of(part.path)
    with tree.opened(settings.path, part.path) as descriptor:
        if kind.format == kinds.PARQUET or kind.compression != "none":
            reader = make_stream_reader(settings, kind, descriptor, name)
        else:
            content = Plain(descriptor)
            reader = TextReader(make_format(settings, kind, content, name), content, kind.format, name)
        with contextlib.closing(reader):
            yield reader


def make_stream_reader(settings: Settings, kind: kinds.Kind, descriptor: int, name: str) -> Reader:
    """A reader that is worth keeping between pages, with a descriptor of its own: of a compressed or a Parquet file."""
    if kind.format == kinds.PARQUET:
        from connectors.file.parquetread import ParquetReader  # brings pyarrow, which is an extra

        return ParquetReader(descriptor, name)
    stream = Stream(descriptor, kind.compression, name)
    try:
        return TextReader(make_format(settings, kind, stream, name), stream, kind.format, name)
    except BaseException:
        stream.close()
        raise


def first_fault(data_format: Format, reader: Reader, content: Content, part: Part) -> DataError | None:
    """What reading the whole of a partition's file from its start meets first; None where nothing is wrong with it."""
    try:
        at = data_format.start(content)
        whole = replace(part, start=at, end=Mark(part.identity.size, 0), page_bytes=SCAN_BYTES)
        ended = False
        while not ended:
            chunk, ended = reader.chunk(at, whole)
            at = chunk.next
    except DataError as error:
        return error
    return None


def _plan_plain(
    settings: Settings, kind: kinds.Kind, content: Content, name: str, whole: Part
) -> list[tuple[Part, int]]:
    data_format = make_format(settings, kind, content, name)
    start = data_format.start(content)
    size = whole.identity.size
    count = min(size // settings.partition_bytes, MOST_PARTS)
    cuts = data_format.cuts(content, start, size, [size * index // count for index in range(1, count)])
    marks = [start, *_ascending(cuts, start.offset, size), Mark(size, 0)]
    parts = [
        replace(whole, start=begin, end=end, page_bytes=data_format.page_bytes)
        for begin, end in itertools.pairwise(marks)
    ]
    return [(part, _estimate(data_format, content, part)) for part in parts]


def _plan_stream(settings: Settings, kind: kinds.Kind, descriptor: int, name: str, whole: Part) -> PlannedFile:
    stream = Stream(descriptor, kind.compression, name)
    try:
        data_format = make_format(settings, kind, stream, name)
        start = data_format.start(stream)
    finally:
        stream.close()
    return PlannedFile([(replace(whole, start=start, page_bytes=data_format.page_bytes), 0)], [])


def _plan_parquet(settings: Settings, descriptor: int, name: str, whole: Part) -> PlannedFile:
    from connectors.file.parquetread import PAGE_BYTES, ParquetReader

    reader = ParquetReader(descriptor, name)
    try:
        marks = reader.marks(settings.partition_bytes, MOST_PARTS)
        parts = [
            replace(whole, start=start, end=end, page_bytes=PAGE_BYTES) for start, end in itertools.pairwise(marks)
        ]
        return PlannedFile(
            [(part, part.end.offset - part.start.offset if part.end else 0) for part in parts], reader.warnings()
        )
    finally:
        reader.close()


def _ascending(cuts: Sequence[Mark], after: int, before: int) -> list[Mark]:
    kept: list[Mark] = []
    for cut in cuts:
        if after < cut.offset < before:
            kept.append(cut)
            after = cut.offset
    return kept


def _estimate(data_format: Format, content: Content, part: Part) -> int:
    """How many documents a partition of a plain file has, by its first bytes; 0 where they are not sound."""
    assert part.end is not None
    total = part.end.offset - part.start.offset
    piece = content.read(part.start.offset, min(total, SAMPLE_BYTES))
    whole = len(piece) == total
    rest = Rest.MORE if not whole else Rest.END if part.end.offset == part.identity.size else Rest.CUT
    try:
        chunk = data_format.split(piece, part.start, rest)
    except DataError:
        return 0
    taken = chunk.next.offset - part.start.offset
    return round(len(chunk.documents) * total / taken) if taken else 0
