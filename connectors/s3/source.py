"""What lies under the prefix: its plan, and where a namespace is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connectors.s3 import cursors, marker, names, plan
from connectors.s3.bucket import Bucket
from connectors.s3.folders import Folder, Index, scan
from dsync import wire


class Source:
    """The part of the connector that looks at folders."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._settings = bucket.settings
        self._index: Index | None = None

    async def plan(self, selected: Sequence[str]) -> wire.GeneratePlanResponse:
        """Partitions of the selected namespaces. Raises NotFoundError where a name, or the prefix, has none."""
        self._index = await scan(self._bucket)
        folders = self._index.select(self._settings, selected)
        answer = wire.GeneratePlanResponse(warnings=self._index.warnings)
        for namespace, folder in sorted(folders.items()):
            published = await self._marker(folder)
            entries = marker.published(published, folder.entries)
            answer.warnings.extend(self._unfinished(folder, published, len(folder.entries) - len(entries)))
            planned = await plan.partitions(self._bucket, namespace, entries)
            documents = published.documents if published else 0
            total = sum(each.weight for each in planned) or 1
            for each in planned:
                estimate = -(-documents * each.weight // total)
                cursor = cursors.write_part(each.part)
                answer.partitions.add(
                    namespace=namespace, cursor=cursor, estimated_count=estimate, estimated_bytes=each.weight
                )
        return answer

    async def metadata(self, namespace: str) -> wire.GetNamespaceMetadataResponse:
        """What the marker of dsync says, as far as the objects are still those that it is about."""
        folder = await self._folder(namespace)
        if folder is None:
            return wire.GetNamespaceMetadataResponse(exists=False)
        published = await self._marker(folder)
        if published is None:
            return wire.GetNamespaceMetadataResponse(exists=True, count_unknown=True, flow=_unpublished(folder))
        entries = marker.published(published, folder.entries)
        known = (published.objects, published.stored_bytes) == (len(entries), sum(entry.size for entry in entries))
        return wire.GetNamespaceMetadataResponse(
            exists=True,
            count=published.documents if known else 0,
            count_unknown=not known,
            identity=published.identity,
            flow=published.flow,
        )

    def _unfinished(self, folder: Folder, published: marker.Marker | None, left_out: int) -> Iterator[str]:
        where = self._settings.shown(folder.key)
        if left_out:
            yield f"{where}: {left_out} objects of a copy that has not ended: left out"
        elif published is None and any(names.batch_of(entry.name) for entry in folder.entries):
            yield f"{where}: the copy that wrote this has not ended: documents may be missing"

    async def _marker(self, folder: Folder) -> marker.Marker | None:
        return marker.read(await self._bucket.fetch(folder.key + names.METADATA)) if folder.has_marker else None

    async def _folder(self, namespace: str) -> Folder | None:
        """The folder that dsync would write, else one that others named so; None: there is none."""
        key = names.folder(self._settings, namespace)
        own = Folder(key)
        for entry in await self._bucket.folder(key):
            own.add(entry)
        if own.is_namespace or own.others:
            return own
        if self._index is None:
            self._index = await scan(self._bucket)
        return next(iter(self._index.namespaces.get(namespace, ())), None)


def _unpublished(folder: Folder) -> str:
    """The flow whose unfinished work is all that a folder holds; empty: there is something else, or it cannot be told."""
    flows = {names.flow_of(entry.name) for entry in folder.entries}
    return (flows.pop() or "") if len(flows) == 1 and not folder.others else ""
