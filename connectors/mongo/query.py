"""`--initial-sync-query`: the filter that says which documents are copied and followed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import bson
from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.errors import BSONError
from bson.json_util import JSONOptions

from dsync.errors import UsageError

OPTIONS = JSONOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
# Operators that need an index of their own or an order, or do not give the same answer each time: a partition, a re-read by _id
# and a verification could not all mean the same by them.
REFUSED = frozenset({"$accumulator", "$function", "$near", "$nearSphere", "$rand", "$sampleRate", "$text", "$where"})
EXAMPLE = """write Extended JSON, for instance '{"status": "active"}'"""


def parse(text: str) -> bytes:
    """The filter as BSON; empty for an empty text. Raises UsageError."""
    if not text.strip():
        return b""
    try:
        query = json.loads(text, object_pairs_hook=_object)
        encoded = bson.encode(query) if isinstance(query, dict) else b""
    except UsageError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, BSONError) as error:
        at = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(f"--initial-sync-query is not Extended JSON{at}", remedy=EXAMPLE) from None
    if not encoded:
        raise UsageError("--initial-sync-query is not a JSON object", remedy=EXAMPLE)
    return encoded


def digest(query: bytes) -> bytes:
    """Names a filter without telling what it says; empty for none."""
    return hashlib.blake2b(query, digest_size=8).digest() if query else b""


def _object(pairs: list[tuple[str, Any]]) -> Any:
    """A JSON object as BSON: Extended JSON's wrappers become values, operators stay as they are."""
    document = dict(pairs)
    if len(document) < len(pairs):
        raise UsageError("--initial-sync-query has an object with the same key twice", remedy="join them with $and")
    refused = REFUSED & document.keys()
    if refused:
        raise UsageError(
            f"--initial-sync-query uses {min(refused)}, which partitions and change streams cannot follow",
            remedy="filter on the fields themselves",
        )
    # The driver would make one regular expression of the operator and drop what stands beside it.
    return document if "$regex" in document else json_util.object_hook(document, OPTIONS)
