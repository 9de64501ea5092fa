"""How far back the oplog reaches, and for how long it keeps what is written now."""

from __future__ import annotations

import logging
from typing import Any

from bson.timestamp import Timestamp
from msgspec import Struct

from connectors.mongo.deployment import Deployment
from dsync.errors import DsyncError, TransientError

LOG = logging.getLogger(__name__)

DATABASE, OPLOG = "local", "oplog.rs"
DOING = "looking how far back the oplog reaches"


class Kept(Struct, frozen=True):
    """The oplog: its first entry, and for how long entries stay at the rate of writes since then."""

    start: Timestamp
    seconds: float


async def kept(deployment: Deployment, now: Timestamp) -> Kept | None:
    """None where it cannot be seen: without the right to read it, on a router. Raises TransientError."""
    try:
        start = await _first(deployment)
        stats = await deployment.run(DATABASE, {"collStats": OPLOG}, DOING) if start else {}
    except TransientError:
        raise
    except DsyncError as error:
        LOG.debug("%s", error.message)
        return None
    return Kept(start, _seconds(now.time - start.time, stats)) if start else None


async def _first(deployment: Deployment) -> Timestamp | None:
    command: dict[str, Any] = {"find": OPLOG, "sort": {"$natural": 1}, "limit": 1, "projection": {"ts": 1}}
    batches = [batch async for batch in deployment.decoded(DATABASE, command, DOING)]
    found = [entry.get("ts") for batch in batches for entry in batch]
    return found[0] if found and isinstance(found[0], Timestamp) else None


def _seconds(spanned: float, stats: dict[str, Any]) -> float:
    """An oplog that is not full yet keeps more than it spans: at the same rate, as much more as there is room."""
    size, most = float(stats.get("size", 0)), float(stats.get("maxSize", 0))
    return spanned * max(1.0, most / size) if size else spanned
