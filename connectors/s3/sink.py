"""Writes batches as objects, one each, under names that follow from the batch, and publishes namespaces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from connectors.s3 import marker, names
from connectors.s3.bucket import Bucket, Entry
from dsync import codec, wire
from dsync.codec import compression, jsontext
from dsync.errors import DataError, NotFoundError, UsageError

# Under these names objects carry, as metadata, how many documents they hold and of which flow they are.
DOCUMENTS, FLOW = "documents", "flow"

# The most that S3 takes in one request.
LARGEST_OBJECT_BYTES = 5 << 30

CONTENT_TYPES = {"json": "application/json", "jsonl": "application/x-ndjson"}
COMPRESSED_TYPES = {"gzip": "application/gzip", "zstd": "application/zstd"}


class Sink:
    """The writing side of the connector."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._settings = bucket.settings
        self._suffix = names.extension(self._settings)
        # Of objects written here: key -> ETag and documents, so that they need not be asked for.
        self._written: dict[str, tuple[str, int]] = {}

    async def write(self, request: wire.WriteDataRequest) -> None:
        """Puts the batch's object; a batch that nobody named goes under the digest of its content."""
        folder = names.folder(self._settings, request.namespace)
        metadata = {DOCUMENTS: str(len(request.data))}
        batch = names.parse_write_id(request.write_id) if request.write_id else None
        if batch and batch.namespace != request.namespace:
            raise UsageError(f"the write_id {request.write_id!r} is not of the namespace {request.namespace!r}")
        body = await self._bucket.run(self._body, request)
        if batch:
            name = names.part(batch.flow, batch.partition, batch.ordinal, self._suffix)
            metadata[FLOW] = quote(batch.flow, safe="")
        else:
            name = names.unnamed(body, self._suffix)
        etag = await self._put(folder + name, body, metadata)
        self._written[folder + name] = etag, len(request.data)

    async def finish(self, request: wire.FinishNamespaceRequest) -> None:
        """Checks that the batches are there, removes what this flow, or the one it replaces, left besides, and says so.

        Objects of others stay. A crash in between leaves the batches and what else was there; the next call goes on.
        """
        folder = names.folder(self._settings, request.namespace)
        there = {entry.name: entry for entry in await self._bucket.folder(folder)}
        objects: list[Entry] = []
        for name in self._names(request):
            if name not in there:
                raise NotFoundError(f"the batch {self._settings.shown(folder + name)!r} is not there")
            objects.append(there.pop(name))
        before = marker.read(await self._bucket.fetch(folder + names.METADATA)) if names.METADATA in there else None
        flows = {names.field(request.flow)} | ({names.field(before.flow)} if before else set())
        left = [e.key for e in there.values() if (batch := names.batch_of(e.name)) and batch[0] in flows]
        await self._bucket.delete(left)
        published = marker.Marker(
            version=marker.VERSION,
            namespace=request.namespace,
            flow=request.flow,
            identity="",
            documents=sum(await self._documents(objects)),
            objects=len(objects),
            stored_bytes=sum(entry.size for entry in objects),
            parts=[marker.Part(part.partition, part.count) for part in request.parts],
        )
        content = marker.follow(before, published).written()
        await self._bucket.put(folder + names.METADATA, content, CONTENT_TYPES["json"], {})

    def _names(self, request: wire.FinishNamespaceRequest) -> Iterable[str]:
        for part in request.parts:
            for ordinal in range(part.count):
                yield names.part(request.flow, part.partition, ordinal, self._suffix)

    async def _documents(self, objects: Sequence[Entry]) -> list[int]:
        return await asyncio.gather(*map(self._count, objects))

    async def _count(self, entry: Entry) -> int:
        etag, documents = self._written.get(entry.key, ("", 0))
        if etag == entry.etag:
            return documents
        metadata = await self._bucket.head(entry.key)
        count = metadata.get(DOCUMENTS, "") if metadata else ""
        if not (count.isascii() and count.isdecimal()):
            raise NotFoundError(f"the batch {self._settings.shown(entry.key)!r} is not there, or not as it was written")
        return int(count)

    def _body(self, request: wire.WriteDataRequest) -> bytes:
        try:
            texts = codec.convert(request.data, request.type, wire.EXTENDED_JSON)
            if request.type != wire.BSON:  # text was taken as it stands
                jsontext.check(texts)
        except codec.RecordError as error:
            raise DataError(
                f"document {error.index + 1} of a batch for {request.namespace!r}: {error.reason}"
            ) from error
        text = jsontext.to_lines(texts) if self._settings.format == "jsonl" else jsontext.to_array(texts)
        return compression.compress(self._settings.compression, text)

    async def _put(self, key: str, body: bytes, metadata: Mapping[str, str]) -> str:
        if len(body) > LARGEST_OBJECT_BYTES:
            raise DataError(
                f"the batch for {self._settings.shown(key)!r} is larger than the 5 GiB that S3 takes at once"
            )
        packed, plain = self._settings.compression, CONTENT_TYPES[self._settings.format]
        return await self._bucket.put(key, body, COMPRESSED_TYPES.get(packed, plain), metadata)
