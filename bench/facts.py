"""Figures that have no loop beside them: start-up, slow sinks, worker processes, memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench import data, measure
from bench.place import Place, dsync, remove, s3_end
from tests.kit import process

THOUSAND, MILLION = 1_000, 1_000_000
MEGABYTE, GIGABYTE = 1 << 20, 1 << 30
ROWS = 972_000
HELP_SECONDS, SMALL_SECONDS = 0.15, 0.4
START_UP_RUNS = 7
SLOW_PARTITIONS, SLOW_MILLISECONDS = 256, 50
SLOPE_BYTES = MEGABYTE
# What runs for minutes tells slopes.
MANY = 5


@dataclass(frozen=True)
class Fact:
    """A figure and what is asked of it; it may be off by `error`."""

    name: str
    figure: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    error: float = 0.0

    @property
    def reached(self) -> bool:
        """Whether it is, as far as can be told."""
        return (self.at_least is None or self.figure + self.error >= self.at_least) and (
            self.at_most is None or self.figure - self.error <= self.at_most
        )

    def __str__(self) -> str:
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        figure = f"{self.figure:.3g} ± {self.error:.2g}" if self.error else f"{self.figure:.3g}"
        return f"{self.name}: {figure} {self.unit} ({bound}: {'ok' if self.reached else 'MISSED'})"

    def to_json(self) -> dict[str, object]:
        """For the report."""
        return asdict(self) | {"reached": self.reached}


def start_up(place: Place, runs: int, quick: bool) -> Iterator[Fact]:
    """`--help`, and 1,000 rows between any two ends: of seven runs, since one of tenths of a second is soon disturbed."""
    runs = 1 if quick else max(runs, START_UP_RUNS)
    help_command = [sys.executable, "-m", "dsync", "--help"]
    seconds = measure.repeat(help_command, lambda: None, runs).seconds
    yield Fact("--help", seconds, "s", at_most=HELP_SECONDS)
    rows = place.folder / "thousand.csv"
    data.write_csv(rows, THOUSAND)
    data.empty_bucket(place.servers.s3_endpoint, "bench-thousand")
    to_mongo, to_s3 = [place.uri("bench_thousand")], s3_end(place, "bench-thousand")
    sources = {
        "CSV": [str(rows)],
        "fakesource": ["/dev/fakesource", "--num-docs-per-partition", str(THOUSAND)],
        "MongoDB": to_mongo,
        "S3": to_s3,
    }
    sinks = {"null": ["/dev/null"], "file": [f"{place.folder}/thousand-out/"], "MongoDB": to_mongo, "S3": to_s3}
    for sink_words in (to_mongo, to_s3):
        measure.once(dsync(place, "--overwrite", "--ns", "thousand:bench_thousand.rows", rows, *sink_words))
    commands: dict[str, list[str]] = {}
    for source, source_words in sources.items():
        for sink, sink_words in sinks.items():
            if source != sink:
                # earlier pairs have left others beside them
                selected = ["--ns", "bench_thousand.rows"] if source in ("MongoDB", "S3") else []
                words = ["--mode", "InitialSync", "--overwrite", *selected, *source_words, *sink_words]
                commands[f"1,000 documents, {source} → {sink}"] = dsync(place, *words)
    for name, timing in measure.in_turn(commands, remove(place, "thousand-out"), runs).items():
        yield Fact(name, timing.seconds, "s", at_most=SMALL_SECONDS)


def slow_sink(place: Place, runs: int, quick: bool) -> Iterator[Fact]:
    """32 copiers against one, where every write takes 50 ms; what starting and ending takes is left out."""
    partitions = SLOW_PARTITIONS // 4 if quick else SLOW_PARTITIONS

    def command(copiers: int, partitions: int) -> list[str]:
        size = ["--num-partitions-per-namespace", str(partitions), "--num-docs-per-partition", "50"]
        sink = ["/dev/null", "--sleep", str(SLOW_MILLISECONDS)]
        return dsync(place, "--parallel-copiers", str(copiers), "/dev/fakesource", *size, *sink)

    quick_ones = {"start": command(1, 1), "32": command(32, partitions)}
    timings = measure.in_turn(quick_ones, remove(place), runs)
    start = timings["start"].seconds - SLOW_MILLISECONDS / 1000
    remove(place)()
    times = (measure.once(command(1, partitions)).seconds - start) / (timings["32"].seconds - start)
    yield Fact(f"a sink of {SLOW_MILLISECONDS} ms, 32 copiers against one", times, "times", at_least=25)


def worker_processes(place: Place, runs: int, quick: bool) -> Iterator[Fact]:
    """Two against one, where Python is the bottleneck: whole commands."""
    large = _large_csv(place, GIGABYTE // 8 if quick else GIGABYTE // 2)
    commands = {str(workers): dsync(place, "--workers", str(workers), large, "/dev/null") for workers in (1, 2)}
    timings = measure.in_turn(commands, remove(place), runs)
    times = timings["1"].seconds / timings["2"].seconds
    yield Fact("two worker processes against one, CSV → null", times, "times", at_least=1.7)


def wire(place: Place, runs: int, quick: bool) -> Iterator[Fact]:
    """What the wire costs: the same file, read in this process and from a server on loopback in answers of 4 MB."""
    lines = place.folder / "wire.jsonl"
    data.write_lines(lines, THOUSAND if quick else MILLION)
    port = process.free_port()
    words = ["serve", "--address", f"127.0.0.1:{port}", "--page-size", "4MiB", str(lines)]
    server = process.start([sys.executable, "-m", "dsync", *words], place.folder / "wire.log")
    try:
        process.wait_ready(server, place.folder / "wire.log", lambda: process.listens(port))
        ends = {"direct": [str(lines)], "grpc": [f"grpc://127.0.0.1:{port}", "--insecure"]}
        commands = {name: dsync(place, "--workers", "1", *end, "/dev/null") for name, end in ends.items()}
        timings = measure.in_turn(commands, remove(place), runs)
    finally:
        process.stop(server)
    times = timings["direct"].seconds / timings["grpc"].seconds
    yield Fact("loopback gRPC against in-process, JSON lines → null", times, "times", at_least=0.5)


def memory(place: Place, runs: int, quick: bool) -> Iterator[Fact]:
    """Whether it stays where it is as the data grows: all processes together."""
    documents = MILLION if quick else 100 * MILLION
    size = ["--num-partitions-per-namespace", "16", "--num-docs-per-partition", str(documents // 16)]
    words = ["/dev/fakesource", *size, "/dev/null"]
    yield from _held(place, f"{documents // MILLION} million documents, fakesource → null", words, 400, quick)
    large = _large_csv(place, GIGABYTE // 4 if quick else 2 * GIGABYTE)
    name = f"CSV of {large.stat().st_size / GIGABYTE:.2g} GB → JSON lines"
    yield from _held(place, name, [large, place.folder / "large-out.jsonl"], 400, quick)
    if not quick:
        name = f"the same {MANY} times, CSV → JSON lines"
        yield from _held(place, name, [_many(large), f"{place.folder}/large-out/"], 400, quick)
    count = 60 if quick else 2000
    payload = ["--payload", "15000000", "--num-partitions-per-namespace", "8", "--num-docs-per-partition"]
    words = ["/dev/fakesource", *payload, str(count // 8), "/dev/null"]
    yield from _held(place, f"{count} documents of 15 MB, fakesource → null", words, 800, quick)


def _held(place: Place, name: str, words: Sequence[str | Path], most: int, quick: bool) -> Iterator[Fact]:
    remove(place, "large-out")()
    run = measure.once(dsync(place, *words))
    remove(place, "large-out")()
    yield Fact(f"memory, {name}", run.peak_bytes / MEGABYTE, "MB", at_most=most)
    if not quick:  # a slope wants a run of some seconds
        slope, error = (each / MEGABYTE for each in run.growth)
        yield Fact(f"growth, {name}", slope, "MB a minute", at_most=SLOPE_BYTES / MEGABYTE, error=error)


def _many(file: Path) -> Path:
    """A folder that has the file under many names."""
    folder = file.with_suffix("")
    folder.mkdir(exist_ok=True)
    for number in range(MANY):
        path = folder / f"rows{number}.csv"
        if not path.exists():
            path.hardlink_to(file)
    return folder


def _large_csv(place: Place, size: int) -> Path:
    """The generated rows again and again; ids repeat, which sinks without keys do not mind."""
    large = place.folder / f"large{size}.csv"
    if not large.exists():
        rows = replace(place, count=ROWS if size > GIGABYTE // 4 else ROWS // 10).csv()
        _repeat_rows(rows, large, -(-size // rows.stat().st_size))
    return large


def _repeat_rows(source: Path, target: Path, times: int) -> None:
    with source.open("rb") as rows, target.open("wb") as out:
        out.write(rows.readline())
        body = rows.tell()
        for _ in range(times):
            rows.seek(body)
            shutil.copyfileobj(rows, out, MEGABYTE)


def dask_cluster(place: Place, runs: int, quick: bool) -> Iterator[Fact]:
    """Two workers, one of them killed."""
    from bench.cluster import figures  # which brings Dask

    yield from figures(place, quick=quick)


Figure = Callable[[Place, int, bool], Iterator[Fact]]
GROUPS: dict[str, Figure] = {
    "start-up": start_up,
    "slow sink": slow_sink,
    "worker processes": worker_processes,
    "wire": wire,
    "memory": memory,
    "dask cluster": dask_cluster,
}


def chosen(only: Sequence[str]) -> list[Figure]:
    """The groups whose name contains one of the words; all where there are none."""
    return [group for name, group in GROUPS.items() if not only or any(word.lower() in name for word in only)]
