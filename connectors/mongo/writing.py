"""The copy's writes: insert, and replace what exists, each document as the bytes it came in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from connectors.mongo import lookup
from connectors.mongo.collection import (
    COMMAND_BYTES,
    COMMAND_DOCUMENTS,
    NINE_ZEROS,
    CollectionWriter,
    chunks,
    in_one_piece,
    is_changed_by_insert,
    newest,
)
from connectors.mongo.deployment import Deployment
from connectors.mongo.framing import check_framing
from dsync.codec import raw
from dsync.codec.whole import Documents
from dsync.errors import DsyncError

# Measured: where this share of a batch exists, replacing is the cheaper way for the next: an insert that finds its _id takes the
# server six times as long as a replacement.
REPLACE_FROM_SHARE = 0.3
# Of a collection that nothing is known of, so many are looked for first.
FIRST_DOCUMENTS = 100
REMEMBERED = 4096


class Writer:
    """Writes batches durably; a repeated batch changes nothing."""

    def __init__(self, deployment: Deployment, *, batch_documents: int, keep_existing: bool) -> None:
        self._deployment = deployment
        self._batch_documents = min(batch_documents or COMMAND_DOCUMENTS, COMMAND_DOCUMENTS)
        self._keep_existing = keep_existing
        # Partitions and collections, and whether their last batch found many of its documents there.
        self._replacing: OrderedDict[str, bool] = OrderedDict()

    async def write(self, database: str, name: str, documents: Sequence[bytes], partition: str) -> None:
        """Returns when every document is there. `partition` names what the batch is a part of: similar ones follow.

        Raises DataError for documents that cannot be written, by their `_id`; the others of the batch are there then.
        """
        collection = CollectionWriter(self._deployment, database, name)
        check_framing(documents, collection.namespace)
        if collection.namespace not in self._replacing and not self._keep_existing:
            self._replacing[collection.namespace] = False  # one look is enough
            self._replacing[collection.namespace] = await self._are_there(collection, documents[:FIRST_DOCUMENTS])
        for batch in self._commands(documents):
            if self._keep_existing:
                await self._insert_missing(collection, batch)
                continue
            if self._replacing.get(partition, self._replacing.get(collection.namespace)):
                existed = len(batch) - await collection.replace(batch, self._batch_documents)
            else:
                existed = await self._insert(collection, batch)
            for name in (partition, collection.namespace):
                self._remember(name, existed >= REPLACE_FROM_SHARE * len(batch))

    def _commands(self, documents: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
        """Runs of documents that fit into one command each; what a server sent in one piece stays one, where it fits."""
        whole = isinstance(documents, Documents) and documents.array_bytes <= COMMAND_BYTES
        if whole and 0 < len(documents) <= self._batch_documents:
            return [documents]
        return chunks(documents, self._batch_documents, len)

    async def _are_there(self, collection: CollectionWriter, documents: Sequence[bytes]) -> bool:
        """Whether many of them exist. Nothing hangs on it: where it cannot be told, the write will say what is wrong."""
        try:
            ids = [raw.id_of(document) for document in documents]
            found = await lookup.by_ids(self._deployment, (collection.database, collection.name), ids, only_id=True)
        except DsyncError:
            return False
        return 0 < REPLACE_FROM_SHARE * len(found) <= sum(map(bool, found))

    async def _insert(self, collection: CollectionWriter, documents: Sequence[bytes]) -> int:
        """Inserts, and replaces what exists; how many did."""
        joined = in_one_piece(documents)
        # One search in all of them spares most batches the search in each.
        if joined.rfind(NINE_ZEROS) >= 0 and any(map(is_changed_by_insert, documents)):
            return len(documents) - await collection.replace(documents, self._batch_documents)
        failed = await collection.insert(documents, joined)
        again = [error.index for error in failed if error.duplicate]
        # What another unique index refuses may be accepted now that the rest is written.
        in_order = all(error.on_id for error in failed)
        existing = [documents[index] for index in again] if in_order else newest(documents, again)
        await collection.replace(existing, self._batch_documents)
        collection.refuse(documents, (error for error in failed if not error.duplicate))
        return sum(error.on_id for error in failed)

    async def _insert_missing(self, collection: CollectionWriter, documents: Sequence[bytes]) -> None:
        """Writes only what is not there; what is stays as it is."""
        special = [document for document in documents if is_changed_by_insert(document)]
        plain = [document for document in documents if not is_changed_by_insert(document)] if special else documents
        failed = await collection.insert(plain) if plain else []
        ids = [raw.id_of(document) for document in special]
        there = await lookup.by_ids(self._deployment, (collection.database, collection.name), ids, only_id=True)
        missing = [document for document, found in zip(special, there, strict=True) if not found]
        await collection.replace(missing, self._batch_documents)
        collection.refuse(plain, (error for error in failed if not error.on_id))

    def _remember(self, name: str, replacing: bool) -> None:
        self._replacing[name] = replacing
        self._replacing.move_to_end(name)
        if len(self._replacing) > REMEMBERED:
            self._replacing.popitem(last=False)
