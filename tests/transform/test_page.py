"""docs/transforms.md says what happens: its function and its commands run as they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kit import process
from tests.kit.cli import TOP, Dsync

PAGE = (TOP / "docs" / "transforms.md").read_text()
# What differs from run to run: time and rates.
TIMING = re.compile(r" in [\d.,]+ s \([^)]*\)|[\d.,]+ s$", re.MULTILINE)


@pytest.fixture
def work(tmp_path: Path) -> Dsync:
    """A folder as the page has it."""
    shutil.copytree(TOP / "test_data", tmp_path / "test_data")
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "people.py").write_text(block)
    return Dsync(tmp_path)


def run(work: Dsync, line: str) -> str:
    """All that a line of the page prints."""
    command = work.command(*shlex.split(line)[1:])
    done = subprocess.run(
        command, cwd=work.folder, env=work.variables(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_commands_of_the_page_print_what_stands_there(work: Dsync) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    examples = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    assert len(examples) >= 3
    for line, output in examples:
        assert TIMING.sub(" in a while", run(work, line)) == TIMING.sub(" in a while", output), line


def test_the_same_function_serves_from_another_process(work: Dsync) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    serve, copy = (line.replace("9100", str(port)) for port in [process.free_port()] for line in block.splitlines())
    port = int(re.findall(r":(\d+) ", serve)[0])
    log = work.folder / "serve.log"
    words = work.command(*shlex.split(serve.removesuffix(" &"))[1:])
    variables = work.variables() | {"PYTHONPATH": f"{work.variables()['PYTHONPATH']}:{work.folder}"}
    server = process.start(words, log, variables)
    try:
        process.wait_ready(server, log, lambda: process.listens(port))
        run(work, copy)
    finally:
        process.stop(server)
    assert (work.folder / "people" / "people" / "Enugu.jsonl").read_text() == '{"_id":"2","name":"Okafor, Chidi"}\n'
