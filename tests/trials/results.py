"""What trials came to, as lines of JSON in the repository: one a part, with its seeds, and the code and versions it ran with."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.kit import mongod
from tests.trials.program import Summary

TOP = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).with_name("results")
# What a trial's outcome follows from, besides the trial itself.
CODE = ("dsync", "connectors")

Line = dict[str, Any]


class Results:
    """A file of results; lines of another code count for nothing."""

    def __init__(self, path: Path, code: str = "") -> None:
        self.path = path
        self.code = code or digest()

    def add(self, summary: Summary) -> None:
        """Appends a part's result."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = {**summary.to_json(), "code": self.code, **circumstances()}
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self, name: str) -> Iterator[Line]:
        """The lines of a kind."""
        text = self.path.read_text() if self.path.exists() else ""
        for line in map(json.loads, text.splitlines()):
            if line["kind"] == name and line["code"] == self.code:
                yield line

    def left(self, name: str, seeds: Iterable[int]) -> list[int]:
        """The seeds of a kind that were not run."""
        done = {seed for line in self.lines(name) for seed in seeds_of(line)}
        return [seed for seed in seeds if seed not in done]

    def wrong(self, name: str, seeds: Iterable[int]) -> list[Line]:
        """The outcomes among the seeds that went wrong."""
        wanted = set(seeds)
        return [outcome for line in self.lines(name) for outcome in line["wrong"] if outcome["seed"] in wanted]

    def table(self, wanted: dict[str, range]) -> Iterator[str]:
        """A row a kind: how many were run of how many, what went wrong, how long it took, what was counted."""
        for name, seeds in wanted.items():
            lines = list(self.lines(name))
            run = len(seeds) - len(self.left(name, seeds))
            seconds = sum(line["seconds"] for line in lines)
            counts: Counter[str] = sum((Counter(line["counts"]) for line in lines), Counter())
            counted = ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
            wrong = len(self.wrong(name, seeds))
            yield f"{name}: {run} of {len(seeds)} run, {wrong} wrong, {seconds:,.0f} s ({counted})"


def seeds_of(line: Line) -> range:
    """The seeds of a line."""
    return range(line["first_seed"], line["first_seed"] + line["trials"])


@functools.cache
def digest() -> str:
    """Stands for the code that the trials run: the same bytes, the same digest, whatever is committed around them."""
    found = hashlib.blake2b(digest_size=6)
    for path in sorted(path for folder in CODE for path in (TOP / folder).rglob("*.py")):
        found.update(f"{path.relative_to(TOP)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def circumstances() -> Line:
    """When and with what a part was run."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(TOP), "describe", "--always", "--dirty"),
        "python": platform.python_version(),
        "mongod": _said(str(mongod.binary()), "--version").partition("\n")[0].removeprefix("db version "),
        "pymongo": version("pymongo"),
        "grpcio": version("grpcio"),
        "cores": os.cpu_count(),
    }


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
