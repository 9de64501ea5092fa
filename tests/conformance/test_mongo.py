from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance
from dsync.testing.samples import CANARY


class TestMongo(ConnectorConformance):
    partitionings = ({"doc_partition": 7}, {"doc_partition": 100_000, "max_page_size": 1})

    @pytest.fixture
    def endpoint(self, mongo_uri: str, database: str) -> Endpoint:
        uri = urlsplit(mongo_uri)._replace(path=f"/{database}").geturl()
        return Endpoint(uri, {"doc_partition": 200, "max_page_size": 90, "stream_wait": 0.2})

    def name(self, endpoint: Any, namespace: str) -> str:
        return f"{urlsplit(endpoint.uri).path[1:]}.{namespace}"

    def with_secrets(self, endpoint: Any) -> list[Endpoint]:
        return [replace(endpoint, uri=endpoint.uri.replace("://", f"://someone:{CANARY}@"))]

    def unusable(self, endpoint: Any) -> list[Endpoint]:
        nobody = f"mongodb://someone:{CANARY}@127.0.0.1:1/shop"
        return [Endpoint(nobody, {"server_timeout": 1, "ping_timeout": 1}), Endpoint(f"mongodb://someone:{CANARY}@/%")]
