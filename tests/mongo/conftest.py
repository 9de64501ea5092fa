"""Open connectors to a database of the test's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from connectors.mongo.connector import MongoConnector
from tests.mongo.driving import uri_of

Connect = Callable[..., Awaitable[MongoConnector]]


@pytest.fixture
async def connect(mongo_uri: str, database: str) -> AsyncIterator[Connect]:
    """`await connect(**options)`: an open connector with the test's database; `to=""` leaves the database out of the URI."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(to: str | None = None, **options: Any) -> MongoConnector:
            uri = uri_of(mongo_uri, database if to is None else to, app=database)
            return await stack.enter_async_context(MongoConnector(uri, options))

        yield opened
