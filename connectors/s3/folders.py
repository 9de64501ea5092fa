"""What lies under the prefix: the folders that hold objects of JSON, and the namespaces they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from connectors.s3 import names
from connectors.s3.bucket import Bucket, Entry
from connectors.s3.settings import Settings
from dsync.codec import paths
from dsync.errors import DataError, NotFoundError

# Folders that are named in warnings; more are counted.
_WARNED_FOLDERS = 10


class Folder(Struct):
    """A folder's objects, in the order of keys; `key` ends with a slash, or is that of a single object."""

    key: str
    entries: list[Entry] = field(default_factory=list)
    # Names of objects that are not JSON.
    others: list[str] = field(default_factory=list)
    has_marker: bool = False

    @property
    def is_namespace(self) -> bool:
        """Whether it holds documents, or is known to hold none."""
        return bool(self.entries) or self.has_marker

    def add(self, entry: Entry) -> None:
        """Sorts in one more object."""
        if entry.name == names.METADATA:
            self.has_marker = True
        elif names.compression_of(entry.name) is None:
            self.others.append(entry.name)
        else:
            self.entries.append(entry)


class Index(Struct, frozen=True):
    """Namespaces and their folders, mostly one each; `warnings` says what is left out."""

    namespaces: Mapping[str, Sequence[Folder]]
    warnings: Sequence[str]

    def select(self, settings: Settings, selected: Sequence[str]) -> dict[str, Folder]:
        """The folders of the selected names and of those below them; without names all.

        Raises NotFoundError for a name without any, DataError where two folders are one namespace.
        """
        for name in selected:
            if not any(_covers(name, namespace) for namespace in self.namespaces):
                raise NotFoundError(
                    f"{settings.shown()!r} has no namespace {name!r}", remedy=f"there are {self._known()}"
                )
        if not self.namespaces:
            raise NotFoundError(
                f"there are no objects of JSON under {settings.shown()!r}",
                remedy="check bucket and prefix; .json, .jsonl and .ndjson are read, also with .gz or .zst",
            )
        chosen = {
            namespace: folders
            for namespace, folders in self.namespaces.items()
            if not selected or any(_covers(name, namespace) for name in selected)
        }
        return {namespace: _only(settings, namespace, folders) for namespace, folders in chosen.items()}

    def _known(self) -> str:
        known = sorted(self.namespaces)
        shown = ", ".join(map(repr, known[:_WARNED_FOLDERS]))
        return (f"{shown} and {len(known) - _WARNED_FOLDERS} more" if len(known) > _WARNED_FOLDERS else shown) or "none"


async def scan(bucket: Bucket) -> Index:
    """Lists all that belongs to the prefix: the object of that key, or else everything in the folder."""
    settings = bucket.settings
    single = None if settings.is_folder else await bucket.find(settings.prefix)
    if single:
        folder = Folder(single.key, [single])
        return Index({paths.decode([names.stem(single.name)]): [folder]}, [])
    folders: dict[str, Folder] = {}
    async for entry in bucket.walk(settings.root):
        if entry.name or entry.size:
            folders.setdefault(entry.folder, Folder(entry.folder)).add(entry)
    namespaces: dict[str, list[Folder]] = {}
    for folder in folders.values():
        if folder.is_namespace:
            namespaces.setdefault(_namespace(settings, folder.key), []).append(folder)
    return Index(namespaces, list(_warnings(settings, folders.values())))


def _namespace(settings: Settings, key: str) -> str:
    """By the folders below the prefix; for objects that lie directly in it, the prefix's last part, or the bucket."""
    below = key[len(settings.root) :].removesuffix("/")
    own = settings.prefix.rpartition("/")[2] or settings.bucket
    return paths.decode(below.split("/") if key != settings.root else [own])


def _covers(name: str, namespace: str) -> bool:
    return namespace == name or namespace.startswith(name + ".")


def _only(settings: Settings, namespace: str, folders: Sequence[Folder]) -> Folder:
    if len(folders) > 1:
        shown = " and ".join(repr(settings.shown(folder.key)) for folder in folders[:2])
        raise DataError(f"{shown} are both the namespace {namespace!r}", remedy="read one of them by its own URI")
    return folders[0]


def _warnings(settings: Settings, folders: Iterable[Folder]) -> Iterable[str]:
    odd = [folder for folder in folders if folder.others]
    for folder in odd[:_WARNED_FOLDERS]:
        count, first = len(folder.others), folder.others[0]
        what = f"{first!r} is not JSON" if count == 1 else f"{count} objects are not JSON, such as {first!r}"
        yield f"{settings.shown(folder.key)}: {what}: left out"
    if len(odd) > _WARNED_FOLDERS:
        yield f"{len(odd) - _WARNED_FOLDERS} more folders hold objects that are not JSON: left out"
