"""A process that calls a connector and kills itself right after the last answer (`python -m dsync.testing.killed`)."""

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

METHODS: dict[str, Any] = {
    "WriteData": wire.WriteDataRequest,
    "WriteUpdates": wire.WriteUpdatesRequest,
    "FinishNamespace": wire.FinishNamespaceRequest,
}
NAMES = {request: method for method, request in METHODS.items()}
PATIENCE_SECONDS = 60.0


def run_and_die(endpoint: Endpoint, via: str, requests: Sequence[Any]) -> None:
    """Makes the calls, one after another, in another process, which is killed at the instant of the last answer.

    Raises AssertionError where a call failed instead.
    """
    calls = [(NAMES[type(request)], base64.b64encode(request.SerializeToString()).decode()) for request in requests]
    task = {"uri": endpoint.uri, "options": dict(endpoint.options), "via": via, "calls": calls}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-m", "dsync.testing.killed"],
        input=json.dumps(task).encode(),
        env=environment,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode != -signal.SIGKILL:
        raise AssertionError(f"the process ended with {done.returncode}, before its kill:\n{done.stderr.decode()}")


async def _call_and_die(task: dict[str, Any]) -> None:
    from dsync.testing.subject import through

    async with through(task["via"], Endpoint(task["uri"], task["options"]).create()) as connector:
        for method, request in task["calls"]:
            await getattr(connector, method)(METHODS[method].FromString(base64.b64decode(request)))
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(_call_and_die(json.load(sys.stdin)))
