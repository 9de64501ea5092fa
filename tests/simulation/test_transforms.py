"""A transform in the lossy world: whatever fails and whenever it is killed, what is made of each document is there, once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import bson
import pytest

from dsync import wire
from dsync.flow.made import Made
from dsync.flow.transform import Stage
from dsync.settings import Settings
from dsync.transform.python import PythonTransform
from tests.simulation.test_core import CAUGHT_WITHIN, FIRST_SEED, SIMULATIONS, wrong
from tests.simulation.world import World

# A transform takes its time, so these are fewer.
SHARE_OF_ALL = 20


def scatter(namespace: str, document: dict[str, Any] | None, id: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Up to three parts, in one of two namespaces, or nothing."""
    if document is None:
        yield from ((f"{namespace}_{side}", {"_id": f"{id}/{part}"}) for side in (0, 1) for part in range(3))
    elif document["version"] % 5:
        for part in range(document["version"] % 4):
            yield f"{namespace}_{document['version'] % 2}", {"_id": f"{id}/{part}", "version": document["version"]}


class Scattering(PythonTransform):
    """The function without a thread, whose calls are disturbed like those of another process."""

    def __init__(self, world: World) -> None:
        super().__init__(f"python:{__name__}:scatter", {})
        self.world, self.life = world, world.life

    async def GetTransform(self, request: wire.GetTransformRequest) -> wire.GetTransformResponse:
        await self.world.disturb(self.life)
        answer = self._answer(request)
        await self.world.disturb(self.life)
        return answer


class Scattered(World):
    """A world in which documents are scattered on their way."""

    def settings(self) -> Settings:
        return replace(super().settings(), transform=Scattering(self))

    def differences(self) -> list[str]:
        expected: dict[str, list[bytes]] = {}
        for name in ("n0", "n1"):
            for document in map(bson.decode, self.source.documents(name)):
                for target, made in scatter(name, document, document["_id"]):
                    expected.setdefault(target, []).append(bson.encode(made))
        names = expected.keys() | self.target.namespaces.keys()
        return [name for name in names if sorted(self.target.documents(name)) != sorted(expected.get(name, []))]


@pytest.mark.timeout(600)
def test_whatever_fails_and_whenever_it_is_killed_all_that_is_made_is_there_once() -> None:
    assert not wrong(range(FIRST_SEED, FIRST_SEED + SIMULATIONS // SHARE_OF_ALL), Scattered)


def test_parts_that_stay_behind_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Stage._updates

    async def forgetful(self: Stage, namespace: str, updates: Sequence[wire.Update]) -> Made:
        made = await right(self, namespace, updates)
        for name, found in made.updates.items():
            made.updates[name] = [update for update in found if update.type != wire.DELETE]
        return made

    monkeypatch.setattr(Stage, "_updates", forgetful)
    assert wrong(range(FIRST_SEED, FIRST_SEED + CAUGHT_WITHIN), Scattered)
