"""What found no partner in memory: records on disk in buckets by the hash of the id, joined bucket by bucket."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from msgspec import Struct

from dsync.errors import DsyncError
from dsync.flow.digest import DIGEST_BYTES
from dsync.flow.verify_window import DESTINATION, SIDES, SOURCE

Kind = Literal["missing", "extra", "changed"]
KINDS: tuple[Kind, ...] = ("missing", "extra", "changed")

# Buckets, one for each first byte of a key, are kept in memory up to here, so that writing one is worth opening its file.
BUFFER_BYTES = 8 << 20
# A larger bucket is cut into smaller ones first: joined records take about five times their bytes.
JOIN_BYTES = 16 << 20

# key, digest, document's bytes, pair of namespaces, type of the id (0: none), bytes of the id
_HEAD = struct.Struct(f"<{DIGEST_BYTES}s{DIGEST_BYTES}sIIBI")


class Record(NamedTuple):
    """A document of one side: its pair of namespaces, its id, and digests of both. An `id_kind` of 0 means that it has no id."""

    key: bytes
    digest: bytes
    size: int
    pair: int
    id_kind: int
    id_value: bytes


def pack(key: bytes, digest: bytes, size: int, pair: int, id_kind: int, id_value: bytes) -> bytes:
    """A record as it stands in a file; it begins with the key."""
    return _HEAD.pack(key, digest, size, pair, id_kind, len(id_value)) + id_value


def unpack(packed: bytes) -> Record:
    """The record that `pack` made."""
    key, digest, size, pair, kind, _ = _HEAD.unpack_from(packed)
    return Record(key, digest, size, pair, kind, packed[_HEAD.size :])


class Suspect(Struct, frozen=True):
    """An id under which the sides differ, as far as it is known; `size` are the bytes of its documents."""

    record: Record
    kind: Kind
    size: int


def judge(source: Sequence[bytes], destination: Sequence[bytes], *, any_of: bool) -> Kind | None:
    """How the documents of one id differ, by their digests; None: they do not.

    `any_of` lets a destination have one of several documents that share an id at the source.
    """
    if source == destination:  # nearly always, and cheap to see
        return None
    ours, theirs = Counter(source), Counter(destination)
    if ours == theirs or (any_of and len(destination) == 1 and destination[0] in ours):
        return None
    if not theirs - ours:
        return "missing"
    return "extra" if not ours - theirs else "changed"


class Spill:
    """Buckets in a folder of their own, which nobody else may enter and which goes when this closes."""

    def __init__(self, parent: str | None = None) -> None:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="dsync-verify-", dir=parent))
        except OSError as error:
            raise _no_room(error) from error
        self._buffers: dict[tuple[int, int], list[bytes]] = defaultdict(list)
        self._buffered = 0
        self._names: set[str] = set()
        self.records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, side: int, records: Iterable[bytes]) -> None:
        """Keeps records of a side, as `pack` makes them."""
        for packed in records:
            self._buffers[side, packed[0]].append(packed)
            self._buffered += len(packed)
            self.records += 1
        if self._buffered >= BUFFER_BYTES:
            self._write()

    def _write(self) -> None:
        for (side, bucket), parts in self._buffers.items():
            name = f"{bucket:02x}"
            self._names.add(name)
            _append(self._path(side, name), parts)
        self._buffers.clear()
        self._buffered = 0

    def _path(self, side: int, name: str) -> Path:
        return self._folder / f"{side}-{name}"

    def buckets(self) -> list[str]:
        """The buckets, each of which `join` takes once; after the last `add`."""
        self._write()
        return sorted(self._names)

    def join(self, name: str, *, any_of: bool = False) -> Iterator[Suspect]:
        """Every id of a bucket whose documents differ between the sides."""
        paths = [self._path(side, name) for side in SIDES]
        sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
        if sum(sizes) > JOIN_BYTES and len(name) < 2 * DIGEST_BYTES:
            for finer in self._cut(name, paths):
                yield from self.join(finer, any_of=any_of)
            return
        sides = [_by_key(path) if size else {} for path, size in zip(paths, sizes, strict=True)]
        for path in paths:
            path.unlink(missing_ok=True)
        for key in sides[SOURCE].keys() | sides[DESTINATION].keys():
            ours, theirs = sides[SOURCE].get(key, []), sides[DESTINATION].get(key, [])
            kind = judge(_digests(ours), _digests(theirs), any_of=any_of)
            if kind:
                every = list(map(unpack, (*ours, *theirs)))
                yield Suspect(every[0], kind, sum(record.size for record in every))

    def _cut(self, name: str, paths: Sequence[Path]) -> list[str]:
        """The bucket in parts, by the next byte of the key; their names."""
        names: set[str] = set()
        for side, path in zip(SIDES, paths, strict=True):
            for chunk in _chunks(path):
                parts: dict[str, list[bytes]] = defaultdict(list)
                for packed in chunk:
                    parts[f"{name}{packed[len(name) // 2]:02x}"].append(packed)
                for finer, same in parts.items():
                    _append(self._path(side, finer), same)
                names |= parts.keys()
            path.unlink(missing_ok=True)
        return sorted(names)


def _digests(packed: Sequence[bytes]) -> list[bytes]:
    return [each[DIGEST_BYTES : 2 * DIGEST_BYTES] for each in packed]


def _by_key(path: Path) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    data, at = path.read_bytes(), 0
    while at < len(data):
        end = at + _HEAD.size + _HEAD.unpack_from(data, at)[-1]
        found.setdefault(data[at : at + DIGEST_BYTES], []).append(data[at:end])
        at = end
    return found


def _chunks(path: Path) -> Iterator[list[bytes]]:
    """The records of a file, packed, some megabytes at a time."""
    if not path.exists():
        return
    with path.open("rb") as file:
        chunk: list[bytes] = []
        size = 0
        while head := file.read(_HEAD.size):
            chunk.append(head + file.read(_HEAD.unpack(head)[-1]))
            size += len(chunk[-1])
            if size >= BUFFER_BYTES:
                yield chunk
                chunk, size = [], 0
        yield chunk


def _append(path: Path, parts: Sequence[bytes]) -> None:
    try:
        with path.open("ab") as file:
            file.writelines(parts)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> DsyncError:
    return DsyncError(
        f"what verification must keep on disk cannot be written: {error.strerror}",
        remedy="set TMPDIR to a folder with room for about 100 bytes a document",
    )
