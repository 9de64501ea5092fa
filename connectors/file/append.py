"""What a file holds already, as batches of the layout that will write it anew with more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from connectors.file import opening, staging, tree
from connectors.file.csvsettings import CsvSettings
from connectors.file.destination import Target
from connectors.file.format import data_type_of
from connectors.file.layouts import Layout
from connectors.file.settings import Settings
from connectors.file.staging import Staged


def existing_batches(settings: Settings, target: Target, layout: Layout, folder: Path) -> list[Staged]:
    """The documents of the target's file, staged in a folder; none where there is no file. Raises DataError."""
    if not target.file.exists():
        return []
    reading = replace(settings, path=str(target.file), typed=str(target.file), csv=_as_written(settings, target))
    entry = tree.Entry(target.namespace, "", target.kind)
    batches = []
    for number, documents in enumerate(_pages(reading, entry)):
        path = folder / staging.part_name("existing", number)
        staging.write_part(path, layout.stage(documents, data_type_of(target.kind.format)), len(documents))
        batches.append(staging.staged(path))
    return batches


def _pages(settings: Settings, entry: tree.Entry) -> Iterator[Sequence[bytes]]:
    for part, _ in opening.plan_file(settings, entry, settings.typed).parts:
        with opening.opened_reader(settings, entry.kind, part) as reader:
            at, ended = part.start, False
            while not ended:
                chunk, ended = reader.chunk(at, part)
                at = chunk.next
                yield chunk.documents


def _as_written(settings: Settings, target: Target) -> CsvSettings:
    types = "ejson" if settings.write_types == "ejson" else "strings"
    return CsvSettings(delimiter=target.kind.delimiter, header="yes", types=types)
