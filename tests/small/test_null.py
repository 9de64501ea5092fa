from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import bson
import pytest

from connectors.null.sink import NullSink
from dsync import wire
from dsync.errors import EndpointError, UnimplementedError, UsageError
from tests.kit.cli import TOP


def loud() -> NullSink:
    return NullSink("/dev/null", {"log_json": True})


def lines(capture: pytest.CaptureFixture[bytes]) -> list[Any]:
    out = capture.readouterr().out
    assert out.endswith(b"\n") or not out
    return [json.loads(line) for line in out.splitlines()]


async def test_it_is_quiet_unless_asked(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    await NullSink("/dev/null", {}).WriteData(wire.WriteDataRequest(namespace="a.b", type=wire.BSON, data=[b"x"]))
    assert lines(capfdbinary) == []


async def test_every_type_is_shown_as_extended_json(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    sink = loud()
    batches = {
        wire.BSON: bson.encode({"_id": 1, "id": bson.Int64(2)}),
        wire.EXTENDED_JSON: b'{"_id": 1,\r\n "id":\n {"$numberLong": "2"}}',
        wire.JSON_ID: b'{"id": 1, "_id": {"$numberLong": "2"}}',
    }
    for data_type, document in batches.items():
        await sink.WriteData(wire.WriteDataRequest(namespace='a."b"', type=data_type, data=[document]))
    expected = {
        "namespace": 'a."b"',
        "operation": "copy",
        "document": {"_id": 1, "id": {"$numberLong": "2"}},
    }
    assert lines(capsysbinary) == [expected] * 3


async def test_updates_are_shown_with_their_ids(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    one = wire.BsonValue(data=b"\1\0\0\0", type=16)
    named = wire.BsonValue(data=b"\2\0\0\0", type=16, name="shard")
    updates = [
        wire.Update(id=[one], type=wire.INSERT, data=bson.encode({"_id": 1})),
        wire.Update(id=[named, one], type=wire.DELETE),
        wire.Update(id=[one], type=wire.PARTIAL_UPDATE, data=bson.encode({"a": 1}), partial_update_unset=["b"]),
        wire.Update(id=[], type=wire.DELETE),
    ]
    await loud().WriteUpdates(wire.WriteUpdatesRequest(namespace="n", type=wire.BSON, updates=updates))
    assert lines(capsysbinary) == [
        {"namespace": "n", "operation": "insert", "id": 1, "document": {"_id": 1}},
        {"namespace": "n", "operation": "delete", "id": {"shard": 2, "_id": 1}},
        {"namespace": "n", "operation": "partial", "id": 1, "document": {"a": 1}, "unset": ["b"]},
        {"namespace": "n", "operation": "delete", "id": {}},
    ]


async def test_a_partial_update_in_json_needs_no_id(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    for data_type in (wire.EXTENDED_JSON, wire.JSON_ID):
        update = wire.Update(id=[], type=wire.PARTIAL_UPDATE, data=b'{"a":1}')
        await loud().WriteUpdates(wire.WriteUpdatesRequest(namespace="n", type=data_type, updates=[update]))
    assert [line["document"] for line in lines(capsysbinary)] == [{"a": 1}] * 2


async def test_unknown_types_are_refused() -> None:
    with pytest.raises(UnimplementedError):
        await loud().WriteData(wire.WriteDataRequest(namespace="n"))
    with pytest.raises(UnimplementedError):
        await loud().WriteUpdates(wire.WriteUpdatesRequest(namespace="n"))


async def test_its_id_is_the_one_that_was_given() -> None:
    info = await NullSink("/dev/null", {"id": "second"}).GetInfo(wire.GetInfoRequest())
    assert info.id == "second"


@pytest.mark.parametrize("value", [-1, "soon", float("nan"), None])
def test_a_wait_that_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="--sleep-jitter"):
        NullSink("/dev/null", {"sleep_jitter": value})


def test_a_reader_that_left_is_an_error_of_the_endpoint() -> None:
    program = """
import asyncio, sys
from connectors.null.sink import NullSink
from dsync import wire
request = wire.WriteDataRequest(namespace="n", type=wire.EXTENDED_JSON, data=[b"{}"])
try:
    asyncio.run(NullSink("/dev/null", {"log_json": True}).WriteData(request))
except Exception as error:
    sys.stderr.write(f"{type(error).__name__}: {error}")
"""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=out, stderr=subprocess.PIPE, cwd=TOP, check=False, timeout=60
        )
    assert done.stderr.decode().startswith(f"{EndpointError.__name__}: standard output cannot be written")
