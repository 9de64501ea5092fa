"""What the driver and the server say, as errors of dsync: the one place where they are mapped.

A server's reply may quote documents, and the driver's text quotes the whole reply. So messages are made of the code, its name and a
cleaned text, and the driver's error is not chained: a printed traceback would show it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from dsync.errors import CursorError, DataError, DsyncError, EndpointError, GapError, NotFoundError, TransientError

UNAUTHORIZED = frozenset({11, 13, 18, 31, 33, 8000})
# The server's own class of retryable errors, what a fail-over or a lack of time brings, and throttling of compatible services.
RETRYABLE = frozenset(
    {
        6,
        7,
        24,
        43,
        46,
        50,
        63,
        64,
        83,
        89,
        91,
        112,
        133,
        134,
        150,
        175,
        189,
        202,
        234,
        237,
        251,
        262,
        282,
        317,
        318,
        365,
        384,
    }
    | {9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 16500}
)
HISTORY_LOST = frozenset({136, 280, 286})
RETRYABLE_LABELS = ("RetryableWriteError", "TransientTransactionError", "ResumableChangeStreamError")
# The endpoint, not the data: no room, no such write concern, a parameter or a version that lacks something.
ENDPOINT = frozenset({59, 72, 79, 100, 115, 148, 223, 303, 323, 14031, 40324})
# A resume token that is none, or of another stream.
FOREIGN_TOKEN = frozenset({260, 40647, 40649, 50795, 50811})
NAMESPACE_NOT_FOUND = 26
EVENT_TOO_LARGE = 10334
DUPLICATE_KEY = 11000

LOST_CURSOR = frozenset({43, 175, 237})
MESSAGE_CHARACTERS = 200


class EventTooLargeError(DataError):
    """A change event is larger than the server can send."""


@contextlib.contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Turns what the driver raises inside into errors of dsync; `doing` says what was tried, as in "reading 'shop.orders'"."""
    try:
        yield
    except PyMongoError as error:
        raise from_driver(error, doing) from None
    except DocumentTooLarge:
        raise DataError(f"{doing}: a document with its _id does not fit into one command") from None
    except BSONError as error:
        raise DataError(f"{doing}: the server's answer is not valid BSON ({type(error).__name__})") from None
    except TimeoutError:
        raise TransientError(f"{doing}: no answer in time") from None
    except OSError as error:
        raise TransientError(f"{doing}: {error.strerror or type(error).__name__}") from None


def from_driver(error: PyMongoError, doing: str) -> DsyncError:
    """The error of dsync for one of the driver's."""
    if isinstance(error, OperationFailure):
        details = error.details or {}
        retryable = any(error.has_error_label(label) for label in RETRYABLE_LABELS)
        return from_code(error.code or 0, details, doing, retryable=retryable)
    if isinstance(error, ServerSelectionTimeoutError):
        return TransientError(f"{doing}: no server can be used: {clean(str(error).partition(', Timeout')[0])}")
    if isinstance(error, AutoReconnect | ConnectionFailure):
        return TransientError(f"{doing}: the connection was lost ({type(error).__name__})")
    if isinstance(error, ConfigurationError):
        return EndpointError(f"{doing}: the driver refuses the configuration: {clean(str(error))}")
    return DsyncError(f"{doing}: the driver failed with {type(error).__name__}")


def from_code(code: int, details: Mapping[str, Any], doing: str, *, retryable: bool = False) -> DsyncError:
    """The error of dsync for a code in a server's reply or in one of its write errors."""
    message = f"{doing}: {describe(code, details)}"
    if code in HISTORY_LOST:
        remedy = (
            "the changes since then are lost to the stream; copy again with --restart, and give the oplog more room"
        )
        return GapError(message, remedy=remedy)
    if code in UNAUTHORIZED:
        return EndpointError(message, remedy="check the user, its password, authSource and its roles")
    if retryable or code in RETRYABLE:
        return TransientError(message)
    if code in FOREIGN_TOKEN:
        return CursorError(message, remedy="plan again with --restart")
    if code == EVENT_TOO_LARGE:
        return EventTooLargeError(message)
    if code == NAMESPACE_NOT_FOUND:
        return NotFoundError(message)
    return EndpointError(message) if code in ENDPOINT else DataError(message)


def describe(code: int, details: Mapping[str, Any]) -> str:
    """Code, name and cleaned text of a server's error."""
    name = details.get("codeName")
    text = clean(str(details.get("errmsg", "")))
    label = f"{name} ({code})" if name else f"error {code}"
    return f"{label}: {text}" if text else label


def clean(text: str) -> str:
    """A server's text without the parts that may quote a document: from the first brace on, after `_id:`, and in quotes."""
    text = text.partition("{")[0].partition("dup key")[0]
    text = re.sub(r"_id: ?.*", "_id: …", text, flags=re.DOTALL)
    text = re.sub(r"\"[^\"]*\"?|'[^']*'?", "'…'", text)
    return " ".join(text.split())[:MESSAGE_CHARACTERS].rstrip(" :,;.")
