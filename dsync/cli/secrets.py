"""Secrets from a file or a command: for every option that a connector calls a secret, in one place.

What stands on a command line can be seen by everybody on the machine; files, commands and the environment cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dsync.connector import ConnectorSpec
from dsync.errors import UsageError

FILE, COMMAND = "_file", "_command"
# Longer ones are no secrets but the wrong file.
MOST_CHARACTERS = 64 << 10
COMMAND_SECONDS = 60.0
RANKS = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


def with_sources(options: Iterable[click.Option], secrets: Collection[str]) -> Iterator[click.Option]:
    """The options, with two more behind each secret one: for a file and for a command."""
    for option in options:
        yield option
        if option.name in secrets:
            yield click.Option([typed(option.name + FILE)], metavar="PATH", help="Read it from a file.")
            yield click.Option([typed(option.name + COMMAND)], metavar="COMMAND", help="Take what a command prints.")


def typed(name: str) -> str:
    """An option's name as it is typed."""
    return "--" + name.replace("_", "-")


def resolve(
    ctx: click.Context, values: Mapping[str, Any], secrets: Collection[str], in_uri: Collection[str] = ()
) -> dict[str, Any]:
    """The values with every secret read from where it was said to be.

    The nearest source counts: the URI, the command line, the environment, the configuration file. Raises UsageError where two of
    one kind are given, and where a file or command gives no secret; never with what they gave.
    """
    resolved = dict(values)
    for secret in secrets:
        names = [secret, secret + FILE, secret + COMMAND]
        given = sorted((_rank(ctx, name, in_uri), name) for name in names if values.get(name))
        for name in names[1:]:
            resolved.pop(name, None)
        if len(given) > 1 and given[0][0] == given[1][0]:
            raise UsageError(
                f"{typed(given[0][1])} and {typed(given[1][1])} exclude each other", remedy="give one of them"
            )
        if given:
            resolved[secret] = _read(given[0][1], values[given[0][1]])
    return resolved


def _rank(ctx: click.Context, name: str, in_uri: Collection[str]) -> int:
    source = ctx.get_parameter_source(name)
    return -1 if name in in_uri else RANKS.index(source) if source in RANKS else len(RANKS)


def _read(name: str, value: str) -> str:
    if name.endswith(FILE):
        return _checked(typed(name), _from_file(typed(name), value))
    return _checked(typed(name), _from_command(typed(name), value)) if name.endswith(COMMAND) else value


def _from_file(option: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_CHARACTERS + 1)
    except OSError as error:
        raise UsageError(f"{option} {path!r} cannot be read: {error.strerror}", remedy="check the path") from error


def _from_command(option: str, command: str) -> bytes:
    import shlex
    import subprocess  # 5 ms, needed by few

    try:
        done = subprocess.run(  # noqa: S603 - what the user asked for, without a shell
            shlex.split(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=False
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"the command of {option} cannot be run", remedy="check it in a shell") from error
    except subprocess.TimeoutExpired:
        raise UsageError(f"the command of {option} took over a minute", remedy="check it in a shell") from None
    if done.returncode:
        raise UsageError(
            f"the command of {option} ended with exit status {done.returncode}", remedy="check it in a shell"
        )
    return done.stdout


def _checked(option: str, found: bytes) -> str:
    try:
        text = found.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or len(text) > MOST_CHARACTERS:
        raise UsageError(f"what {option} names gives no secret", remedy="it has to be a line of text")
    return text


def note(spec: ConnectorSpec) -> str:
    """Where the secrets of a connector may come from, as a sentence; empty where it has none."""
    options = (*spec.options, *spec.source_options, *spec.sink_options)
    names = [typed(option.name) for option in options if option.name in spec.secrets]
    if not names:
        return ""
    variable = names[-1][2:].replace("-", "_").upper()
    return (
        f"What is secret ({', '.join(names)}) is better not typed: {names[-1]}-file PATH reads it from a file,"
        f" {names[-1]}-command COMMAND takes what a command prints, and DSYNC_SOURCE_{variable} or"
        f" DSYNC_DESTINATION_{variable} has it in the environment."
    )
