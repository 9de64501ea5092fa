from __future__ import annotations

import pytest

from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance


class TestNull(ConnectorConformance):
    @pytest.fixture(params=[{}, {"log_json": True, "sleep": 1, "sleep_jitter": 1}], ids=["plain", "loud"])
    def endpoint(self, request: pytest.FixtureRequest) -> Endpoint:
        return Endpoint("/dev/null", request.param)
