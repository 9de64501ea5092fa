from __future__ import annotations

from dataclasses import replace

import pytest

from dsync.connector import Connector
from dsync.testing.conformance import ConnectorConformance
from dsync.testing.memory import ALL_TYPES, MemoryConnector, Shape
from dsync.testing.store import MemoryStore


class TestKeyed(ConnectorConformance):
    shape = Shape(types=ALL_TYPES)

    @pytest.fixture
    def endpoint(self) -> MemoryStore:
        return MemoryStore()

    def connector(self, endpoint: MemoryStore) -> Connector:
        return MemoryConnector(endpoint, self.shape)


class TestStaged(TestKeyed):
    shape = replace(TestKeyed.shape, keyed=False, updates=False)
