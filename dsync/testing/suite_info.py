"""What holds for every connector: it says what it is, refuses what it cannot, and tells no secret."""

# ruff: noqa: D102 - the names of tests are sentences

from __future__ import annotations

import logging
from typing import Any

import pytest

from dsync import wire
from dsync.connector import Connector
from dsync.endpoint import Endpoint
from dsync.errors import DsyncError, UnimplementedError
from dsync.testing.samples import CANARY
from dsync.testing.subject import Subject, assert_silent, first, refused, through


class InfoTests:
    """GetInfo, methods that are not there, secrets."""

    def with_secrets(self, endpoint: Any) -> list[Endpoint]:
        """Endpoints that hold the canary where a credential stands; by default in each option that the spec calls a secret."""
        if not isinstance(endpoint, Endpoint):
            return []
        names = sorted(endpoint.spec.secrets)
        return [Endpoint(endpoint.uri, {**endpoint.options, name: CANARY}) for name in names]

    async def test_info_is_the_same_in_every_connector(self, subject: Subject) -> None:
        answers = []
        for _ in range(2):
            connector = subject.connector
            answers += [await connector.GetInfo(wire.GetInfoRequest()) for _ in range(2)]
        assert all(answer == answers[0] for answer in answers)
        assert answers[0].id, "a store has an id: it is part of what a flow is known by"
        assert answers[0].db_type

    async def test_what_is_offered_comes_with_data_types(self, subject: Subject) -> None:
        capabilities = subject.capabilities
        assert capabilities.HasField("source") or capabilities.HasField("sink")
        for name in ("source", "sink"):
            if capabilities.HasField(name):
                types = list(getattr(capabilities, name).supported_data_types)
                assert types, f"the {name} has no data type"
                assert len(set(types)) == len(types)
                assert wire.DataType.DATA_TYPE_UNKNOWN not in types

    async def test_methods_that_are_not_offered_say_so(self, subject: Subject) -> None:
        capabilities = subject.capabilities
        connector = subject.connector
        if not capabilities.HasField("source"):
            with refused(UnimplementedError):
                await connector.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))
            with refused(UnimplementedError):
                await connector.ListData(wire.ListDataRequest(type=wire.BSON))
        if not capabilities.HasField("sink"):
            with refused(UnimplementedError):
                await connector.WriteData(wire.WriteDataRequest(namespace=subject.namespace, type=wire.BSON))
        await _lesser_methods(connector, capabilities, subject.namespace)

    async def test_secrets_are_in_no_answer_error_or_log(
        self, subject: Subject, endpoint: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        secretive = self.with_secrets(endpoint)
        if not secretive:
            pytest.skip("the connector takes no credentials: its spec names no secrets")
        for each in secretive:
            try:
                async with through(subject.via, each.create()) as connector:
                    answer = await connector.GetInfo(wire.GetInfoRequest())
                    assert CANARY not in str(answer)
                    await connector.GeneratePlan(wire.GeneratePlanRequest(initial_sync=True))
            except DsyncError as error:
                assert_silent(error)
        own = [record.getMessage() for record in caplog.records if record.name.startswith(("dsync", "connectors"))]
        assert CANARY not in "\n".join(own)


async def _lesser_methods(connector: Connector, capabilities: wire.Capabilities, namespace: str) -> None:
    source = capabilities.source
    if source.HasField("updates") and not source.updates:
        with refused(UnimplementedError):
            await first(connector.StreamUpdates(wire.StreamUpdatesRequest(namespaces=[namespace], type=wire.BSON)))
    if not source.lsn_stream:
        with refused(UnimplementedError):
            await first(connector.StreamLSN(wire.StreamLSNRequest(namespaces=[namespace])))
    if not source.get_by_ids:
        with refused(UnimplementedError):
            await connector.GetByIds(wire.GetByIdsRequest(namespace=namespace, type=wire.BSON))
    if capabilities.sink.HasField("updates") and not capabilities.sink.updates:
        with refused(UnimplementedError):
            await connector.WriteUpdates(wire.WriteUpdatesRequest(namespace=namespace, type=wire.BSON))
