"""The pages say what the program does: generated parts are fresh, nothing is undocumented, examples run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from dsync import registry
from dsync.cli import options
from dsync.cli.program import COMMANDS, program
from dsync.connector import ConnectorSpec
from tests.kit.cli import TOP

REFERENCE = (TOP / "docs" / "reference.md").read_text()


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
