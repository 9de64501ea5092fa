"""Names of objects: which batch an object holds, and what is in it."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, unquote

from msgspec import Struct

from connectors.s3.settings import Settings
from dsync.codec import compression, paths
from dsync.errors import UsageError

METADATA = ".metadata.json"

# What S3 allows, in bytes of UTF-8.
LONGEST_KEY_BYTES = 1024

# Longer names of flows and partitions stand as their digest.
_LONGEST_FIELD = 80

_PART = re.compile(r"part-([^-]+)-([^-]+)-(\d+)\.(?:jsonl?)(?:\.gz|\.zst)?")
_JSON = re.compile(r"\.(?:json|jsonl|ndjson)$", re.IGNORECASE)


class WriteId(Struct, frozen=True):
    """A batch: `flow/partition/ordinal/namespace`."""

    flow: str
    partition: str
    ordinal: int
    namespace: str


def parse_write_id(text: str) -> WriteId:
    """The batch that a write_id names. Raises UsageError."""
    match text.split("/", 3):
        case [flow, partition, ordinal, namespace] if flow and partition and ordinal.isascii() and ordinal.isdecimal():
            return WriteId(flow, partition, int(ordinal), namespace)
    raise UsageError(f"the write_id {text!r} is not flow/partition/ordinal/namespace")


def folder(settings: Settings, namespace: str) -> str:
    """What the keys of a namespace's objects begin with; it ends with a slash. Raises UsageError for what is too long."""
    key = settings.root + "/".join(paths.encode(namespace)) + "/"
    if len(key.encode()) + 3 * _LONGEST_FIELD > LONGEST_KEY_BYTES:
        raise UsageError(
            f"the namespace {namespace!r} makes keys longer than the {LONGEST_KEY_BYTES} bytes that S3 allows",
            remedy="map it to a shorter name with --namespace OLD:NEW",
        )
    return key


def extension(settings: Settings) -> str:
    """Of the objects that these settings write."""
    return f".{settings.format}{compression.EXTENSIONS[settings.compression]}"


def part(flow: str, partition: str, ordinal: int, suffix: str) -> str:
    """The name of the object of a batch: a function of the batch alone, and of no other batch."""
    return f"part-{field(flow)}-{field(partition)}-{ordinal:06d}{suffix}"


def field(text: str) -> str:
    """A flow or a partition as names have it, without `-`, `.` and `/`: one to one, but `~` and a digest for the long."""
    plain = quote(text, safe="").replace("-", "%2D").replace(".", "%2E").replace("~", "%7E")
    return plain if len(plain) <= _LONGEST_FIELD else "~" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def batch_of(name: str) -> tuple[str, str, int] | None:
    """The fields of flow and partition and the ordinal, by an object's name; None: it is not named like a batch."""
    match = _PART.fullmatch(name)
    return (match[1], match[2], int(match[3])) if match else None


def flow_of(name: str) -> str | None:
    """The flow that an object's name tells; None: none, or only its digest."""
    batch = batch_of(name)
    return unquote(batch[0]) if batch and not batch[0].startswith("~") else None


def unnamed(content: bytes, suffix: str) -> str:
    """The name of an object whose batch nobody named."""
    return f"data-{hashlib.blake2b(content, digest_size=16).hexdigest()}{suffix}"


def compression_of(name: str) -> str | None:
    """How an object of JSON is compressed, by its name; None: it is not JSON."""
    stem, compressed = compression.split_name(name)
    return compressed if _JSON.search(stem) else None


def stem(name: str) -> str:
    """A name without the extensions for JSON and its compression."""
    return _JSON.sub("", compression.split_name(name)[0])
