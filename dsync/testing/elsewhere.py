"""A connector in another process, which may kill itself right after the last answer (`python -m dsync.testing.elsewhere`)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from dsync import wire
from dsync.endpoint import Endpoint

# method -> request and answer
METHODS: dict[str, tuple[Any, Any]] = {
    "GetInfo": (wire.GetInfoRequest, wire.GetInfoResponse),
    "ListData": (wire.ListDataRequest, wire.ListDataResponse),
    "WriteData": (wire.WriteDataRequest, wire.WriteDataResponse),
    "WriteUpdates": (wire.WriteUpdatesRequest, wire.WriteUpdatesResponse),
    "FinishNamespace": (wire.FinishNamespaceRequest, wire.FinishNamespaceResponse),
}
NAMES = {request: method for method, (request, _) in METHODS.items()}
PATIENCE_SECONDS = 60.0


def call_elsewhere(endpoint: Endpoint, via: str, requests: Sequence[Any]) -> list[Any]:
    """The answers of a connector that another process opens for these calls. Raises AssertionError where one failed."""
    done = _run(endpoint, via, requests, kill=False)
    if done.returncode:
        raise AssertionError(f"another process failed:\n{done.stderr.decode()}")
    answers = zip(requests, done.stdout.splitlines(), strict=True)
    return [METHODS[NAMES[type(request)]][1].FromString(base64.b64decode(line)) for request, line in answers]


def run_and_die(endpoint: Endpoint, via: str, requests: Sequence[Any]) -> None:
    """Makes the calls, one after another, in another process, which is killed at the instant of the last answer.

    Raises AssertionError where a call failed instead.
    """
    done = _run(endpoint, via, requests, kill=True)
    if done.returncode != -signal.SIGKILL:
        raise AssertionError(f"the process ended with {done.returncode}, before its kill:\n{done.stderr.decode()}")


def _run(endpoint: Endpoint, via: str, requests: Sequence[Any], *, kill: bool) -> subprocess.CompletedProcess[bytes]:
    calls = [(NAMES[type(request)], base64.b64encode(request.SerializeToString()).decode()) for request in requests]
    task = {"uri": endpoint.uri, "options": dict(endpoint.options), "via": via, "calls": calls, "kill": kill}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-m", "dsync.testing.elsewhere"],
        input=json.dumps(task).encode(),
        env=environment,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


async def _call(task: dict[str, Any]) -> None:
    from dsync.testing.subject import through

    async with through(task["via"], Endpoint(task["uri"], task["options"]).create()) as connector:
        answers = [
            await getattr(connector, method)(METHODS[method][0].FromString(base64.b64decode(request)))
            for method, request in task["calls"]
        ]
        if task["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
    for answer in answers:
        sys.stdout.buffer.write(base64.b64encode(answer.SerializeToString()) + b"\n")


if __name__ == "__main__":
    asyncio.run(_call(json.load(sys.stdin)))
