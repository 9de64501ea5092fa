"""The pages say what the program does: generated parts are fresh, nothing is undocumented, examples run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from dsync import registry
from dsync.cli import options
from dsync.cli.program import COMMANDS, program
from dsync.connector import ConnectorSpec
from tests.kit.cli import TOP, Dsync

REFERENCE = (TOP / "docs" / "reference.md").read_text()
README = (TOP / "README.md").read_text()
# What differs from run to run: time and rates.
TIMING = re.compile(r" in [\d.,]+ s \([^)]*\)|[\d.,]+ s$", re.MULTILINE)


def specs() -> Iterator[ConnectorSpec]:
    return (registry.spec_of_scheme(scheme) for scheme in registry.BUILT_IN)


def every_option() -> Iterator[click.Option]:
    yield from options.GLOBAL
    for spec in specs():
        yield from (*spec.options, *spec.source_options, *spec.sink_options)
    ctx = click.Context(program)
    for name in COMMANDS:
        command = program.get_command(ctx, name)
        assert command is not None
        yield from (each for each in command.params if isinstance(each, click.Option))


def test_the_generated_parts_of_the_pages_are_fresh() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.docs", "--check"], cwd=TOP, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_command_is_documented() -> None:
    assert [name for name in COMMANDS if f"### dsync {name}" not in REFERENCE] == []


def test_every_option_is_documented_by_all_its_names_and_has_a_help_text() -> None:
    shown = [option for option in every_option() if not option.hidden]
    assert [option.opts for option in shown if not option.help] == []
    assert [name for option in shown for name in option.opts if f"`{name}`" not in REFERENCE] == []


def test_every_connector_shows_examples_and_names_only_options_it_has() -> None:
    for spec in specs():
        assert spec.examples, spec.name
        names = {option.name for option in (*spec.options, *spec.source_options, *spec.sink_options)}
        assert names >= spec.secrets | spec.tuning, spec.name


@pytest.mark.parametrize("scheme", sorted(registry.BUILT_IN))
def test_every_example_uri_belongs_to_its_connector(scheme: str) -> None:
    spec = registry.spec_of_scheme(scheme)
    for example in spec.examples:
        assert registry.spec_of(example.split()[0]) is spec, example


@pytest.fixture
def shell(
    tmp_path: Path, mongo_uri: str, s3_endpoint: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Runs a line as a reader of the README would, with our servers in the place of theirs; answers all it printed."""
    import boto3

    client = boto3.client("s3", endpoint_url=s3_endpoint)
    if "backup" not in {each["Name"] for each in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket="backup")
    shutil.copytree(TOP / "test_data", tmp_path / "test_data")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "dsync"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dsync "$@"\n')
    program.chmod(0o755)
    environment = Dsync(tmp_path).variables() | {"AWS_ENDPOINT_URL_S3": s3_endpoint}
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"

    def run(line: str) -> str:
        line = line.replace("mongodb://localhost/demo", shlex.quote(mongo_uri.replace("/?", f"/{database}?")))
        line = line.replace("demo.", f"{database}.")
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.replace(database, "demo")

    return run


def console_examples() -> list[tuple[str, str]]:
    """Every line after a `$` in the README's console blocks, with the output that stands below it."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [
        (line, output)
        for block in blocks
        for line, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def test_the_commands_of_the_readme_print_what_stands_there(shell: Callable[[str], str]) -> None:
    examples = console_examples()
    assert len(examples) >= 5
    for line, output in examples:
        assert TIMING.sub(" in a while", shell(line)) == TIMING.sub(" in a while", output), line


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shutil.copytree(TOP / "test_data", tmp_path / "test_data")
    variables = Dsync(tmp_path).variables()
    command = [sys.executable, "-c", block]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "12 documents\n"), done.stderr
