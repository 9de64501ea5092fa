"""What every connector promises, for mystore: directly and through gRPC."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsync import Endpoint
from dsync.testing.conformance import ConnectorConformance


class TestMystore(ConnectorConformance):
    partitionings = ({"page_documents": 1}, {"page_documents": 100_000})

    @pytest.fixture
    def endpoint(self, tmp_path: Path) -> Endpoint:
        return Endpoint(f"mystore://{tmp_path / 'store.db'}", {"page_documents": 90})

    def unusable(self, endpoint: Endpoint) -> list[Endpoint]:
        return [Endpoint("mystore:///dev/null/store.db"), Endpoint("mystore://"), Endpoint(f"mystore://{__file__}")]
