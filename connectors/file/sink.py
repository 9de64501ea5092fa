"""The file connector as a sink: batches are staged durably, a finished namespace is put in place as one file.

Every step can be repeated, and a kill between any two of them leaves a state from which the same call goes on: staged batches
are files of their own; the file is assembled beside them; the marker, written before the file is renamed into place, names both
the file that was there and the one that comes; the staging folder goes in one rename, and only then piece by piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from connectors.file import durable, marker, staging, tree
from connectors.file.append import existing_batches
from connectors.file.assembly import Assembly
from connectors.file.destination import Target, target_of
from connectors.file.layouts import Layout, TakesLines, layout_of
from connectors.file.marker import Marker, Published
from connectors.file.settings import Settings
from connectors.file.staging import Staged, WriteId
from dsync import wire
from dsync.errors import NotFoundError, UsageError

logger = logging.getLogger(__name__)

TRASH = ".trash"
# For questions about many namespaces at once, a folder is listed once.
LISTING_SECONDS = 1.0
APPENDING = "appending."


class FileSink:
    """Writes where the settings name; batches in any order and side by side, also of several processes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Staging folders that this process has seen to be there.
        self._begun: set[Path] = set()
        # Files that are put together already, by their staging folders; whoever works at one holds the lock.
        self._ahead: dict[Path, Assembly] = {}
        self._assembling = asyncio.Lock()
        self._direct = asyncio.Lock()
        # Namespaces and paths of the destination's files, and when they were listed.
        self._listed: tuple[float, dict[str, str]] = (0.0, {})

    async def metadata(self, namespace: str) -> wire.GetNamespaceMetadataResponse:
        """What is known of a namespace's file."""
        return await asyncio.to_thread(self._metadata, target_of(self._settings, namespace))

    async def write(self, request: wire.WriteDataRequest) -> None:
        """Stages a batch; one without a write id becomes part of the file at once."""
        if request.type not in (wire.EXTENDED_JSON, wire.BSON, wire.JSON_ID):
            raise UsageError(f"files cannot hold data type {request.type}")
        target = target_of(self._settings, request.namespace)
        layout = layout_of(target.kind, self._settings)
        if request.write_id:
            write_id = staging.parse_write_id(request.write_id, request.namespace)
            await asyncio.to_thread(self._stage, target, layout, write_id, request)
        else:
            async with self._direct:
                await asyncio.to_thread(self._append, target, layout, request)

    async def finish(self, request: wire.FinishNamespaceRequest) -> list[str]:
        """Puts the file of these batches in place and removes all others of the flow; answers what the file cannot say."""
        target = target_of(self._settings, request.namespace)
        layout = layout_of(target.kind, self._settings)
        async with self._assembling:
            notes = await asyncio.to_thread(self._finish, target, layout, request.flow, _parts(request))
        self._begun.discard(target.staging(request.flow))
        return notes

    async def prepare_finish(self, request: wire.FinishNamespaceRequest) -> None:
        """Puts together what follows of the namespace's file, where a file can be continued."""
        target = target_of(self._settings, request.namespace)
        layout = layout_of(target.kind, self._settings)
        if layout.appends and request.parts:
            async with self._assembling:
                await asyncio.to_thread(self._assemble_ahead, target, layout, request.flow, _parts(request))

    async def close(self) -> None:
        """Removes what was put together for nothing, once nobody works at it."""
        async with self._assembling:
            while self._ahead:
                self._ahead.popitem()[1].close()

    def _assemble_ahead(self, target: Target, layout: Layout, flow: str, parts: Sequence[tuple[str, int]]) -> None:
        folder = target.staging(flow)
        batches = _found(folder, parts)
        if isinstance(batches, str) or not batches:
            return
        with contextlib.ExitStack() as failing:
            known = self._ahead.pop(folder) if folder in self._ahead else Assembly(folder)
            assembly = failing.enter_context(contextlib.closing(known))
            assembly.extend(layout, batches)
            durable.sync(assembly.descriptor)
            failing.pop_all()
            self._ahead[folder] = assembly

    def _assembly(self, folder: Path, batches: Sequence[Staged]) -> Assembly:
        """What is put together of these batches so far; the caller's from now on."""
        known = self._ahead.pop(folder, None)
        if known is not None:
            if known.leads_to(batches):
                return known
            known.close()
        return Assembly(folder)

    def _metadata(self, target: Target) -> wire.GetNamespaceMetadataResponse:
        target = self._elsewhere(target)
        status = _status(target.file)
        known = marker.read(target.marker)
        response = wire.GetNamespaceMetadataResponse(exists=status is not None)
        current = known.current(status) if known else None
        if known:
            response.identity = known.identity
        elif status:
            response.identity = f"{status.st_dev}:{status.st_ino}"
        if current:
            response.flow = current.flow
        if current and current.documents >= 0:
            response.count = current.documents
        else:
            response.count_unknown = status is not None and status.st_size > 0
        return response

    def _elsewhere(self, target: Target) -> Target:
        """The target, or where the namespace is found in a form that the sink would not write."""
        if target.single or target.file.exists() or not target.root.is_dir():
            return target
        listed, found = self._listed
        if time.monotonic() > listed + LISTING_SECONDS:
            found = {
                entry.namespace: entry.path for entry in tree.list_files(self._settings, may_be_empty=True).entries
            }
            self._listed = time.monotonic(), found
        path = found.get(target.namespace)
        return replace(target, file=target.root / path) if path else target

    def _stage(self, target: Target, layout: Layout, write_id: WriteId, request: wire.WriteDataRequest) -> None:
        payload, count = _payload(layout, request)
        path = target.staging(write_id.flow) / staging.part_name(write_id.partition, write_id.ordinal)
        if path.parent not in self._begun:
            self._begin(target, write_id.flow)
        try:
            staging.write_part(path, payload, count)
        except FileNotFoundError:  # finished since, by another process: this is the next generation's first batch here
            self._begin(target, write_id.flow)
            staging.write_part(path, payload, count)

    def _begin(self, target: Target, flow: str) -> None:
        """Makes the staging folder, and says in the marker that the flow has begun."""
        target.check_place()
        _refuse_second(target, marker.read(target.marker), flow)
        folder = target.staging(flow)
        durable.make_folders(folder)
        known = marker.create(target.marker, Marker(target.namespace, staging=flow), folder)
        _refuse_second(target, known, flow)
        if (known.namespace, known.staging) != (target.namespace, flow):
            marker.write(target.marker, replace(known, namespace=target.namespace, staging=flow), folder)
        self._begun.add(folder)

    def _finish(self, target: Target, layout: Layout, flow: str, parts: Sequence[tuple[str, int]]) -> list[str]:
        notes: list[str] = []
        folder = target.staging(flow)
        known = marker.read(target.marker)
        _refuse_second(target, known, flow)
        batches = _found(folder, parts)
        if isinstance(batches, str):
            if not _is_done(target, known, flow, parts) or folder.exists():
                raise NotFoundError(
                    f"batch {batches} of {target.namespace!r} is not staged in {str(folder)!r}",
                    remedy="copy everything again with --restart",
                )
        else:
            self._begin(target, flow)
            with contextlib.closing(self._assembly(folder, batches)) as assembly:
                published, notes = _assembled(layout, batches, assembly, flow, parts)
                self._publish(target, assembly.path, published)
        _remove(folder)
        return notes

    def _publish(self, target: Target, temporary: Path, published: Published) -> None:
        """Puts a finished file in place; before and after, the marker knows what is there."""
        durable.make_folders(target.file.parent)
        target.check_place()
        status = _status(target.file)
        if status:  # whoever could not read the old file cannot read the new one
            temporary.chmod(stat.S_IMODE(status.st_mode))
        known = marker.create(target.marker, Marker(target.namespace), temporary.parent)
        known = replace(known, namespace=target.namespace).publishing(published, status)
        marker.write(target.marker, known, temporary.parent)
        temporary.replace(target.file)
        durable.sync_folder(target.file.parent)

    def _append(self, target: Target, layout: Layout, request: wire.WriteDataRequest) -> None:
        """Makes the file anew with a batch more, under a lock that other processes hold to as well."""
        target.check_place()
        durable.make_folders(target.own)
        with _locked(target.own), tempfile.TemporaryDirectory(prefix=APPENDING, dir=target.own) as name:
            folder = Path(name)
            _clear_away(target.own, folder)
            known = marker.read(target.marker)
            if _status(target.file):
                _refuse_second(target, known, "")
            current = known.current(_status(target.file)) if known else None
            if layout.appends and current:
                batches = [Staged(target.file, current.documents, 0, current.size)]
            else:
                batches = existing_batches(self._settings, target, layout, folder)
            path = folder / staging.part_name("new", 0)
            staging.write_part(path, *_payload(layout, request))
            batches.append(staging.staged(path))
            with contextlib.closing(Assembly(folder)) as assembly:
                published, notes = _assembled(layout, batches, assembly, "", [])
                for note in notes:
                    logger.warning("%s: %s", target.file, note)
                self._publish(target, assembly.path, published)


def _assembled(
    layout: Layout, batches: Sequence[Staged], assembly: Assembly, flow: str, parts: Sequence[tuple[str, int]]
) -> tuple[Published, list[str]]:
    """Writes the file of the batches, durably; answers besides what it cannot say of them."""
    rest = batches[assembly.taken :]
    notes = assembly.extend(layout, rest) if rest or not batches else []
    os.fsync(assembly.descriptor)
    status = os.fstat(assembly.descriptor)
    size = staging.total(batches)
    return Published(flow, marker.digest(parts), size, status.st_size, status.st_mtime_ns), notes


def _parts(request: wire.FinishNamespaceRequest) -> list[tuple[str, int]]:
    return [(part.partition, part.count) for part in request.parts]


def _found(folder: Path, parts: Sequence[tuple[str, int]]) -> list[Staged] | str:
    """The batches of all parts in order, or the name of the first that is not there."""
    batches = []
    for partition, count in parts:
        for ordinal in range(count):
            try:
                batches.append(staging.staged(folder / staging.part_name(partition, ordinal)))
            except FileNotFoundError:
                return f"{partition}/{ordinal}"
    return batches


def _is_done(target: Target, known: Marker | None, flow: str, parts: Sequence[tuple[str, int]]) -> bool:
    """Whether the file that is there is what this flow published of these batches, and it has staged nothing since."""
    if known is None or known.staging or known.published is None or not known.published.is_file(_status(target.file)):
        return False
    return (known.namespace, known.published.flow, known.published.parts) == (
        target.namespace,
        flow,
        marker.digest(parts),
    )


def _payload(layout: Layout, request: wire.WriteDataRequest) -> tuple[bytes, int]:
    """A batch in the form in which it waits, and how many documents it has."""
    if not request.lines_count:
        data = list(request.data)  # once: each look at a message copies the documents
        return layout.stage(data, request.type), len(data)
    if not isinstance(layout, TakesLines):
        raise UsageError("this destination takes no lines; it did not offer to")
    return layout.stage_lines(request.lines), request.lines_count


def _refuse_second(target: Target, known: Marker | None, flow: str) -> None:
    """Raises UsageError where one flow would write two namespaces to one file."""
    if known is None or not target.single:
        return
    writer = known.staging or (known.published.flow if known.published else "")
    if known.namespace != target.namespace and writer == flow:
        raise UsageError(
            f"{str(target.file)!r} takes one namespace, and {known.namespace!r} and {target.namespace!r} would both go there",
            remedy="give a folder as the destination, or select one namespace with --namespace",
        )


def _remove(folder: Path) -> None:
    """Removes a staging folder: in one step out of the way, then for good; and what an earlier call did not get to."""
    trash = folder.with_name(folder.name + TRASH)
    shutil.rmtree(trash, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(trash)
    durable.remove_files(trash)
    shutil.rmtree(trash, ignore_errors=True)
    with contextlib.suppress(OSError):  # other namespaces of the flow are still there
        folder.parent.rmdir()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear_away(own: Path, mine: Path) -> None:
    """Removes what killed calls have left; whoever holds the lock is alone here."""
    for left in own.glob(f"{APPENDING}*"):
        if left != mine:
            shutil.rmtree(left, ignore_errors=True)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
