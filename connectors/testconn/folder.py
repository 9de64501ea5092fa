"""The folder on disk: the two files, and `.testconn` with what the sink needs to know.

bootstrap.json            the documents, a line each
updates.json              the changes since, a line each
.testconn/marker.json     namespace, identity, and what was published last by which flow
.testconn/staged/FLOW/    batches that wait for FinishNamespace; FLOW is the digest of its name
.testconn/done/           batches that were published, about to be removed
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from connectors.testconn import durable
from dsync.errors import EndpointError, NotFoundError, UsageError

COPY_BYTES = 1 << 20


class Marker(Struct, frozen=True):
    """What is known of the folder besides its files."""

    namespace: str
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    flow: str = ""
    # Partition and number of batches, as published.
    parts: tuple[tuple[str, int], ...] = ()


class Batch(Struct, frozen=True):
    """A write_id, taken apart."""

    flow: str
    partition: str
    ordinal: int

    @classmethod
    def of(cls, write_id: str, namespace: str) -> Batch:
        """From `flow/partition/ordinal/namespace`. Raises UsageError for anything else, and for another namespace's."""
        match write_id.split("/", 3):
            case [flow, partition, ordinal, name] if name == namespace and ordinal.isascii() and ordinal.isdigit():
                return cls(flow, partition, int(ordinal[:18]))
        raise UsageError(
            f"the write_id {write_id[:200]!r} is not one of namespace {namespace[:200]!r}",
            remedy="write flow/partition/ordinal/namespace, or none",
        )


class Folder:
    """All that is done to the folder; methods block, and writers take turns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bootstrap = path / "bootstrap.json"
        self.updates = path / "updates.json"
        self._own = path / ".testconn"
        self._marker = self._own / "marker.json"
        self._staged = self._own / "staged"
        self._done = self._own / "done"

    def marker(self) -> Marker | None:
        """The marker; None in a folder that no sink has written. Raises EndpointError where it is damaged."""
        try:
            fields = json.loads(self._marker.read_bytes())
            fields["parts"] = tuple((str(partition), int(count)) for partition, count in fields["parts"])
            return Marker(**fields)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise EndpointError(
                f"{str(self._marker)!r} is damaged", remedy="remove it if the folder may be written anew"
            ) from error

    def claim(self, namespace: str) -> Marker:
        """The marker of this namespace, made where there is none. Raises UsageError where the folder holds another one."""
        marker = self.marker()
        if marker is None:
            marker = Marker(namespace)
            self._write_marker(marker)
        if marker.namespace != namespace:
            raise UsageError(
                f"the folder {str(self.path)!r} holds namespace {marker.namespace!r}, not {namespace!r}",
                remedy="a testconn folder holds one namespace: take another folder for each",
            )
        return marker

    def length(self, file: Path) -> int:
        """The bytes of one of the two files that were written to the end."""
        return durable.safe_length(file, self._note(file))

    def add(self, file: Path, content: bytes) -> None:
        """Appends lines to one of the two files."""
        if content:
            durable.append(file, self._line_end(file) + content, self._note(file))

    def stage(self, batch: Batch, content: bytes) -> None:
        """Keeps a batch until it is published; the same batch again replaces it."""
        durable.replace(self._file(batch), [content])

    def publish(self, marker: Marker, flow: str, parts: Sequence[tuple[str, int]]) -> None:
        """Makes the staged batches the documents of the folder, and empties the list of updates to the old ones.

        A crash at any instant leaves either the old documents or the new ones, and the call can be repeated. Raises
        NotFoundError for a batch that was not staged.
        """
        staged = self._folder(flow)
        if parts and not staged.exists() and (marker.flow, marker.parts) == (flow, tuple(parts)):
            self._sweep()
            return
        files = [self._file(Batch(flow, partition, at)) for partition, count in parts for at in range(count)]
        for file, batch in zip(files, _names(parts), strict=True):
            if not file.exists():
                raise NotFoundError(f"batch {batch} of {flow!r} is not staged", remedy="write it, then finish again")
        if self.updates.exists():
            durable.replace(self.updates, [])
        durable.remove(self._note(self.updates))
        durable.remove(self._note(self.bootstrap))
        durable.replace(self.bootstrap, _contents(files))
        self._write_marker(replace(marker, flow=flow, parts=tuple(parts)))
        if staged.exists():
            self._done.mkdir(exist_ok=True)
            staged.rename(self._done / uuid.uuid4().hex)
            durable.sync_folder(self._staged)
        self._sweep()

    def _write_marker(self, marker: Marker) -> None:
        durable.replace(self._marker, [json.dumps(asdict(marker)).encode()])

    def _sweep(self) -> None:
        """Removes what was published; nobody misses it, so that it need not be for good."""
        shutil.rmtree(self._done, ignore_errors=True)

    def _note(self, file: Path) -> Path:
        return self._own / f"{file.name}.length"

    def _line_end(self, file: Path) -> bytes:
        """A line end, where a file that somebody wrote by hand lacks the last one."""
        length = self.length(file)
        if not length:
            return b""
        with file.open("rb") as content:
            content.seek(length - 1)
            return b"" if content.read(1) == b"\n" else b"\n"

    def _folder(self, flow: str) -> Path:
        return self._staged / _digest(flow)

    def _file(self, batch: Batch) -> Path:
        return self._folder(batch.flow) / f"{_digest(batch.partition)}-{batch.ordinal}"


def _names(parts: Sequence[tuple[str, int]]) -> Iterator[str]:
    return (f"{partition}/{at}" for partition, count in parts for at in range(count))


def _contents(files: Sequence[Path]) -> Iterator[bytes]:
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(COPY_BYTES):
                yield piece


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
