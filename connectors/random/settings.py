"""The options of a made-up source, checked, and what follows from them: namespaces, numbers, places."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Self

import click
from msgspec import Struct

from dsync.connector import ConnectorSpec
from dsync.errors import UsageError


class Settings(Struct, frozen=True):
    """What every made-up source has; the names are those of the options."""

    num_namespaces: int
    num_partitions_per_namespace: int
    num_update_partitions_per_namespace: int
    num_docs_per_partition: int
    batch_size: int
    update_batch_size: int
    max_updates_per_tick: int
    update_duration: int
    stream_tick: float
    namespace_prefix: str
    sleep: float
    jitter: float
    seed: int
    payload: str = ""
    payload_json: str = ""

    @classmethod
    def of(cls, spec: ConnectorSpec, options: Mapping[str, Any]) -> Self:
        """The settings, with the spec's defaults for what is left out. Raises UsageError naming the option."""
        return cls(**{str(option.name): _checked(option, options) for option in spec.source_options})

    @property
    def documents_per_namespace(self) -> int:
        """Documents of a namespace before any update."""
        return self.num_partitions_per_namespace * self.num_docs_per_partition

    def namespaces(self) -> list[str]:
        """The names of all namespaces, in order."""
        return [f"{self.namespace_prefix}{number}" for number in range(1, self.num_namespaces + 1)]

    def digest(self) -> str:
        """Equal where all documents and updates are equal."""
        decisive = (
            self.num_namespaces,
            self.num_partitions_per_namespace,
            self.num_update_partitions_per_namespace,
            self.num_docs_per_partition,
            self.max_updates_per_tick,
            self.namespace_prefix,
            self.seed,
            self.payload,
            self.payload_json,
        )
        return hashlib.blake2b(repr(decisive).encode(errors="surrogatepass"), digest_size=6).hexdigest()


def _checked(option: click.Option, options: Mapping[str, Any]) -> Any:
    value = options.get(str(option.name), option.default)
    try:
        return option.type.convert(value, option, None)
    except click.BadParameter as error:
        raise UsageError(f"{option.opts[0]}: {error.message.lower().rstrip('.')}") from error


def noise(size: int, *place: int) -> bytes:
    """`size` bytes (up to 64) that look random and follow from the place alone."""
    return hashlib.blake2b(b"%d," * len(place) % place, digest_size=size).digest()


def number(*place: int) -> int:
    """A number below 2**64 that looks random and follows from the place alone."""
    return int.from_bytes(noise(8, *place), "little")
