"""An S3 for tests: S3_TEST's endpoint, else a moto server in a process of its own, over real HTTP."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.kit import process

START_ATTEMPTS = 3
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
# What a developer's machine may have set that would send tests to their account.
STRANGERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION")


@contextlib.contextmanager
def endpoint() -> Iterator[str]:
    """The URL of an S3 endpoint that takes any credentials. Raises MissingServerError where there is none to be had."""
    given = os.environ.get("S3_TEST")
    if given:
        yield given.rstrip("/")
        return
    if importlib.util.find_spec("moto") is None:
        raise process.MissingServerError("no S3: set S3_TEST to an endpoint's URL, or pip install 'moto[server]'")
    with tempfile.TemporaryDirectory(prefix="moto-") as folder, contextlib.ExitStack() as ending:
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                yield _start(Path(folder, "log"), ending)
                return
            except _NotStartedError:
                if attempt == START_ATTEMPTS:
                    raise


@contextlib.contextmanager
def credentials() -> Iterator[None]:
    """Test credentials in this process's environment and those of its children, for as long as it lasts."""
    before = {name: os.environ.get(name) for name in (*CREDENTIALS, *STRANGERS)}
    if not os.environ.get("S3_TEST"):
        for name in STRANGERS:
            os.environ.pop(name, None)
        os.environ.update(CREDENTIALS)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class _NotStartedError(RuntimeError):
    pass


def _start(log: Path, ending: contextlib.ExitStack) -> str:
    port = process.free_port()
    server = process.start([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], log)
    try:
        process.wait_ready(server, log, lambda: process.listens(port))
    except RuntimeError as error:
        raise _NotStartedError(str(error)) from error
    ending.callback(process.stop, server)
    return f"http://127.0.0.1:{port}"
