"""Pages of a partition: ranges of the `_id` index, read as raw replies, sliced where somebody looks at them, never decoded.

`min` and `max` with a hint are index bounds, which unlike filters do not bracket types. An open upper end leaves out `_id: MaxKey`
(the server takes it for an exclusive bound), so that document is asked for by equality at the end.
"""

from __future__ import annotations

import bisect
import itertools
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from bson.max_key import MaxKey
from bson.min_key import MinKey
from msgspec import Struct

from connectors.mongo import namespaces, query
from connectors.mongo.cursors import PartitionCursor, decode_page, encode_page
from connectors.mongo.deployment import Cursor, Deployment, Encoded
from dsync.codec import raw
from dsync.codec.whole import Documents, total_bytes
from dsync.errors import CursorError, GapError, TransientError

LOG = logging.getLogger(__name__)

# Open server cursors that wait for their next page; more than copiers, as a rule. Beyond it the oldest is closed, and its
# partition goes on from the page's cursor.
WARM_SCANS = 128
FIRST_BATCH_DOCUMENTS = 101


class Scan(Struct):
    """A partition being read: what the server already sent and, while it has more, its cursor."""

    partition: PartitionCursor
    cursor: Cursor | None = None
    pending: Sequence[bytes] = ()
    # Whether the server may still hold documents of the partition.
    more: bool = True


class Reader:
    """Reads pages. Scans stay open between pages as a cache: every page can be read without them."""

    def __init__(
        self, deployment: Deployment, filter_: bytes, *, tolerate_drops: bool, warm_scans: int = WARM_SCANS
    ) -> None:
        self._deployment = deployment
        self._filter = filter_
        self._tolerate_drops = tolerate_drops
        self._warm_scans = warm_scans
        self._scans: OrderedDict[tuple[bytes, bytes], Scan] = OrderedDict()

    async def close(self) -> None:
        """Closes the open scans."""
        while self._scans:
            await self._close(self._scans.popitem()[1])

    async def page(self, namespace: str, partition: bytes, cursor: bytes) -> tuple[Sequence[bytes], bytes]:
        """The documents of a page and the next page's cursor, empty after the last. Raises CursorError for foreign cursors."""
        after = decode_page(partition, cursor)
        scan = self._scans.pop((partition, cursor), None)
        if scan is not None:
            try:
                return await self._finish_page(scan, partition)
            except TransientError as error:
                LOG.debug("reopening a scan of %s: %s", namespace, error)
        scan = Scan(self._checked(namespace, partition))
        await self._open(scan, after)
        return await self._finish_page(scan, partition)

    def _checked(self, namespace: str, partition: bytes) -> PartitionCursor:
        decoded = PartitionCursor.decode(partition)
        if decoded.namespace != namespace:
            raise CursorError(f"the partition's cursor is of {decoded.namespace!r}, not of {namespace!r}")
        if decoded.query_digest != query.digest(self._filter):
            raise CursorError(
                "the partition was planned with another --initial-sync-query", remedy="use the same one, or --restart"
            )
        return decoded

    async def _finish_page(self, scan: Scan, partition: bytes) -> tuple[Sequence[bytes], bytes]:
        """Cuts the next page. Only its documents decide whether it is full, so reading it again gives the same."""
        rule = scan.partition
        try:
            count, full = cut(scan.pending, rule.page_documents, rule.page_bytes)
            while not full and scan.more:
                await self._fetch(scan)
                count, full = cut(scan.pending, rule.page_documents, rule.page_bytes)
            page, scan.pending = parted(scan.pending, count)
            if not full:
                await self._check_still_there(rule)
            elif raw.id_of(last(page))[0] == raw.MAX_KEY:
                # Nothing comes after it; also not itself again, by `_finish_range`.
                scan.more = False
        except BaseException:
            await self._close(scan)
            raise
        if not full:
            await self._close(scan)
            return page, b""
        next_cursor = encode_page(partition, last(page))
        await self._keep((partition, next_cursor), scan)
        return page, next_cursor

    async def _keep(self, key: tuple[bytes, bytes], scan: Scan) -> None:
        older = self._scans.pop(key, None)
        self._scans[key] = scan
        if older is None and len(self._scans) > self._warm_scans:
            older = self._scans.popitem(last=False)[1]
        if older is not None:
            await self._close(older)

    async def _close(self, scan: Scan) -> None:
        if scan.cursor is not None:
            cursor, scan.cursor = scan.cursor, None
            await self._deployment.close_cursor(cursor)

    async def _open(self, scan: Scan, after: bytes) -> None:
        """Begins to read after the `{_id: x}`, or at the partition's lower end."""
        if after and raw.id_of(after)[0] == raw.MAX_KEY:
            scan.more = False
            return
        database, _, collection = scan.partition.namespace.partition(".")
        command = self._find(scan.partition, collection, after)
        scan.cursor, batch = await self._deployment.open_cursor(database, command, _doing(scan.partition))
        scan.pending = batch.documents
        try:
            if not scan.cursor.id:
                await self._finish_range(scan)
            while not scan.pending and scan.more:
                await self._fetch(scan)
        except BaseException:
            await self._close(scan)
            raise
        # Lower bounds are inclusive.
        if after and scan.pending and raw.id_document(scan.pending[0]) == after:
            scan.pending = scan.pending[1:]

    def _find(self, rule: PartitionCursor, collection: str, after: bytes) -> dict[str, Any]:
        lower = after or rule.lower
        command: dict[str, Any] = {
            "find": collection,
            "hint": {"_id": 1},
            "sort": {"_id": 1},
            "min": Encoded(lower) if lower else {"_id": MinKey()},
            "batchSize": _batch_documents(rule) + bool(after),
            "readConcern": self._read_concern(rule),
        }
        if rule.upper:
            command["max"] = Encoded(rule.upper)
        if self._filter:
            command["filter"] = Encoded(self._filter)
        return command

    def _read_concern(self, rule: PartitionCursor) -> dict[str, Any]:
        after = {} if rule.after is None else {"afterClusterTime": rule.after}
        return {"level": "majority", **after}

    async def _fetch(self, scan: Scan) -> None:
        assert scan.cursor is not None
        rule = scan.partition
        options = {"batchSize": _batch_documents(rule)}
        batch = await self._deployment.get_more(scan.cursor, options, _doing(rule))
        scan.pending = [*scan.pending, *batch.documents] if scan.pending else batch.documents
        if not scan.cursor.id:
            await self._finish_range(scan)

    async def _finish_range(self, scan: Scan) -> None:
        """After the last batch: the document that an open range leaves out, unless it came, as on a clustered collection."""
        scan.more = False
        rule = scan.partition
        if rule.upper or (scan.pending and raw.id_of(last(scan.pending))[0] == raw.MAX_KEY):
            return
        database, _, collection = rule.namespace.partition(".")
        greatest = {"_id": MaxKey()}
        command = {
            "find": collection,
            "filter": {"$and": [greatest, Encoded(self._filter)]} if self._filter else greatest,
            "hint": {"_id": 1},
            "readConcern": self._read_concern(rule),
        }
        async for documents in self._deployment.documents(database, command, _doing(rule)):
            scan.pending = [*scan.pending, *documents] if documents else scan.pending

    async def _check_still_there(self, rule: PartitionCursor) -> None:
        """A dropped collection reads as an empty one: without this check half a copy would look like a whole one."""
        if not rule.uuid or self._tolerate_drops:
            return
        database, _, name = rule.namespace.partition(".")
        collection = await namespaces.find_collection(self._deployment, database, name)
        if collection is None or collection.uuid != rule.uuid:
            raise GapError(
                f"{rule.namespace!r} was dropped, renamed or made anew while it was copied",
                remedy="start over with --restart, or allow it with --ddl ignore or --ddl apply",
            )


def cut(documents: Sequence[bytes], most_documents: int, most_bytes: int) -> tuple[int, bool]:
    """How many of the documents make a page, and whether it is full: it has that many documents, or bytes at least."""
    if len(documents) <= most_documents and total_bytes(documents) < most_bytes:
        return len(documents), len(documents) == most_documents
    taken = documents[:most_documents]
    sizes = list(itertools.accumulate(map(len, taken)))
    return min(bisect.bisect_left(sizes, most_bytes) + 1, len(taken)), True


def parted(documents: Sequence[bytes], count: int) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """So many of the documents, and the others; all of them as they are."""
    return (documents, ()) if count == len(documents) else (documents[:count], documents[count:])


def last(documents: Sequence[bytes]) -> bytes:
    """The last one; a reply's is found without the others."""
    return documents.last if isinstance(documents, Documents) else documents[-1]


def _batch_documents(rule: PartitionCursor) -> int:
    """About a page for each reply of the server, which would fill 16 MB otherwise."""
    fitting = rule.page_bytes // rule.average_bytes + 1 if rule.average_bytes else FIRST_BATCH_DOCUMENTS
    return max(2, min(fitting, rule.page_documents))


def _doing(rule: PartitionCursor) -> str:
    return f"reading {rule.namespace!r}"
