"""The copy's writes: insert, and replace what exists, each document as the bytes it came in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from connectors.mongo import lookup
from connectors.mongo.collection import (
    COMMAND_DOCUMENTS,
    NINE_ZEROS,
    CollectionWriter,
    check_framing,
    chunks,
    needs_literal,
)
from connectors.mongo.deployment import Deployment
from dsync.codec import raw

# Measured: where this share of a batch exists, replacing is the cheaper way for the next.
REPLACE_FROM_SHARE = 0.3
REMEMBERED_PARTITIONS = 4096


class Writer:
    """Writes batches durably; a repeated batch changes nothing."""

    def __init__(self, deployment: Deployment, *, batch_documents: int, keep_existing: bool) -> None:
        self._deployment = deployment
        self._batch_documents = min(batch_documents or COMMAND_DOCUMENTS, COMMAND_DOCUMENTS)
        self._keep_existing = keep_existing
        # Partitions whose last batch found many of its documents there.
        self._replacing: OrderedDict[str, None] = OrderedDict()

    async def write(self, database: str, name: str, documents: Sequence[bytes], partition: str) -> None:
        """Returns when every document is there. `partition` names what the batch is a part of: similar ones follow.

        Raises DataError for documents that cannot be written, by their `_id`; the others of the batch are there then.
        """
        collection = CollectionWriter(self._deployment, database, name)
        check_framing(documents, collection.namespace)
        for batch in chunks(documents, self._batch_documents, 0):
            if self._keep_existing:
                await self._insert_missing(collection, batch)
            elif partition in self._replacing:
                new = await collection.replace(batch, self._batch_documents)
                self._remember(partition, 1 - new / len(batch))
            else:
                existed = await self._insert(collection, batch)
                self._remember(partition, existed / len(batch))

    async def _insert(self, collection: CollectionWriter, documents: Sequence[bytes]) -> int:
        """Inserts, and replaces what exists; how many did."""
        plain, special = _split(documents)
        failed = await collection.insert(plain) if plain else []
        # What another unique index refuses may be accepted once the rest is written.
        again = [error for error in failed if error.on_id] + [e for e in failed if e.duplicate and not e.on_id]
        await collection.replace([*special, *(plain[error.index] for error in again)], self._batch_documents)
        collection.refuse(plain, (error for error in failed if not error.duplicate))
        return sum(error.on_id for error in failed)

    async def _insert_missing(self, collection: CollectionWriter, documents: Sequence[bytes]) -> None:
        """Inserts only; what exists stays as it is."""
        plain, special = _split(documents)
        failed = await collection.insert(plain) if plain else []
        ids = [raw.id_of(document) for document in special]
        there = await lookup.by_ids(self._deployment, (collection.database, collection.name), ids, only_id=True)
        missing = [document for document, found in zip(special, there, strict=True) if not found]
        conflicting = [plain[error.index] for error in failed if error.duplicate and not error.on_id]
        await collection.replace([*missing, *conflicting], self._batch_documents)
        collection.refuse(plain, (error for error in failed if not error.duplicate))

    def _remember(self, partition: str, share: float) -> None:
        if share < REPLACE_FROM_SHARE:
            self._replacing.pop(partition, None)
            return
        self._replacing[partition] = None
        self._replacing.move_to_end(partition)
        if len(self._replacing) > REMEMBERED_PARTITIONS:
            self._replacing.popitem(last=False)


def _split(documents: Sequence[bytes]) -> tuple[Sequence[bytes], list[bytes]]:
    """What can be inserted as it is, and what an insert would change."""
    if NINE_ZEROS not in b"".join(documents):
        return documents, []
    special = [needs_literal(document) for document in documents]
    if not any(special):
        return documents, []
    plain = [document for document, is_special in zip(documents, special, strict=True) if not is_special]
    return plain, [document for document, is_special in zip(documents, special, strict=True) if is_special]
