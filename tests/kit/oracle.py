"""Says whether two stores hold the same documents, byte for byte, without a line of dsync.

Both sides are read raw, as multisets of (namespace, type of `_id`, bytes of `_id`) -> digest of the document. As a
program: `python -m tests.kit.oracle LEFT RIGHT`, each `mongodb://host/database` or a folder or file of BSON.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.read_concern import ReadConcern

# A document with the namespace it is in, relative to what is compared.
Placed = tuple[str, bytes]
Key = tuple[str, int, bytes]

FIXED_BYTES = {
    0x01: 8,
    0x06: 0,
    0x07: 12,
    0x08: 1,
    0x09: 8,
    0x0A: 0,
    0x10: 4,
    0x11: 8,
    0x12: 8,
    0x13: 16,
    0x7F: 0,
    0xFF: 0,
}
SHOWN = 5


@dataclass
class Report:
    """What differs between a left and a right side; each entry is a key."""

    left: int = 0
    right: int = 0
    lost: list[Key] = field(default_factory=list)
    extra: list[Key] = field(default_factory=list)
    changed: list[Key] = field(default_factory=list)
    twice: list[Key] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the sides hold the same documents, each once on the right as often as on the left."""
        return not (self.lost or self.extra or self.changed or self.twice)

    def __str__(self) -> str:
        lines = [f"{self.left} documents on the left, {self.right} on the right"]
        for name in ("lost", "extra", "changed", "twice"):
            keys: list[Key] = getattr(self, name)
            examples = ", ".join(f"{space} type {kind} {value.hex()}" for space, kind, value in sorted(keys)[:SHOWN])
            lines.append(f"{name}: {len(keys)}{f' ({examples})' if keys else ''}")
        return "; ".join(lines)


def compare(left: Iterable[Placed], right: Iterable[Placed]) -> Report:
    """The differences; `twice` are documents that the right side has more often than the left has them."""
    before, after = _digests(left), _digests(right)
    report = Report(sum(map(Counter.total, before.values())), sum(map(Counter.total, after.values())))
    for key in before.keys() | after.keys():
        here, there = before.get(key, Counter()), after.get(key, Counter())
        if not there:
            report.lost.append(key)
        elif not here:
            report.extra.append(key)
        elif there.total() > here.total():
            report.twice.append(key)
        elif here != there:
            report.changed.append(key)
    return report


def mongo_side(uri: str, database: str) -> Iterator[Placed]:
    """Every document of a database, under its collection's name."""
    client: MongoClient[RawBSONDocument]
    with MongoClient(uri, document_class=RawBSONDocument) as client:
        source = client.get_database(database, read_concern=ReadConcern("majority"))
        for name in sorted(source.list_collection_names(filter={"type": "collection"})):
            if not name.startswith("system."):
                for document in source[name].find():
                    yield name, bytes(document.raw)


def bson_side(path: Path, namespace: str = "") -> Iterator[Placed]:
    """Every document of a BSON file, or of all below a folder under the names of their paths."""
    for file in sorted(path.rglob("*.bson")) if path.is_dir() else [path]:
        name = namespace or ".".join(file.relative_to(path if path.is_dir() else path.parent).with_suffix("").parts)
        for document in documents(file.read_bytes()):
            yield name, document


def documents(data: bytes) -> Iterator[bytes]:
    """The documents of concatenated BSON. Raises ValueError where the lengths do not add up."""
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<i", data, at)
        if size < 5 or at + size > len(data):
            raise ValueError(f"no document at offset {at}")
        yield data[at : at + size]
        at += size


def id_of(document: bytes) -> tuple[int, bytes]:
    """Type and bytes of `_id`; type 0 where there is none."""
    return next((value for name, value in fields(document) if name == b"_id"), (0, b""))


def fields(document: bytes) -> Iterator[tuple[bytes, tuple[int, bytes]]]:
    """Key, type and bytes of every value at the top."""
    at = 4
    while document[at]:
        kind, end = document[at], document.index(0, at + 1)
        stop = end + 1 + _value_bytes(document, kind, end + 1)
        yield document[at + 1 : end], (kind, document[end + 1 : stop])
        at = stop


def _value_bytes(document: bytes, kind: int, at: int) -> int:
    if kind in FIXED_BYTES:
        return FIXED_BYTES[kind]
    if kind == 0x0B:
        return document.index(0, document.index(0, at) + 1) + 1 - at
    (size,) = struct.unpack_from("<i", document, at)
    if kind in (0x03, 0x04, 0x0F):
        return int(size)
    return int(size) + {0x02: 4, 0x0D: 4, 0x0E: 4, 0x05: 5, 0x0C: 16}[kind]


def _digests(side: Iterable[Placed]) -> dict[Key, Counter[bytes]]:
    digests: dict[Key, Counter[bytes]] = defaultdict(Counter)
    for namespace, document in side:
        digests[(namespace, *id_of(document))][hashlib.blake2b(document, digest_size=16).digest()] += 1
    return digests


def _side(text: str) -> Iterator[Placed]:
    if text.startswith("mongodb://"):
        return mongo_side(text, text.partition("://")[2].partition("/")[2].partition("?")[0])
    return bson_side(Path(text))


def main() -> None:
    """Compares what two arguments name, prints the differences, exits with 4 when there are any."""
    report = compare(_side(sys.argv[1]), _side(sys.argv[2]))
    print(report)  # noqa: T201
    sys.exit(0 if report.equal else 4)


if __name__ == "__main__":
    main()
