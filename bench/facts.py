"""Figures that have no loop beside them: start-up, slow sinks, worker processes, memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import data, measure
from bench.workloads import Place, dsync, remove, s3_end

THOUSAND = 1000


@dataclass(frozen=True)
class Fact:
    """A figure and what is asked of it."""

    name: str
    figure: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return (self.at_least is None or self.figure >= self.at_least) and (
            self.at_most is None or self.figure <= self.at_most
        )

    def __str__(self) -> str:
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{self.name}: {self.figure:.3g} {self.unit} ({bound}: {'ok' if self.reached else 'MISSED'})"

    def to_json(self) -> dict[str, object]:
        """For the report."""
        return asdict(self) | {"reached": self.reached}


def gathered(place: Place, runs: int, *, quick: bool) -> Iterator[Fact]:
    """All of them, one after the other."""
    yield from start_up(place, runs)
    yield slow_sink(place)
    yield worker_processes(place, runs)
    yield from memory(place, quick=quick)


def start_up(place: Place, runs: int) -> Iterator[Fact]:
    """`--help`, and 1,000 rows between any two ends."""
    help_command = [sys.executable, "-m", "dsync", "--help"]
    yield Fact("--help", measure.repeat(help_command, lambda: None, runs).seconds, "s", at_most=0.15)
    rows = place.folder / "thousand.csv"
    data.write_csv(rows, THOUSAND)
    to_mongo = [place.uri("bench_thousand")]
    data.empty_bucket(place.servers.s3_endpoint, "bench-thousand")
    sources = {
        "CSV": [str(rows)],
        "fakesource": ["/dev/fakesource", "--num-docs-per-partition", str(THOUSAND)],
        "MongoDB": to_mongo,
        "S3": [*s3_end(place, "bench-thousand")],
    }
    sinks = {
        "null": ["/dev/null"],
        "file": [f"{place.folder}/thousand-out/"],
        "MongoDB": to_mongo,
        "S3": s3_end(place, "bench-thousand"),
    }
    measure.once(dsync(place, "--ns", "thousand:bench_thousand.thousand", rows, *to_mongo))
    measure.once(dsync(place, "--overwrite", rows, *sinks["S3"]))
    for source, source_words in sources.items():
        for sink, sink_words in sinks.items():
            if source != sink:
                words = ["--mode", "InitialSync", "--overwrite", *source_words, *sink_words]
                timing = measure.repeat(dsync(place, *words), remove(place, "thousand-out"), runs)
                yield Fact(f"1,000 documents, {source} → {sink}", timing.seconds, "s", at_most=0.4)


def slow_sink(place: Place) -> Fact:
    """32 copiers against one, where every write takes 50 ms."""

    def seconds(copiers: int) -> float:
        size = ["--num-partitions-per-namespace", "64", "--num-docs-per-partition", "50"]
        words = ["--parallel-copiers", str(copiers), "/dev/fakesource", *size, "/dev/null", "--sleep", "50ms"]
        remove(place)()
        return measure.once(dsync(place, *words)).seconds

    start = measure.once(dsync(place, "/dev/fakesource", "--num-docs-per-partition", "1", "/dev/null")).seconds
    times = (seconds(1) - start) / max(seconds(32) - start, 1e-3)
    return Fact("a sink of 50 ms, 32 copiers against one", times, "times", at_least=25)


def worker_processes(place: Place, runs: int) -> Fact:
    """Two against one, where Python is the bottleneck."""

    def seconds(workers: int) -> float:
        command = dsync(place, "--workers", str(workers), place.csv(), "/dev/null")
        return measure.repeat(command, remove(place), runs).seconds

    return Fact("two worker processes against one, CSV → null", seconds(1) / seconds(2), "times", at_least=1.7)


def memory(place: Place, *, quick: bool) -> Iterator[Fact]:
    """Whether it stays where it is as the data grows."""
    megabyte = 1 << 20
    many = str((1_000_000 if quick else 20_000_000) // 8)
    size = ["--num-partitions-per-namespace", "8", "--num-docs-per-partition", many]
    remove(place)()
    run = measure.once(dsync(place, "/dev/fakesource", *size, "/dev/null"))
    yield Fact("memory, fakesource → null", run.peak_bytes / megabyte, "MB", at_most=400)
    large = place.folder / "large.csv"
    _repeat_rows(place.csv(), large, (1 << 28 if quick else 2 << 30) // place.csv().stat().st_size)
    remove(place)()
    run = measure.once(dsync(place, "--duplicates", "last", large, place.folder / "large-out.jsonl"))
    yield Fact("memory, a large CSV → JSON lines", run.peak_bytes / megabyte, "MB", at_most=400)
    remove(place, "large")()
    payload = ["--payload", str(16_000_000), "--num-docs-per-partition", "8" if quick else "60"]
    run = measure.once(dsync(place, "/dev/fakesource", *payload, "/dev/null"))
    yield Fact("memory, documents of 16 MB", run.peak_bytes / megabyte, "MB", at_most=800)


def _repeat_rows(source: Path, target: Path, times: int) -> None:
    with source.open("rb") as rows, target.open("wb") as out:
        out.write(rows.readline())
        body = rows.tell()
        for _ in range(max(1, times)):
            rows.seek(body)
            shutil.copyfileobj(rows, out, 1 << 20)
