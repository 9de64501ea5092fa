"""A connector whose answers come before its data is durable: the suite kills its process and looks again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from dsync import wire
from dsync.connector import Connector
from dsync.endpoint import Endpoint
from dsync.errors import NotFoundError
from dsync.testing.conformance import ConnectorConformance
from dsync.testing.subject import Subject
from dsync.testing.suite_updates import UpdatesTests

MODULE = '''
"""Keeps requests in a file: `buffered://path` flushes them when it is closed, `flushed://path` before it answers."""

import base64

from dsync import wire
from dsync.connector import ConnectorSpec
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore

BUFFERED, FLUSHED = (
    ConnectorSpec(name=name, summary="for a test", examples=(f"{name}://path",), factory="kept:Kept")
    for name in ("buffered", "flushed")
)
KINDS = {"WriteData": wire.WriteDataRequest, "WriteUpdates": wire.WriteUpdatesRequest}


class Kept(MemoryConnector):
    def __init__(self, uri, options):
        super().__init__(MemoryStore())
        self.flushes, _, self.path = uri.partition("://")

    async def open(self):
        self.file = open(self.path, "a+b", buffering=1 << 20)
        self.file.seek(0)
        for line in self.file.read().splitlines():
            name, text = line.split()
            await getattr(super(), name.decode())(KINDS[name.decode()].FromString(base64.b64decode(text)))

    async def close(self):
        self.file.close()

    def keep(self, name, request):
        self.file.write(name + b" " + base64.b64encode(request.SerializeToString()) + b"\\n")
        if self.flushes == "flushed":
            self.file.flush()

    async def WriteData(self, request):
        self.keep(b"WriteData", request)
        return await super().WriteData(request)

    async def WriteUpdates(self, request):
        self.keep(b"WriteUpdates", request)
        return await super().WriteUpdates(request)
'''

TESTS = (
    "test_an_answered_write_survives_a_kill",
    "test_an_answered_end_survives_a_kill",
    "test_an_answered_update_survives_a_kill",
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module and its entry points, here and in the processes that the suite starts."""
    (tmp_path / "kept.py").write_text(MODULE)
    about = tmp_path / "kept-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kept\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[dsync.connectors]\nbuffered = kept:BUFFERED\nflushed = kept:FLUSHED\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("scheme", ["buffered", "flushed"])
@pytest.mark.parametrize("test", TESTS)
async def test_an_answer_before_the_data_is_durable_is_noticed(
    installed: None, tmp_path: Path, scheme: str, test: str
) -> None:
    suite, endpoint = ConnectorConformance(), Endpoint(f"{scheme}://{tmp_path / 'data'}")
    given: dict[str, Any] = {"endpoint": endpoint, "readable": wire.Capabilities.Sink(keyed=True)}
    if hasattr(UpdatesTests, test):
        given = {"endpoint": endpoint, "keyed": None}

    async def run() -> None:
        reader = endpoint.create()
        subject = Subject(
            cast("Connector", Reopening(endpoint)), wire.Capabilities(), endpoint.create, "direct", str, bytes
        )
        async with reader:
            subject.capabilities.CopyFrom((await reader.GetInfo(wire.GetInfoRequest())).capabilities)
        await getattr(suite, test)(subject=subject, **given)

    if scheme == "flushed":
        await run()
        return
    with pytest.raises((AssertionError, NotFoundError)):
        await run()


class Reopening:
    """Opens the store for each call, as processes that come and go would."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def __getattr__(self, name: str) -> Any:
        async def call(request: Any) -> Any:
            async with self.endpoint.create() as connector:
                return await getattr(connector, name)(request)

        return call
