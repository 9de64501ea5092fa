"""The commands of docs/serving.md work as they stand there, but for the ports."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from pathlib import Path

from tests.kit import process
from tests.kit.cli import TOP, Dsync
from tests.wire.certificates import authority

PAGE = (TOP / "docs" / "serving.md").read_text()


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    shutil.copytree(TOP / "test_data", tmp_path / "test_data")
    ours = authority(tmp_path, "ours")
    for name in ("server", "client"):
        ours.sign(name)
    (tmp_path / "token").write_text("open-sesame\n")
    dsync = Dsync(tmp_path)
    ports = {port: str(process.free_port()) for port in set(re.findall(r":(\d{4})\b", PAGE))}
    lines = re.findall(r"^\$ dsync (.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 6
    with contextlib.ExitStack() as ending:
        for line in lines:
            words = shlex.split(re.sub(r":(\d{4})\b", lambda match: ":" + ports[match[1]], line))
            if words[0] == "serve":
                server = dsync.start(*words)
                ending.callback(server.communicate)
                ending.callback(server.kill)
                assert server.stderr is not None
                said = server.stderr.readline().decode()
                assert said.startswith("serving "), said
            else:
                dsync(*words)
    copies = [(tmp_path / f"people{number}.jsonl").read_text() for number in ("", 2, 3)]
    assert copies[0].count("\n") == 12
    assert copies[1:] == copies[:1] * 2
