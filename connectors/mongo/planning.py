"""Cuts a collection into half-open ranges of `_id` that together hold every document."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bson.timestamp import Timestamp
from msgspec import Struct

from connectors.mongo import query
from connectors.mongo.cursors import PartitionCursor
from connectors.mongo.deployment import Deployment, Encoded
from connectors.mongo.namespaces import Collection
from dsync import wire
from dsync.codec import raw
from dsync.errors import DataError

LOG = logging.getLogger(__name__)

# Twenty samples a partition keep nearly all partitions within a third of the wanted size.
SAMPLES_PER_PARTITION = 20
MOST_PARTITIONS = 10_000
# Large documents: a partition also ends at about this many bytes, so that a few thousand of them are still copied side by side.
PARTITION_BYTES = 256 << 20
# The server picks samples by a random walk only below a twentieth of the collection; above, reading the index is cheaper.
RANDOM_WALK_SHARE = 20
MATCH_SAMPLES = 1_000
PAGE_BYTES = 2 << 20
# A page is as many documents of average size as fill this part of it, so that they nearly always fit: then a reply of the server
# is a page, and nothing has to be cut.
PAGE_FILLED = 0.9


class PlanRule(Struct, frozen=True):
    """What the options say about partitions and pages."""

    partition_documents: int
    page_documents: int
    query: bytes
    # Reads have to include this time: changes from then on come through the stream.
    after: Timestamp | None = None


async def plan_collection(deployment: Deployment, collection: Collection, rule: PlanRule) -> list[wire.Partition]:
    """The partitions of a collection, at least one."""
    count, average = await _size(deployment, collection)
    wanted = _partitions_wanted(count, average, rule)
    bounds = _usable(await _bounds(deployment, collection, wanted, count)) if wanted > 1 else []
    share = await _matching_share(deployment, collection, rule.query) if rule.query and count else 1.0
    estimate = max(1, round(count * share / (len(bounds) + 1))) if count else 0
    return [
        wire.Partition(
            namespace=collection.namespace,
            cursor=_cursor(collection, rule, lower, upper, average).encode(),
            estimated_count=estimate,
            estimated_bytes=estimate * average,
        )
        for lower, upper in zip([b"", *bounds], [*bounds, b""], strict=True)
    ]


def _cursor(collection: Collection, rule: PlanRule, lower: bytes, upper: bytes, average: int) -> PartitionCursor:
    fitting = max(1, int(PAGE_BYTES * PAGE_FILLED) // average) if average else rule.page_documents
    return PartitionCursor(
        namespace=collection.namespace,
        lower=lower,
        upper=upper,
        page_documents=min(fitting, rule.page_documents),
        page_bytes=PAGE_BYTES,
        average_bytes=average,
        uuid=collection.uuid,
        after=rule.after,
        query_digest=query.digest(rule.query),
    )


async def _size(deployment: Deployment, collection: Collection) -> tuple[int, int]:
    """Documents and their average size, from the server's statistics; good enough for a plan, which is complete anyway."""
    doing = f"measuring {collection.namespace!r}"
    try:
        stats = await deployment.run(collection.database, {"collStats": collection.name}, doing)
        return int(stats.get("count", 0)), int(stats.get("avgObjSize", 0))
    except DataError as error:
        # Compatible services lack it.
        LOG.debug("%s", error)
        reply = await deployment.run(collection.database, {"count": collection.name}, doing)
        return int(reply["n"]), 0


def _partitions_wanted(count: int, average: int, rule: PlanRule) -> int:
    by_documents = -(-count // rule.partition_documents)
    by_bytes = -(-count * average // PARTITION_BYTES)
    # A partition of less than a document is none.
    return max(1, min(max(by_documents, by_bytes), MOST_PARTITIONS, count))


async def _bounds(deployment: Deployment, collection: Collection, wanted: int, count: int) -> list[bytes]:
    """The `{_id: x}` where the second and later partitions begin, ascending, all different."""
    samples = wanted * SAMPLES_PER_PARTITION
    if samples * RANDOM_WALK_SHARE < count:
        try:
            return _every(await _sample(deployment, collection, samples), wanted)
        except DataError as error:
            # The random walk gives up on some collections, as those with a tail of deleted documents.
            LOG.debug("%s; reading the index instead", error)
    return await _walk(deployment, collection, -(-count // wanted))


def _usable(bounds: Sequence[bytes]) -> list[bytes]:
    """Without MinKey and MaxKey, which the server refuses as bounds; their documents belong to the first and last partition."""
    return [bound for bound in bounds if raw.id_of(bound)[0] not in {raw.MIN_KEY, raw.MAX_KEY}]


def _every(ids: Sequence[bytes], wanted: int) -> list[bytes]:
    picked = (ids[i * len(ids) // wanted] for i in range(1, wanted)) if ids else ()
    # A random walk may pick a document twice.
    return list(dict.fromkeys(picked))


async def _sample(deployment: Deployment, collection: Collection, size: int) -> list[bytes]:
    """Random ids in the order of the index."""
    pipeline = [{"$sample": {"size": size}}, {"$project": {"_id": 1}}, {"$sort": {"_id": 1}}]
    command = {"aggregate": collection.name, "pipeline": pipeline, "cursor": {}, "allowDiskUse": True}
    doing = f"sampling {collection.namespace!r}"
    batches = deployment.documents(collection.database, command, doing)
    return [raw.id_document(document) async for batch in batches for document in batch]


async def _walk(deployment: Deployment, collection: Collection, step: int) -> list[bytes]:
    """Every `step`-th id of the index."""
    command = {"find": collection.name, "projection": {"_id": 1}, "hint": {"_id": 1}, "sort": {"_id": 1}}
    bounds, seen = [], 0
    doing = f"reading the _ids of {collection.namespace!r}"
    async for batch in deployment.documents(collection.database, command, doing):
        bounds += [raw.id_document(batch[i]) for i in range(-seen % step, len(batch), step)]
        seen += len(batch)
    return bounds[1:]


async def _matching_share(deployment: Deployment, collection: Collection, filter_: bytes) -> float:
    """The part of the collection that a filter lets through, by a sample."""
    pipeline = [{"$sample": {"size": MATCH_SAMPLES}}, {"$match": Encoded(filter_)}, {"$project": {"_id": 1}}]
    command = {"aggregate": collection.name, "pipeline": pipeline, "cursor": {}}
    batches = deployment.documents(collection.database, command, f"estimating the matches in {collection.namespace!r}")
    found = sum([len(batch) async for batch in batches])
    return found / min(MATCH_SAMPLES, max(1, (await _size(deployment, collection))[0]))
