"""The conformance suite: what every connector promises, as tests that a few lines apply to yours.

    class TestMine(ConnectorConformance):
        @pytest.fixture
        def endpoint(self, tmp_path):
            return Endpoint(f"mine://{tmp_path}/store", {"page_size": 1000})

The endpoint is an empty store of the test's own. What the connector says that it can opens tests; what it cannot skips them with
a reason. Each test runs on the connector itself and through a gRPC server and client. The project needs pytest-asyncio.

A test that cannot apply to a store is named in `skips`, with the reason; it cannot be overridden, and neither way be left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from dsync import wire
from dsync.connector import Connector
from dsync.testing.subject import VIAS, Subject, through
from dsync.testing.suite_info import InfoTests
from dsync.testing.suite_sink import SinkTests
from dsync.testing.suite_source import SourceTests
from dsync.testing.suite_staging import StagingTests
from dsync.testing.suite_updates import UpdatesTests


@pytest.mark.asyncio
class ConnectorConformance(InfoTests, SourceTests, SinkTests, StagingTests, UpdatesTests):
    """Subclass it, with a fixture `endpoint`; the methods below are there to be overridden where a store differs."""

    # Name of a test -> why it does not apply. There is no other way to leave one out.
    skips: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Raises TypeError for tests that would be left out without a reason."""
        super().__init_subclass__(**arguments)
        for name, reason in cls.skips.items():
            if not name.startswith("test_") or not hasattr(ConnectorConformance, name):
                raise TypeError(f"{cls.__name__}.skips names {name!r}, which is no test of the suite")
            if not isinstance(reason, str) or not reason.strip():
                raise TypeError(f"{cls.__name__}.skips gives no reason for {name!r}")
        for name in vars(cls):
            if name.startswith("test_") and hasattr(ConnectorConformance, name):
                raise TypeError(f"{cls.__name__} overrides {name!r}; name it in `skips`, with the reason")

    @pytest.fixture
    def endpoint(self) -> Any:
        """An empty store: a `dsync.endpoint.Endpoint`, or whatever `connector` makes a connector of."""
        raise NotImplementedError("override the fixture `endpoint`")

    def connector(self, endpoint: Any) -> Connector:
        """A new connector to the store, not yet open."""
        connector: Connector = endpoint.create()
        return connector

    def name(self, endpoint: Any, namespace: str) -> str:
        """A namespace as the store can have it, such as with a database in front; one to one."""
        return namespace

    def comparable(self, document: bytes) -> object:
        """What of a BSON document has to come back; hashable. Stores that keep less than all bytes say here what."""
        return document

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every test of the suite comes once for each way."""
        if "subject" in metafunc.fixturenames:
            metafunc.parametrize("subject", VIAS, indirect=True)

    @pytest_asyncio.fixture
    async def subject(self, request: pytest.FixtureRequest, endpoint: Any) -> AsyncIterator[Subject]:
        """The store under test."""
        test = getattr(request.node, "originalname", request.node.name)
        if test in self.skips:
            pytest.skip(self.skips[test])
        async with through(request.param, self.connector(endpoint)) as connector:
            yield Subject(
                connector=connector,
                capabilities=(await connector.GetInfo(wire.GetInfoRequest())).capabilities,
                make=lambda: self.connector(endpoint),
                via=request.param,
                name=lambda namespace: self.name(endpoint, namespace),
                comparable=self.comparable,
            )
