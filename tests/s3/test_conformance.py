"""What every connector promises, for S3."""

from __future__ import annotations

import pytest

from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance
from dsync.testing.samples import CANARY


class TestS3(ConnectorConformance):
    @pytest.fixture
    def endpoint(self, s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
        # So that the little that the tests write makes several pages, partitions and blocks.
        monkeypatch.setattr("connectors.s3.plan.PAGE_BYTES", 20_000)
        monkeypatch.setattr("connectors.s3.plan.PARTITION_OBJECTS", 1)
        monkeypatch.setattr("connectors.s3.reading.BLOCK_BYTES", 30_000)
        return Endpoint(f"s3://{bucket}/data", {"endpoint": s3_endpoint})

    def unusable(self, endpoint: Endpoint) -> list[Endpoint]:
        keys = {"access_key_id": CANARY, "secret_access_key": CANARY}
        return [
            Endpoint("s3://no-such-bucket-of-ours/data", {**endpoint.options, **keys}),
            Endpoint("s3://", {**endpoint.options, **keys}),
            Endpoint("s3://bucket/data", {"endpoint": f"http://someone:{CANARY}@127.0.0.1:1", **keys}),
        ]
