"""Documents that the destination refuses go into the dead letters, alone, and are counted."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import bson
import pytest

from dsync import wire
from dsync.errors import DataError, SetAsideError
from dsync.progress import Tracker
from dsync.run import migrate
from dsync.testing.store import MemoryStore
from dsync.wrap.delegate import Delegate
from tests.engine.driving import connector, documents, settings, store_with


class Picky(Delegate):
    """Refuses documents whose number ends in 7, and everything that comes with them."""

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        self.refuse([bson.decode(data)["_id"] for data in request.data])
        return await super().WriteData(request)

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        self.refuse([bson.decode(update.data)["_id"] for update in request.updates])
        return await super().WriteUpdates(request)

    def refuse(self, ids: list[int]) -> None:
        bad = [number for number in ids if number % 10 == 7]
        if bad:
            raise DataError(f"the document with _id {bad[0]} is refused")


def letters(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("keyed", [True, False])
async def test_only_the_refused_documents_are_set_aside(tmp_path: Path, keyed: bool) -> None:
    source, target, path = store_with(a=documents(300)), MemoryStore("target"), tmp_path / "letters"
    tracker = Tracker()
    with pytest.raises(SetAsideError, match="30 documents were refused and set aside"):
        await migrate(
            connector(source), Picky(connector(target, keyed=keyed)), settings(dead_letters=str(path)), tracker=tracker
        )
    found = {bson.decode(document)["_id"] for document in target.documents("a")}
    assert found == {number for number in range(300) if number % 10 != 7}
    assert {letter["document"]["_id"] for letter in letters(path)} == set(range(300)) - found
    assert letters(path)[0]["namespace"] == "a"
    assert "is refused" in letters(path)[0]["reason"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tracker.namespaces["a"].set_aside == 30


async def test_refused_updates_are_set_aside_with_their_ids(tmp_path: Path) -> None:
    source, target, path = store_with(a=documents(5)), MemoryStore("target"), tmp_path / "letters"
    asked = settings(tmp_path / "state.db", mode="Full", until_caught_up=True, dead_letters=str(path))
    await migrate(connector(source), Picky(connector(target)), asked)
    for number in range(20):
        source.put("a", bson.encode({"_id": number, "new": True}))
    with pytest.raises(SetAsideError, match="2 documents"):
        await migrate(connector(source), Picky(connector(target)), asked)
    assert sorted(letter["id"][0]["_id"] for letter in letters(path)) == [7, 17]
    assert len(target.documents("a")) == 18


async def test_without_dead_letters_a_refusal_fails_the_run() -> None:
    with pytest.raises(DataError, match="_id 7"):
        await migrate(connector(store_with(a=documents(10))), Picky(connector(MemoryStore("target"))), settings())
