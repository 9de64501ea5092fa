from __future__ import annotations

from typing import Any, ClassVar

import pytest

from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance


class TestRandom(ConnectorConformance):
    uri = "/dev/random"
    options: ClassVar[dict[str, Any]] = {"num_docs_per_partition": 70, "batch_size": 30, "stream_tick": 1}
    partitionings = ({"batch_size": 1}, {"batch_size": 1000}, {"update_batch_size": 1})

    @pytest.fixture
    def endpoint(self) -> Endpoint:
        return Endpoint(self.uri, {**self.options, "num_partitions_per_namespace": 3})


class TestFakesource(TestRandom):
    uri = "/dev/fakesource"
    options: ClassVar[dict[str, Any]] = {
        **TestRandom.options,
        "num_namespaces": 2,
        "num_update_partitions_per_namespace": 2,
        "payload_json": '{"kind": {"$numberLong": "7"}}',
    }
