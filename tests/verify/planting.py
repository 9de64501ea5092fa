"""Differences planted among documents, and what a verification says of two stores."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
from bson import Int64, ObjectId

from dsync.connector import Connector
from dsync.endpoint import Endpoint
from dsync.flow.verify import verify
from dsync.flow.verify_outcome import Outcome, VerifySettings
from dsync.flow.verify_report import Report
from dsync.testing.memory import MemoryConnector, Shape
from dsync.testing.store import MemoryStore

NAMESPACE = "shop.things"
PLANTED_OF_A_KIND = 20


def documents(count: int) -> list[dict[str, Any]]:
    """Documents with ids of some types."""
    makers: list[Any] = [
        lambda n: n,
        lambda n: ObjectId(f"{n:024x}"),
        lambda n: f"id {n}",
        lambda n: {"a": n, "b": 1.5},
    ]
    return [
        {"_id": makers[n % 4](n), "n": n, "text": f"text {n:06}", "inner": {"a": n, "list": [1, {"x": n}]}}
        for n in range(count)
    ]


@dataclass
class Planted:
    """A side with differences, and what must be said of each: (id as text, kind) -> fields."""

    documents: list[bytes] = field(default_factory=list)
    expected: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def plant(source: Sequence[dict[str, Any]], each: int = PLANTED_OF_A_KIND, *, order: bool = True) -> Planted:
    """The source's documents with differences of every kind, spread over all of them."""
    planted, step = Planted(), max(1, len(source) // (each * 5))
    kinds = ["missing", "byte", "type", "order", "nested"] if order else ["missing", "byte", "type", "nested"]
    for number, original in enumerate(source):
        document = json_copy(original)
        kind = kinds[number // step % len(kinds)] if number % step == step // 2 else ""
        if kind == "missing":
            planted.expected[key(document), "missing"] = []
            continue
        if kind == "byte":
            document["text"] = document["text"][:-1] + "x"
            planted.expected[key(document), "changed"] = ["text"]
        elif kind == "type":
            document["n"] = Int64(document["n"])
            planted.expected[key(document), "changed"] = ["n"]
        elif kind == "order":
            document["n"] = document.pop("n")
            planted.expected[key(document), "changed"] = ["n", "text", "inner"]
        elif kind == "nested":
            document["inner"]["list"][1]["x"] = "other"
            planted.expected[key(document), "changed"] = ["inner.list.1.x"]
        planted.documents.append(bson.encode(document))
    for number in range(each):
        document = {"_id": f"extra {number}", "n": number}
        planted.expected[key(document), "extra"] = []
        planted.documents.append(bson.encode(document))
    return planted


def json_copy(document: dict[str, Any]) -> dict[str, Any]:
    return bson.decode(bson.encode(document))


def key(document: dict[str, Any]) -> str:
    """The id as a report writes it."""
    value = document["_id"]
    return json.dumps({"$oid": str(value)} if isinstance(value, ObjectId) else value, separators=(",", ":"))


def encoded(source: Iterable[dict[str, Any]]) -> list[bytes]:
    return [bson.encode(document) for document in source]


def memory(name: str, content: Mapping[str, Iterable[bytes]], **shape: Any) -> MemoryConnector:
    """A store in memory."""
    store = MemoryStore(name)
    for namespace, data in content.items():
        store.load(namespace, data)
    return MemoryConnector(store, Shape(**shape))


@dataclass
class Verified:
    """An outcome with its report."""

    outcome: Outcome
    lines: list[dict[str, Any]]

    @property
    def found(self) -> dict[tuple[str, str], list[str]]:
        """As `Planted.expected`."""
        return {(json.dumps(line["id"], separators=(",", ":")), line["kind"]): line["fields"] for line in self.lines}


async def compared(
    source: Connector | Endpoint,
    destination: Connector | Endpoint,
    *,
    stop: asyncio.Event | None = None,
    **settings: Any,
) -> Verified:
    """Verifies with short pauses; every line but the summary."""
    out = io.BytesIO()
    settings = {"recheck_pause": 0.0, **settings}
    outcome = await verify(source, destination, VerifySettings(**settings), Report(None, out), stop=stop)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    summary = lines.pop()
    assert summary["kind"] == "summary" and summary["result"] == outcome.result
    return Verified(outcome, lines)
