"""The store itself: a SQLite file with documents by namespace and key. Blocking: the connector calls it in threads."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from dsync.errors import EndpointError, TransientError

SCHEMA = """
CREATE TABLE IF NOT EXISTS namespaces (name TEXT PRIMARY KEY, identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    namespace TEXT NOT NULL, id BLOB NOT NULL, document BLOB NOT NULL, PRIMARY KEY (namespace, id)
);
"""
# An answer means durable: after each commit the log of the file is synced.
DURABLE = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
PUT = "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)"
DELETE = "DELETE FROM documents WHERE namespace = ? AND id = ?"
# A key and its document; without a document it is deleted.
Change = tuple[bytes, bytes | None]


class Store:
    """An open file. A source that is not there is empty; it comes to be with the first write."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self.path = path
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Raises EndpointError where it can be no such file."""
        if not self.path.parent.is_dir():
            raise EndpointError(f"{str(self.path.parent)!r} is no folder", remedy="make it, or give another path")
        if self.path.exists():
            with self._used(write=True):
                return

    def close(self) -> None:
        """Also after a failed `open`."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def read(self, query: str, *values: object) -> list[Any]:
        """All rows of a query."""
        with self._used() as database:
            return [] if database is None else database.execute(query, values).fetchall()

    def page(self, query: str, values: Sequence[object], most_bytes: int) -> tuple[list[Any], bool]:
        """Rows until their last column has so many bytes, and whether all were read."""
        rows, size = [], 0
        with self._used() as database:
            for row in [] if database is None else database.execute(query, values):
                rows.append(row)
                size += len(row[-1])
                if size >= most_bytes:
                    return rows, False
        return rows, True

    def write(self, namespace: str, changes: Iterable[Change]) -> None:
        """Makes the changes in their order: all of them, durably, or none."""
        with self._used(write=True) as database:
            assert database is not None
            with database:
                database.execute("INSERT OR IGNORE INTO namespaces VALUES (?, ?)", (namespace, uuid.uuid4().hex))
                for gone, some in groupby(changes, lambda change: change[1] is None):
                    if gone:
                        database.executemany(DELETE, ((namespace, key) for key, _ in some))
                    else:
                        database.executemany(PUT, ((namespace, key, document) for key, document in some))

    @contextmanager
    def _used(self, *, write: bool = False) -> Iterator[sqlite3.Connection | None]:
        """The file, one call at a time; None where there is none to read. The driver's errors are dsync's from here on."""
        try:
            with self._lock:
                if self._database is None and (write or self.path.exists()):
                    self._database = self._connected()
                yield self._database
        except sqlite3.OperationalError as error:
            busy = "locked" in str(error) or "busy" in str(error)
            kind = TransientError if busy else EndpointError
            raise kind(
                f"{str(self.path)!r} cannot be used: {error}", remedy="see whether another program holds it"
            ) from error
        except sqlite3.DatabaseError as error:
            raise EndpointError(f"{str(self.path)!r}: {error}", remedy="give the path of a SQLite file") from error

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=self._busy_timeout, check_same_thread=False)
        try:
            database.executescript(DURABLE + SCHEMA)
        except BaseException:
            database.close()
            raise
        return database
