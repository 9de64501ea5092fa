"""Driver errors become errors of dsync by what to do next, and quote no document."""

from __future__ import annotations

import pytest
from pymongo import errors as driver

from connectors.mongo import errors
from dsync.errors import DataError, DsyncError, EndpointError, GapError, NotFoundError, TransientError

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *(
            (code, TransientError)
            for code in (6, 7, 43, 50, 64, 89, 91, 112, 189, 262, 9001, 10107, 11600, 13435, 16500)
        ),
        *((code, EndpointError) for code in (13, 18, 8000, 14031, 59)),
        *((code, GapError) for code in (136, 280, 286)),
        *((code, DataError) for code in (2, 9, 22, 121, 11000, 66, 999999)),
        (26, NotFoundError),
    ],
)
def test_a_servers_code_decides_what_to_do_next(code: int, kind: type[DsyncError]) -> None:
    error = errors.from_driver(driver.OperationFailure("no", code), "reading 'a.b'")
    assert type(error) is kind
    assert "reading 'a.b'" in str(error)


def test_a_label_makes_an_unknown_code_transient() -> None:
    failure = driver.OperationFailure("no", 999999, {"errorLabels": ["RetryableWriteError"]})
    assert isinstance(errors.from_driver(failure, "writing"), TransientError)


@pytest.mark.parametrize(
    "make",
    [driver.AutoReconnect, driver.NetworkTimeout, driver.NotPrimaryError, driver.ServerSelectionTimeoutError],
)
def test_a_lost_connection_is_transient(make: type[driver.PyMongoError]) -> None:
    assert isinstance(errors.from_driver(make("x"), "reading"), TransientError)


@pytest.mark.parametrize(
    "text",
    [
        f'E11000 duplicate key error collection: a.b index: e_1 dup key: {{ e: "{CANARY}" }}',
        f"Failed to parse number '{CANARY}' in $convert",
        f'unexpected "{CANARY}',
        f"BSON bool is neither false nor true in object with _id: {CANARY}",
        f"not authorized on a to execute command {{ insert: {CANARY} }}",
    ],
)
def test_a_servers_text_is_shown_without_what_may_be_data(text: str) -> None:
    failure = driver.OperationFailure(text, 2, {"errmsg": text, "codeName": "BadValue", "more": CANARY})
    shown = str(errors.from_driver(failure, "writing"))
    assert CANARY not in shown
    assert "BadValue (2)" in shown


def test_the_drivers_error_is_not_chained() -> None:
    with pytest.raises(DsyncError) as caught, errors.mapped("reading"):
        raise driver.OperationFailure(CANARY, 2, {"errmsg": "no"})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_errors_that_are_not_the_drivers_pass() -> None:
    with pytest.raises(ZeroDivisionError), errors.mapped("reading"):
        raise ZeroDivisionError
