"""Where a namespace goes: one file, or a file of its own under a folder; and where the sink keeps what it needs besides."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from connectors.file import kinds
from connectors.file.settings import Settings
from connectors.file.staging import flat
from connectors.file.tree import OWN_FOLDER
from dsync.codec import paths
from dsync.errors import EndpointError, UsageError


class Target(Struct, frozen=True):
    """A namespace's file. `single` means that the destination is this one file."""

    namespace: str
    root: Path
    file: Path
    kind: kinds.Kind
    single: bool

    @property
    def own(self) -> Path:
        """Where the sink keeps markers and staged batches."""
        return self.root / OWN_FOLDER

    @property
    def marker(self) -> Path:
        """The marker of the file, one to one."""
        return self.own / f"{flat(str(self.file.relative_to(self.root)))}.json"

    def staging(self, flow: str) -> Path:
        """Where a flow stages the batches of the namespace."""
        return self.own / flat(flow) / flat(self.namespace)

    def check_place(self) -> None:
        """Raises EndpointError where the file is something else, or its folder lies outside of the destination."""
        if not self.file.parent.resolve().is_relative_to(self.root):
            raise EndpointError(f"{str(self.file.parent)!r} leads out of {str(self.root)!r} by a symbolic link")
        if self.file.exists() and not self.file.is_file():
            raise EndpointError(f"{str(self.file)!r} exists and is no regular file")


def target_like(settings: Settings) -> Target | None:
    """What every target here has in common; None for a path of which nothing can be told until something is written there."""
    try:
        return target_of(settings, "any")
    except UsageError:
        return None


def target_of(settings: Settings, namespace: str) -> Target:
    """Where a namespace goes. Raises UsageError for a path that tells neither a format nor that it is a folder."""
    path = Path(settings.path)
    own = kinds.of_name(Path(settings.typed).name)
    if not _is_folder(settings, path, own):
        kind = _written(settings, settings.kind_of(Path(settings.typed).name))
        return Target(namespace, path.parent, path, kind, True)
    kind = _written(settings, kinds.Kind("", settings.format or kinds.JSONL, settings.compression or "none"))
    packed = "none" if kind.format == kinds.PARQUET else kind.compression
    parts = paths.encode(namespace)
    name = parts[-1] + kinds.extension_of(kind.format, packed, kind.delimiter)
    return Target(namespace, path, path.joinpath(*parts[:-1], name), kind, False)


def _is_folder(settings: Settings, path: Path, own: kinds.Kind) -> bool:
    if settings.is_folder or path.is_dir():
        return True
    if own.format:
        return False
    if (own.compression != "none" or path.exists()) and not settings.format:
        raise UsageError(
            f"{settings.typed!r} does not tell its format",
            remedy="add --format, or use an extension such as .jsonl or .csv",
        )
    return own.compression == "none" and not path.exists()


def _written(settings: Settings, kind: kinds.Kind) -> kinds.Kind:
    if kind.format == kinds.PARQUET and kinds.of_name(settings.typed).compression != "none":
        raise UsageError(
            f"{settings.typed!r}: Parquet files are compressed inside",
            remedy="name it .parquet and choose with --compression",
        )
    return kinds.Kind(kind.stem, kind.format, kind.compression, settings.delimiter or kind.delimiter)
