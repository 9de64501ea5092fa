from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from dsync.codec import raw
from dsync.endpoint import Endpoint
from dsync.testing.conformance import ConnectorConformance


class TestJsonLines(ConnectorConformance):
    options: ClassVar[dict[str, Any]] = {"format": "jsonl"}
    partitionings = ({"batch_size": 1}, {"partition_size": "10KiB"}, {"partition_size": "1GiB"})

    @pytest.fixture
    def endpoint(self, tmp_path: Path) -> Endpoint:
        return Endpoint(f"{tmp_path / 'store'}/", {"batch_size": 70, "partition_size": "64KiB", **self.options})

    def unusable(self, endpoint: Any) -> list[Endpoint]:
        return [Endpoint("/dev/null/store/", endpoint.options)]


class TestCompressedJsonLines(TestJsonLines):
    options: ClassVar[dict[str, Any]] = {"format": "jsonl", "compression": "gzip"}


class TestJson(TestJsonLines):
    options: ClassVar[dict[str, Any]] = {"format": "json"}


class TestBson(TestJsonLines):
    options: ClassVar[dict[str, Any]] = {"format": "bson", "compression": "zstd"}


class TestCsv(TestJsonLines):
    options: ClassVar[dict[str, Any]] = {"format": "csv", "types": "ejson"}

    def comparable(self, document: bytes) -> object:
        # The columns of a table have one order for all rows.
        return frozenset((key, kind, document[start:end]) for kind, key, start, end in raw.elements(document))


class TestParquet(TestJsonLines):
    options: ClassVar[dict[str, Any]] = {"format": "parquet"}
