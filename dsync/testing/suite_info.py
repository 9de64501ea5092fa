"""What holds for every connector: it says what it is, refuses what it cannot, and tells no secret."""

# ruff: noqa: D102 - the names of tests are sentences

from __future__ import annotations

from typing import Any

import pytest

from dsync import wire
from dsync.connector import Connector
from dsync.endpoint import Endpoint
from dsync.errors import DsyncError, EndpointError, NotFoundError, TransientError, UnimplementedError, UsageError
from dsync.testing.samples import CANARY
from dsync.testing.subject import (
    Subject,
    assert_logs_silent,
    assert_silent,
    elsewhere,
    first,
    hear_logs,
    refused,
    through,
)


class InfoTests:
    """GetInfo, methods that are not there, secrets."""

    def with_secrets(self, endpoint: Any) -> list[Endpoint]:
        """Endpoints that hold the canary where a credential stands; by default in each option that the spec calls a secret."""
        if not isinstance(endpoint, Endpoint):
            return []
        names = sorted(endpoint.spec.secrets)
        return [Endpoint(endpoint.uri, {**endpoint.options, name: CANARY}) for name in names]

    def unusable(self, endpoint: Any) -> list[Endpoint]:
        """Endpoints that cannot work: an address where nobody listens, a path that is none; with the canary for a credential."""
        return []

    async def test_info_is_the_same_in_every_connector(self, subject: Subject) -> None:
        answers = [await subject.connector.GetInfo(wire.GetInfoRequest()) for _ in range(2)]
        async with subject.fresh() as fresh:
            answers.append(await fresh.GetInfo(wire.GetInfoRequest()))
        for answer in answers:
            answer.ClearField("now")  # the one thing that may change
        assert all(answer == answers[0] for answer in answers)
        assert answers[0].id, "a store has an id: it is part of what a flow is known by"
        assert answers[0].db_type

    async def test_info_is_the_same_in_another_process(self, subject: Subject, endpoint: Any) -> None:
        here = await subject.connector.GetInfo(wire.GetInfoRequest())
        [there] = await elsewhere(endpoint, subject, [wire.GetInfoRequest()])
        assert (there.id, there.db_type, there.capabilities) == (here.id, here.db_type, here.capabilities)

    async def test_a_store_that_cannot_be_used_says_so(self, subject: Subject, endpoint: Any) -> None:
        unusable = self.unusable(endpoint)
        if not unusable:
            pytest.skip("the connector reaches for nothing that could be missing: `unusable` names no endpoints")
        for each in unusable:
            with refused(UsageError, EndpointError, TransientError, NotFoundError):
                async with through("direct", each.create()) as connector:
                    await _use(connector, subject.namespace)

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
        hear_logs(caplog, endpoint)
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
        assert_logs_silent(caplog, endpoint)


async def _use(connector: Connector, namespace: str) -> None:
    """What no store can answer that is not there."""
    capabilities = (await connector.GetInfo(wire.GetInfoRequest())).capabilities
    if capabilities.HasField("source"):
        await connector.GeneratePlan(wire.GeneratePlanRequest(namespaces=[namespace], initial_sync=True))
    else:
        data_type = capabilities.sink.supported_data_types[0]
        await connector.WriteData(wire.WriteDataRequest(namespace=namespace, type=data_type))


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
