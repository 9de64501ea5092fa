from __future__ import annotations

import signal
import subprocess
import sys

import bson
import pytest

from dsync import wire
from dsync.errors import TransientError
from dsync.testing.faults import Faulty, delay, fail, lose_answer
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore
from tests.kit.cli import TOP
from tests.small.driving import follow

GONE = TransientError("gone", remedy="try again")


def write(number: int) -> wire.WriteDataRequest:
    return wire.WriteDataRequest(namespace="n", data=[bson.encode({"_id": number})], type=wire.BSON)


async def test_the_chosen_calls_fail_and_do_nothing() -> None:
    store = MemoryStore()
    sink = Faulty(MemoryConnector(store), [fail("WriteData", 2, GONE, calls=2)])
    outcomes = []
    for number in range(4):
        try:
            await sink.WriteData(write(number))
            outcomes.append("written")
        except TransientError as error:
            outcomes.append(str(error))
    assert outcomes == ["written", "gone; try again", "gone; try again", "written"]
    assert [bson.decode(document)["_id"] for document in store.documents("n")] == [0, 3]
    assert sink.calls == {"WriteData": 4}


async def test_a_lost_answer_leaves_what_was_done() -> None:
    store = MemoryStore()
    sink = Faulty(MemoryConnector(store), [lose_answer("WriteData", 1, GONE)])
    with pytest.raises(TransientError):
        await sink.WriteData(write(1))
    assert len(store.documents("n")) == 1


async def test_a_late_call_is_done_all_the_same() -> None:
    store = MemoryStore()
    await Faulty(MemoryConnector(store), [delay("WriteData", 1, 0.01)]).WriteData(write(1))
    assert len(store.documents("n")) == 1


async def test_a_stream_breaks_at_the_chosen_message() -> None:
    store = MemoryStore()
    source = Faulty(MemoryConnector(store), [fail("StreamUpdates", 3, GONE)])
    assert len(await follow(source, 2, b"")) == 2
    with pytest.raises(TransientError):
        await follow(source, 1, b"")


@pytest.mark.parametrize(("after", "written"), [("False", "1"), ("True", "2")])
def test_a_crash_ends_the_process_before_or_after_the_call(after: str, written: str) -> None:
    program = f"""
import asyncio, bson, os
from dsync import wire
from dsync.testing.faults import Faulty, crash
from dsync.testing.memory import MemoryConnector
from dsync.testing.store import MemoryStore

class Told(MemoryStore):
    def put(self, namespace, document):
        super().put(namespace, document)
        os.write(1, b"%d" % len(self.documents(namespace)))

async def main():
    sink = Faulty(MemoryConnector(Told()), [crash("WriteData", 2, after={after})])
    for number in range(3):
        data = [bson.encode({{"_id": number}})]
        await sink.WriteData(wire.WriteDataRequest(namespace="n", data=data, type=wire.BSON))

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=TOP, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert done.stdout.decode()[-1] == written
