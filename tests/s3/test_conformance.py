"""What every connector promises, for S3."""

from __future__ import annotations

import pytest

from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance


class TestS3(ConnectorConformance):
    @pytest.fixture
    def endpoint(self, s3_endpoint: str, bucket: str) -> Endpoint:
        return Endpoint(f"s3://{bucket}/data", {"endpoint": s3_endpoint})
