"""Plants differences among many documents and has dsync find and mend them: `python -m bench.verify_planted [DOCUMENTS] [PLANTED]`.

Between two collections, and between a collection and a BSON file in another order. Prints what was found, how long it took and
how much memory it needed; ends with 1 where anything was overlooked, or reported without being planted, or left by the repair.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import bson
from bson import Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from tests.kit import mongod

TOP = Path(__file__).resolve().parent.parent
KINDS = ("missing", "byte", "type", "order", "extra")
BATCH = 10_000
SEED = 20_240_229


@dataclass
class Run:
    """What a command left behind; memory in MB."""

    status: int
    seconds: float
    megabytes: float


@dataclass
class Plan:
    """Which documents differ at the destination, by number; the numbers from `count` on are extra."""

    count: int
    kinds: dict[int, str] = field(default_factory=dict)

    @property
    def expected(self) -> dict[str, str]:
        """Id -> the kind that a report must name."""
        names = {"missing": "missing", "extra": "extra"}
        return {str(id_of(number)): names.get(kind, "changed") for number, kind in self.kinds.items()}


def plan(count: int, planted: int) -> Plan:
    """Every kind as often, anywhere."""
    each = planted // len(KINDS)
    places = random.Random(SEED).sample(range(count), each * (len(KINDS) - 1))
    kinds = {place: KINDS[index % (len(KINDS) - 1)] for index, place in enumerate(places)}
    return Plan(count, kinds | {count + number: "extra" for number in range(each)})


def id_of(number: int) -> ObjectId:
    return ObjectId(f"{number:024x}")


def document(number: int) -> dict[str, Any]:
    """About 430 bytes."""
    address = {"street": f"{number % 977} {'Long ' * 8}Street", "zip": number % 100_000}
    text = f"{number:09}" * 24
    return {"_id": id_of(number), "n": number, "name": f"person {number}", "address": address, "text": text}


def sources(plan_: Plan) -> Iterator[bytes]:
    """The source's documents."""
    return (bson.encode(document(number)) for number in range(plan_.count))


def destinations(plan_: Plan) -> Iterator[bytes]:
    """The destination's documents."""
    for number in range(plan_.count + sum(kind == "extra" for kind in plan_.kinds.values())):
        kind, made = plan_.kinds.get(number), document(number)
        if kind == "byte":
            made["text"] = made["text"][:-1] + "x"
        elif kind == "type":
            made["n"] = Int64(made["n"])
        elif kind == "order":
            made["n"] = made.pop("n")
        if kind != "missing":
            yield bson.encode(made)


def fill(client: MongoClient[dict[str, Any]], database: str, documents: Iterator[bytes]) -> None:
    while batch := list(islice(documents, BATCH)):
        client[database].things.insert_many(map(RawBSONDocument, batch), ordered=False)


def run(words: Sequence[str], folder: Path) -> Run:
    """Runs dsync; what it tells people goes to stderr."""
    started, peak = time.perf_counter(), folder / "peak"
    environment = os.environ | {"PYTHONPATH": str(TOP), "XDG_STATE_HOME": str(folder), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "tests.verify.peak", str(peak), "--no-progress", *words]
    status = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode
    return Run(status, time.perf_counter() - started, int(peak.read_text()) / 1024)


def found(report: Path) -> dict[str, str]:
    """Id -> kind, of a report."""
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    return {line["id"]["$oid"]: line["kind"] for line in lines if line["kind"] != "summary"}


def trial(
    name: str, plan_: Plan, ends: Sequence[str], folder: Path, *, mend: bool, options: Sequence[str] = ()
) -> bool:
    """Verifies, mends where that is possible, verifies again; prints a line. Whether all was as planted."""
    report = folder / "report.jsonl"
    verified = run([*options, "verify", "--report", str(report), *ends], folder)
    right = verified.status == 4 and found(report) == plan_.expected
    matched = sum(plan_.expected.get(key) == kind for key, kind in found(report).items())
    rate = 2 * plan_.count / verified.seconds
    print(
        f"{name}: {matched:,} of {len(plan_.kinds):,} found, {len(found(report)) - matched:,} others;"
        f" {verified.seconds:.1f} s, {rate:,.0f} documents/s, {verified.megabytes:.0f} MB at the most",
        flush=True,
    )
    if mend:
        mended = run(["repair", "--delete-extra", "--from", str(report), *ends], folder)
        again = run([*options, "verify", *ends], folder)
        right = right and (mended.status, again.status) == (0, 0)
        print(
            f"{name}: repair took {mended.seconds:.1f} s, the next verification {again.seconds:.1f} s: {again.status}"
        )
    return right


def main() -> None:
    """Both trials."""
    asked = [int(word) for word in sys.argv[1:3]]
    count, planted = [*asked, *(1_000_000, 1000)[len(asked) :]]
    plan_ = plan(count, planted)
    with mongod.replica_set() as uri, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        client: MongoClient[dict[str, Any]] = MongoClient(uri)
        fill(client, "ours", sources(plan_))
        fill(client, "theirs", destinations(plan_))
        ours, theirs = (uri.replace("/?", f"/{database}?") for database in ("ours", "theirs"))
        right = [trial("two collections", plan_, [ours, theirs], folder, mend=True, options=["--ns", "ours:theirs"])]
        shuffled = list(destinations(plan_))
        random.Random(SEED).shuffle(shuffled)
        with (folder / "things.bson").open("wb") as file:
            file.writelines(shuffled)
        del shuffled
        right.append(
            trial(
                "a collection and a file in another order",
                plan_,
                [ours, str(folder / "things.bson")],
                folder,
                mend=False,
            )
        )
    sys.exit(0 if all(right) else 1)


if __name__ == "__main__":
    main()
