"""Other programs for the same work, timed beside dsync where they are on the PATH."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

ELF = b"\x7fELF"


def dump_and_restore(uri: str, source: str, target: str) -> dict[str, list[str]]:
    """mongodump | mongorestore of a database within one server."""
    if not (shutil.which("mongodump") and shutil.which("mongorestore")):
        return {}
    reading = ["mongodump", "--quiet", f"--uri={uri}", f"--db={source}", "--archive"]
    writing = ["mongorestore", "--quiet", f"--uri={uri}", "--archive", f"--nsFrom={source}.*", f"--nsTo={target}.*"]
    both = f"set -o pipefail; {shlex.join(reading)} | {shlex.join(writing)}"
    return {"mongodump | mongorestore": ["bash", "-c", both]}


def go_dsync(*words: str) -> dict[str, list[str]]:
    """The Go dsync, which understands the same words."""
    found = next(_go_programs("dsync"), None)
    return {"dsync in Go": [found, "--mode", "InitialSync", *words]} if found else {}


def _go_programs(name: str) -> Iterator[str]:
    """Programs on the PATH under this name that are compiled: not this one."""
    for folder in os.get_exec_path():
        path = Path(folder, name)
        if os.access(path, os.X_OK) and path.is_file():
            with path.open("rb") as file:
                if file.read(len(ELF)) == ELF:
                    yield str(path)


def named(others: Sequence[dict[str, list[str]]]) -> dict[str, list[str]]:
    """All of them together."""
    return {name: command for each in others for name, command in each.items()}
