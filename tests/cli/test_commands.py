"""The command as people run it: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state-home")}


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dsync", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_copy_says_what_it_did_on_stderr(environment: dict[str, str]) -> None:
    done = run(environment, "/dev/fakesource", "--num-namespaces", "2", "/dev/null")
    assert (done.returncode, done.stdout) == (0, "")
    assert "fakesource.docs1: 1,000 documents" in done.stderr
    assert re.search(r"2,000 documents, \d+\.\d kB in \d", done.stderr)


def test_documents_go_to_stdout_where_they_were_asked_for(environment: dict[str, str]) -> None:
    done = run(
        environment,
        "--mode",
        "InitialSync",
        "/dev/fakesource",
        "--num-docs-per-partition",
        "3",
        "/dev/null",
        "--log-json",
    )
    assert done.returncode == 0
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 3


def test_without_words_it_shows_its_help_and_fails(environment: dict[str, str]) -> None:
    done = run(environment)
    assert done.returncode == 2
    assert "dsync people.csv mongodb://localhost/demo" in done.stderr


def test_a_plan_touches_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(environment, "plan", "/dev/fakesource", "--num-partitions-per-namespace", "3", "/dev/null")
    assert done.returncode == 0
    assert "fakesource.docs1 -> fakesource.docs1: 3 partitions, about 3,000 documents, about 300.0 kB" in done.stdout
    assert not (tmp_path / "state-home").exists()


def test_global_options_may_stand_between_a_command_and_its_source(environment: dict[str, str], tmp_path: Path) -> None:
    ends = ("--num-docs-per-partition", "3", "/dev/null")
    done = run(environment, "plan", "--ns", "fakesource.docs1:x", "--workers", "1", "/dev/fakesource", *ends)
    assert "fakesource.docs1 -> x: 1 partition, about 3 documents" in done.stdout
    wrong = run(environment, "plan", "--no-such", "/dev/fakesource", "/dev/null")
    assert wrong.returncode == 2
    assert "--no-such" in wrong.stderr
    where = ("--metadata", str(tmp_path / "state.db"))
    assert run(environment, *where, "/dev/fakesource", "/dev/null").returncode == 0
    listed = run(environment, "state", "list", *where).stdout
    assert listed == run(environment, *where, "state", "list").stdout
    assert run(environment, "state", "reset", listed.split()[0], *where).returncode == 0


def test_flows_are_listed_shown_and_forgotten(environment: dict[str, str]) -> None:
    assert run(environment, "--flow", "nightly", "/dev/fakesource", "/dev/null").returncode == 0
    listed = run(environment, "state", "list").stdout
    flow = listed.split()[0]
    assert "copied" in listed
    assert "nightly" in listed
    shown = json.loads(run(environment, "state", "show", flow).stdout)
    assert shown["namespaces"] == {"fakesource.docs1": {"partitions": 1, "done": 1, "documents": 1000}}
    assert run(environment, "state", "reset", flow).returncode == 0
    assert run(environment, "state", "list").stdout == ""
    missing = run(environment, "state", "show", flow)
    assert missing.returncode == 1
    assert "dsync state list shows them" in missing.stderr


def test_cleanup_forgets_the_flow_of_its_own_command_line(environment: dict[str, str]) -> None:
    ends = ("/dev/fakesource", "/dev/null")
    run(environment, *ends)
    assert run(environment, "--cleanup", *ends).returncode == 0
    assert run(environment, "state", "list").stdout == ""


def test_credentials_are_not_shown(environment: dict[str, str]) -> None:
    for words in (
        ("mongodb://u:canary@host/db",),
        ("/dev/fakesource", "/dev/null", "mongodb://u:canary@host/db"),
        ("s4://u:canary@host/db", "/dev/null"),
        ("/dev/fakesource", "x9://h/p?password=canary"),
    ):
        done = run(environment, *words)
        assert done.returncode == 2
        assert "canary" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_soon_and_the_same_command_goes_on(
    environment: dict[str, str], number: signal.Signals
) -> None:
    words = ("--mode", "InitialSync", "/dev/fakesource", "--num-docs-per-partition", "40000", "--batch-size", "100")
    slow = (*words, "--sleep", "10", "/dev/null", "--writer-batch-size", "100")
    process = subprocess.Popen(
        [sys.executable, "-m", "dsync", *slow],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(1.5)
    started = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - started < 6
    assert process.returncode == 128 + number
    assert "the same command again" in errors
    again = run(environment, *slow)
    assert again.returncode == 0, again.stderr
    assert "by earlier runs" in again.stderr


def test_the_second_signal_leaves_at_once(environment: dict[str, str]) -> None:
    words = ("/dev/fakesource", "/dev/null", "--sleep", "30000")
    process = subprocess.Popen(
        [sys.executable, "-m", "dsync", *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(3) == 130
    process.communicate()


def test_completion_scripts_are_printed(environment: dict[str, str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_DSYNC_COMPLETE" in run(environment, "completion", shell).stdout


def test_the_version_is_printed(environment: dict[str, str]) -> None:
    assert re.match(r"dsync \d+\.\d+", run(environment, "--version").stdout)
