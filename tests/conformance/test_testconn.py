from __future__ import annotations

from pathlib import Path

import pytest

from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance


class TestTestconn(ConnectorConformance):
    partitionings = ({"page_bytes": 1}, {"page_bytes": 1 << 20})

    @pytest.fixture
    def endpoint(self, tmp_path: Path) -> Endpoint:
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "updates.json").touch()
        return Endpoint(f"testconn://{tmp_path / 'store'}", {"page_bytes": 8000})

    def unusable(self, endpoint: Endpoint) -> list[Endpoint]:
        return [Endpoint("testconn:///dev/null"), Endpoint("testconn://")]
