from __future__ import annotations

from typing import Any, ClassVar

import pytest

from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance


class TestJsonArrays(ConnectorConformance):
    options: ClassVar[dict[str, Any]] = {"output_format": "json"}
    partitionings = ({"partition_size": "0"}, {"partition_size": "4MiB"})

    @pytest.fixture
    def endpoint(self, s3_endpoint: str, bucket: str) -> Endpoint:
        place = {"endpoint": s3_endpoint, "use_path_style": True, "region": "us-east-1"}
        return Endpoint(f"s3://{bucket}/some/prefix", {**place, **self.options})


class TestCompressedLines(TestJsonArrays):
    options: ClassVar[dict[str, Any]] = {"output_format": "jsonl", "compression": "gzip"}
