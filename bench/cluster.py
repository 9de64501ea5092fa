"""A Dask cluster of two workers, one of them killed in the middle."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator

from bench import measure
from bench.facts import MILLION, Fact
from bench.place import Place, drop, dsync
from tests.kit import oracle, process
from tests.kit.dask import DaskCluster

TARGET = "bench_cluster"
LEASE_SECONDS = 5


def figures(place: Place, *, quick: bool) -> Iterator[Fact]:
    """A file of BSON into MongoDB: what is wrong in the end, and how long it took beside an undisturbed run."""
    source = Place(place.servers, place.folder, MILLION // 10 if quick else MILLION).bson()
    clear = drop(place, TARGET)
    with DaskCluster() as dask:
        first, _ = dask.add_worker(), dask.add_worker()
        names = ["--ns", f"{source.stem}:{TARGET}.things", "--mode", "InitialSync"]
        command = dsync(
            place, "--engine", f"{dask.engine}?lease={LEASE_SECONDS}", *names, source, "--partition-size", "4MB",
            place.uri(TARGET),
        )  # fmt: skip
        clear()
        undisturbed = measure.once(command).seconds
        clear()
        seconds = _killed(command, first, lambda: any(True for _ in oracle.mongo_side(place.servers.mongo_uri, TARGET)))
    name = "two Dask workers, one killed"
    found = oracle.compare(
        oracle.bson_side(source, namespace="things"), oracle.mongo_side(place.servers.mongo_uri, TARGET)
    )
    wrong = len(found.lost) + len(found.extra) + len(found.changed) + len(found.twice)
    clear()
    yield Fact(f"{name}: lost, extra, changed or twice of {found.left:,} documents", wrong, "documents", at_most=0)
    # a step again and a lease, while the other worker has the rest to itself
    yield Fact(f"{name}: longer than undisturbed", seconds - undisturbed, "s", at_most=undisturbed + 3 * LEASE_SECONDS)


def _killed(command: list[str], worker: subprocess.Popen[bytes], begun: Callable[[], bool]) -> float:
    """The seconds of a run in which the worker was killed. Raises RuntimeError where it fails or ends too soon."""
    start = time.perf_counter()
    run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while run.poll() is None and not begun():
        time.sleep(0.01)
    if run.poll() is None:
        process.stop(worker)
    out, _ = run.communicate()
    if run.returncode or b"taken again elsewhere" not in out:
        raise RuntimeError(f"ended with {run.returncode}:\n{out[-3000:].decode(errors='replace')}")
    return time.perf_counter() - start
