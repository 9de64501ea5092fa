"""A repair mends exactly what a report names."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64

from dsync import namespaces, wire
from dsync.connector import Connector
from dsync.errors import DataError, LimitError, TransientError, UsageError
from dsync.flow.repair import Repaired, RepairSettings, repair
from dsync.flow.verify import verify
from dsync.flow.verify_outcome import VerifySettings
from dsync.flow.verify_report import Report, check_report, read_report
from dsync.testing.faults import Faulty, fail
from dsync.testing.memory import MemoryConnector
from dsync.wrap.delegate import Delegate
from tests.verify.planting import NAMESPACE, compared, documents, encoded, memory, plant
from tests.verify.test_verify import Scrambled

COUNT = 20_000


async def reported(source: Connector, destination: Connector, path: Path, **settings: Any) -> str:
    with Report(str(path), io.BytesIO()) as report:
        await verify(source, destination, VerifySettings(recheck_pause=0, **settings), report)
    return str(path)


async def mended(source: Connector, destination: Connector, path: str, **settings: Any) -> Repaired:
    return await repair(source, destination, read_report(path), RepairSettings(**settings))


def writes(connector: MemoryConnector) -> int:
    return len(connector.store.log)


@pytest.mark.parametrize("listed", [False, True], ids=["by id", "listed"])
async def test_a_repair_leaves_no_difference_and_writes_nothing_else(tmp_path: Path, listed: bool) -> None:
    source = documents(COUNT)
    planted = plant(source)
    ours: Connector = memory("ours", {NAMESPACE: encoded(source)}, page_documents=1000)
    theirs = memory("theirs", {NAMESPACE: planted.documents})
    ours = Scrambled(ours) if listed else ours
    path = await reported(ours, theirs, tmp_path / "r")
    done = await mended(ours, theirs, path, delete_extra=True)
    assert (await compared(ours, theirs)).outcome.result == "equal"
    extra = sum(kind == "extra" for _, kind in planted.expected)
    assert done.total == {"written": len(planted.expected) - extra, "deleted": extra}
    assert writes(theirs) == len(planted.expected)
    assert (await mended(ours, theirs, path, delete_extra=True)).total == done.total
    assert (await compared(ours, theirs)).outcome.result == "equal"


async def test_what_is_extra_is_left_unless_its_end_was_asked_for(tmp_path: Path) -> None:
    ours = memory("ours", {NAMESPACE: encoded([{"_id": 1}])})
    theirs = memory("theirs", {NAMESPACE: encoded([{"_id": 1}, {"_id": 2}])})
    path = await reported(ours, theirs, tmp_path / "r")
    assert (await mended(ours, theirs, path)).total == {"left": 1}
    assert len(theirs.store.documents(NAMESPACE)) == 2
    with pytest.raises(LimitError, match="--max-delete"):
        await mended(ours, theirs, path, delete_extra=True, max_delete=0)
    assert len(theirs.store.documents(NAMESPACE)) == 2
    assert (await mended(ours, theirs, path, delete_extra=True, max_delete=1)).total == {"deleted": 1}
    assert len(theirs.store.documents(NAMESPACE)) == 1


async def test_the_source_is_read_again_before_anything_is_done(tmp_path: Path) -> None:
    ours = memory("ours", {NAMESPACE: encoded([{"_id": 1, "v": 1}, {"_id": 2, "v": 1}])})
    theirs = memory("theirs", {NAMESPACE: encoded([{"_id": 2, "v": 0}, {"_id": 3, "v": 3}])})
    path = await reported(ours, theirs, tmp_path / "r")
    ours.store.delete(NAMESPACE, bson.encode({"_id": 1}))
    ours.store.put(NAMESPACE, bson.encode({"_id": 2, "v": 2}))
    ours.store.put(NAMESPACE, bson.encode({"_id": 3, "v": 4}))
    done = await mended(ours, theirs, path, delete_extra=True)
    assert done.total == {"gone at the source": 1, "written": 2}
    assert [bson.decode(each) for each in theirs.store.documents(NAMESPACE)] == [{"_id": 2, "v": 2}, {"_id": 3, "v": 4}]


class Moving(Delegate):
    """A source whose documents change right after they were read, a number of times."""

    def __init__(self, inner: MemoryConnector, times: int) -> None:
        super().__init__(inner)
        self.store = inner.store
        self.times = times

    async def GetByIds(self, request: wire.GetByIdsRequest) -> wire.GetByIdsResponse:
        answer = await super().GetByIds(request)
        if self.times:
            self.times -= 1
            self.store.put(NAMESPACE, bson.encode({"_id": 1, "v": self.times}))
        return answer


async def test_a_change_at_the_source_during_the_repair_is_not_overwritten_with_what_was_before(tmp_path: Path) -> None:
    inner = memory("ours", {NAMESPACE: encoded([{"_id": 1, "v": 9}])})
    theirs = memory("theirs", {NAMESPACE: []})
    path = await reported(inner, theirs, tmp_path / "r")
    await mended(Moving(inner, 2), theirs, path)
    assert [bson.decode(each) for each in theirs.store.documents(NAMESPACE)] == [{"_id": 1, "v": 0}]
    with pytest.raises(TransientError, match="keep changing"):
        await mended(Moving(inner, 99), theirs, path)


async def test_an_id_of_another_type_of_number_is_replaced(tmp_path: Path) -> None:
    ours = memory("ours", {NAMESPACE: encoded([{"_id": 5}])})
    theirs = memory("theirs", {NAMESPACE: encoded([{"_id": Int64(5)}])})
    await mended(ours, theirs, await reported(ours, theirs, tmp_path / "r"))
    assert theirs.store.documents(NAMESPACE) == encoded([{"_id": 5}])


async def test_a_repair_goes_to_the_name_that_the_copy_gave(tmp_path: Path) -> None:
    ours, theirs = memory("ours", {"shop.a": encoded([{"_id": 1}])}), memory("theirs", {})
    path = await reported(ours, theirs, tmp_path / "r", selection=namespaces.parse(["shop:copy"]))
    assert (await mended(ours, theirs, path)).deeds == {"copy.a": {"written": 1}}
    assert theirs.store.documents("copy.a") == encoded([{"_id": 1}])


async def test_other_types_are_converted_on_the_way(tmp_path: Path) -> None:
    source = documents(500)
    ours = Scrambled(memory("ours", {NAMESPACE: encoded(source)}, types=(wire.EXTENDED_JSON,)))
    theirs = memory("theirs", {NAMESPACE: plant(source).documents})
    path = await reported(ours, theirs, tmp_path / "r")
    await mended(ours, theirs, path, delete_extra=True)
    assert sorted(theirs.store.documents(NAMESPACE)) == sorted(encoded(source))


class TakesNoUpdates(Delegate):
    """A keyed sink that takes data only."""

    async def GetInfo(self, request: wire.GetInfoRequest) -> wire.GetInfoResponse:
        info = await super().GetInfo(request)
        info.capabilities.sink.ClearField("updates")
        return info

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        raise self._lacks("WriteUpdates")


async def test_a_keyed_sink_without_updates_gets_data(tmp_path: Path) -> None:
    ours, theirs = memory("ours", {NAMESPACE: encoded(documents(50))}), memory("theirs", {NAMESPACE: []})
    path = await reported(ours, theirs, tmp_path / "r")
    await mended(ours, TakesNoUpdates(theirs), path)
    assert (await compared(ours, theirs)).outcome.result == "equal"


async def test_a_sink_that_does_not_write_by_id_is_refused_with_the_remedy(tmp_path: Path) -> None:
    ours, theirs = memory("ours", {NAMESPACE: encoded([{"_id": 1}])}), memory("theirs", {}, keyed=False)
    (tmp_path / "r").write_bytes(b"")
    with pytest.raises(UsageError, match="copy again"):
        await mended(ours, theirs, str(tmp_path / "r"))


async def test_a_document_without_an_id_cannot_be_mended(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b'{"namespace":"shop.things","kind":"missing","fields":[]}\n')
    with pytest.raises(DataError, match="line 1"):
        await mended(memory("ours", {NAMESPACE: []}), memory("theirs", {}), str(tmp_path / "r"))


async def test_what_was_done_before_a_failure_is_known(tmp_path: Path) -> None:
    ours, theirs = memory("ours", {NAMESPACE: encoded(documents(100))}), memory("theirs", {NAMESPACE: []})
    path = await reported(ours, theirs, tmp_path / "r")
    done = Repaired()
    failing = Faulty(theirs, [fail("WriteUpdates", 2, DataError("refused"))])
    with pytest.raises(DataError, match="refused"):
        await repair(ours, failing, read_report(path), RepairSettings(), done)
    assert 0 < done.total["written"] < 100
    await mended(ours, theirs, path)
    assert (await compared(ours, theirs)).outcome.result == "equal"


async def test_ends_that_are_swapped_are_refused(tmp_path: Path) -> None:
    ours, theirs = memory("ours", {NAMESPACE: encoded(documents(10))}), memory("theirs", {NAMESPACE: []})
    path = await reported(ours, theirs, tmp_path / "r")
    made_for = check_report(path)
    with pytest.raises(UsageError, match="other way round"):
        await repair(theirs, ours, read_report(path), RepairSettings(delete_extra=True), made_for=made_for)
    assert len(ours.store.documents(NAMESPACE)) == 10
    assert (await repair(ours, theirs, read_report(path), RepairSettings(), made_for=made_for)).total == {"written": 10}
