"""What holds for sinks without keys: batches wait under their write_ids, and the end of the copy publishes just those it names."""

# ruff: noqa: D102 - the names of tests are sentences

from __future__ import annotations

import pytest

from dsync import wire
from dsync.errors import NotFoundError
from dsync.testing import samples
from dsync.testing.subject import Subject, finish, finish_parts, refused

Part = wire.FinishNamespaceRequest.Part


class StagingTests:
    """WriteData with write_ids, FinishNamespace."""

    @pytest.fixture
    def staged(self, subject: Subject) -> None:
        """A sink without keys that can be read back."""
        if not subject.capabilities.HasField("sink"):
            pytest.skip("not a sink")
        if subject.capabilities.sink.keyed:
            pytest.skip("a keyed sink has nothing to publish")
        if not subject.capabilities.HasField("source"):
            pytest.skip("not a source: what was written cannot be read back")

    async def test_a_later_copy_of_the_flow_replaces_the_earlier(self, subject: Subject, staged: None) -> None:
        await subject.write(subject.namespace, samples.documents(90), batches=3)
        fewer = samples.documents(20, first=1000)
        await subject.write(subject.namespace, fewer, batches=2)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(fewer)

    async def test_batches_are_published_in_their_order(self, subject: Subject, staged: None) -> None:
        names = [("p2", 0), ("p2", 1), ("p10", 0), ("p10", 1), ("p1", 0)]
        documents = [samples.documents(10, first=10 * place) for place in range(len(names))]
        connector = subject.connector
        for (partition, ordinal), batch in reversed(list(zip(names, documents, strict=True))):
            request = subject.batch(subject.namespace, batch, ordinal, partition)
            await connector.WriteData(request)
        parts = [Part(partition="p2", count=2), Part(partition="p10", count=2), Part(partition="p1", count=1)]
        await finish_parts(connector, subject.namespace, parts)
        expected = [document for batch in documents for document in batch]
        assert subject.list(await subject.read(subject.namespace)) == subject.list(expected)

    async def test_a_missing_batch_is_not_found(self, subject: Subject, staged: None) -> None:
        documents = samples.documents(20)
        connector = subject.connector
        await connector.WriteData(subject.batch(subject.namespace, documents, 0))
        with refused(NotFoundError):
            await finish(connector, subject.namespace, 2)
        with refused(NotFoundError):
            await finish(connector, subject.namespace, 1, partition="another")
        await finish(connector, subject.namespace, 1)
        await connector.WriteData(subject.batch(subject.namespace, documents, 1))
        with refused(NotFoundError):
            await finish(connector, subject.namespace, 3)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents)

    async def test_batches_beyond_the_end_are_removed(self, subject: Subject, staged: None) -> None:
        documents = samples.documents(30)
        connector = subject.connector
        for ordinal in range(3):
            batch = documents[ordinal * 10 : ordinal * 10 + 10]
            await connector.WriteData(subject.batch(subject.namespace, batch, ordinal))
        await finish(connector, subject.namespace, 2)
        assert subject.bag(await subject.read(subject.namespace)) == subject.bag(documents[:20])

    async def test_an_empty_namespace_is_there(self, subject: Subject, staged: None) -> None:
        connector = subject.connector
        await finish(connector, subject.namespace, 0)
        known = await connector.GetNamespaceMetadata(wire.GetNamespaceMetadataRequest(namespace=subject.namespace))
        assert (known.exists, known.count) == (True, 0)
        assert await subject.read(subject.namespace) == []
