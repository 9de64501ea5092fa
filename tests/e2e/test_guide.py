"""docs/write-a-connector.md, followed word for word: in another folder, with a virtual environment of its own.

The network is not needed: what pip would fetch is found beside it, in the packages of the environment that runs the tests.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from tests.kit.cli import TOP, Dsync

PAGE = (TOP / "docs" / "write-a-connector.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
# What differs from machine to machine: counts of tests, times, rates, sizes of what is written down.
VARIES = (
    (re.compile(r" in [\d.,]+ s \([^)]*\)|[\d.,]+ s$", re.MULTILINE), " in a while"),
    (re.compile(r"\b\d+ (passed|skipped|deselected)"), r"some \1"),
    (re.compile(r"in [\d.]+s( \([\d:]+\))?$", re.MULTILINE), "in a while"),
)
MARK = "@@ step"
# What virtual environments are made of, for one that runs the tests too.
BASE_PYTHON: str = vars(sys)["_base_executable"]


def edit(folder: Path, diff: str) -> None:
    """Makes the changes of a block as a reader would: `--- FILE`, then lines that are there and lines to add."""
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name, *lines = part.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        text = (folder / name).read_text()
        assert text.count(before) == 1, f"{name} has this {text.count(before)} times: {before}"
        first = next(index for index, line in enumerate(lines) if line.startswith("+"))
        added = [line[1:] for line in lines if line.startswith("+")]
        kept = [line[1:] for line in lines if not line.startswith("+")]
        # a line that is there and follows alone is where the new ones go before
        at = first if first < len(kept) else first - 1
        after = "".join(f"{line}\n" for line in [*kept[:at], *added, *kept[at:]])
        (folder / name).write_text(text.replace(before, after))


def script(steps: Path) -> str:
    """All commands and edits in one shell, a mark before each."""
    lines, number = ["set -e"], 0
    for kind, body in BLOCKS:
        if kind == "console":
            for command, _ in COMMAND.findall(body):
                lines += [f"echo {shlex.quote(f'{MARK} {number}')}", command]
                number += 1
        elif kind == "diff":
            path = steps / f"edit{len(lines)}.diff"
            path.write_text(body)
            code = "import pathlib, sys; from tests.e2e.test_guide import edit; edit(pathlib.Path(), open(sys.argv[1]).read())"
            lines.append(
                f"PYTHONPATH={shlex.quote(str(TOP))} {shlex.quote(sys.executable)} -c {shlex.quote(code)} {shlex.quote(str(path))}"
            )
    return "\n".join(lines)


def variables(folder: Path) -> dict[str, str]:
    """pip takes what is there, and nothing from elsewhere; python3 is of the version that runs the tests."""
    python = folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(BASE_PYTHON)} "$@"\n')
    python.chmod(0o755)
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    mine = Dsync(folder).variables() | offline
    mine["PATH"] = f"{python.parent}:{mine['PATH']}"
    return mine | {"PYTHONPATH": sysconfig.get_paths()["purelib"], "PYTEST_ADDOPTS": "-p no:cacheprovider -p no:xdist"}


def normal(text: str) -> str:
    for pattern, instead in VARIES:
        text = pattern.sub(instead, text)
    return text


def assert_printed(command: str, expected: str, printed: str) -> None:
    """Every line that the page shows was printed, in its order; `...` stands for any others."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(re.escape("..."), ".*") + r"\n"
        for line in normal(expected).splitlines()
    )
    assert re.fullmatch(pattern, normal(printed)), f"{command}\n{normal(printed)}\nis not\n{normal(expected)}"


@pytest.mark.timeout(600)
def test_the_guide_followed_word_for_word_makes_a_connector(tmp_path: Path) -> None:
    (tmp_path / "dsync").symlink_to(TOP)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-c", script(tmp_path)],
        cwd=work,
        env=variables(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    steps = [step for kind, body in BLOCKS if kind == "console" for step in COMMAND.findall(body)]
    printed = [part.partition("\n")[2] for part in done.stdout.split(f"{MARK} ")[1:]]
    assert len(printed) == len(steps)
    for (command, expected), output in zip(steps, printed, strict=True):
        assert_printed(command, expected, output)
    assert sum(1 for output in printed if "100,000 documents" in output) == 3


def test_what_the_guide_quotes_is_what_the_package_has(tmp_path: Path, dsync: Dsync) -> None:
    dsync("new-connector", "notes", "--folder", tmp_path / "notes")
    texts = [path.read_text() for path in (tmp_path / "notes").rglob("*") if path.is_file()]
    quoted = [body for kind, body in BLOCKS if kind in ("python", "toml")]
    assert len(quoted) >= 5
    for body in quoted:
        assert any(textwrap.dedent(body) in textwrap.dedent(text) or body in text for text in texts), body
