"""Reads `SOURCE [its options] DESTINATION [its options]` from the words of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource
from msgspec import Struct

from dsync import registry
from dsync.cli import options, secrets
from dsync.connector import ConnectorSpec
from dsync.endpoint import DIRECTIONS, Endpoint, Role, own_options, roles_of, split_query
from dsync.errors import UsageError
from dsync.redact import redact

REST = "words"


class Taken(Struct, frozen=True):
    """An endpoint, the global options that stood behind it, and the words that are left."""

    endpoint: Endpoint
    global_options: dict[str, Any]
    rest: list[str]


def take_endpoint(
    ctx: click.Context,
    role: Role,
    words: Sequence[str],
    config: Mapping[str, Any],
    *,
    both: bool = False,
    extra: Sequence[click.Option] = (),
) -> Taken:
    """The first word as an endpoint, with the options behind it up to the next bare word.

    `both` takes the options of the other role too, for an endpoint that serves as either; `extra` are a command's own, which may
    stand here like the global ones. `config` has the options of this endpoint from the configuration file, and may have its
    `uri`. Raises click.UsageError that says what is missing or unknown and where to look.
    """
    config = dict(config)
    uri, behind = _take_uri(ctx, role, words, config.pop("uri", None))
    spec = registry.spec_of(uri)
    if role not in roles_of(spec):
        raise click.UsageError(f"{spec.name} cannot be {DIRECTIONS[role]}; it can be a {roles_of(spec)[0]}", ctx)
    uri, in_uri = split_query(uri, spec)
    own = tuple(secrets.with_sources(own_options(spec, role, both=both), spec.secrets))
    command = endpoint_command(spec, own, extra)
    try:
        sub = command.make_context(
            spec.name,
            behind,
            parent=ctx,
            auto_envvar_prefix=f"DSYNC_{role.upper()}",
            default_map={name.replace("-", "_"): value for name, value in config.items()},
            allow_interspersed_args=False,
        )
    except click.NoSuchOption as error:
        raise _unknown_option(ctx, spec, role, error) from None
    names = {option.name or "" for option in own}
    _refuse_unknown(ctx, spec, role, config, names)
    values = {name: value for name, value in sub.params.items() if name in names}
    values |= _from_uri(sub, command, spec, in_uri)
    values = secrets.resolve(sub, values, spec.secrets, {key.replace("-", "_") for key, _ in in_uri})
    typed_globals = {
        name: value
        for name, value in sub.params.items()
        if name not in values and name != REST and sub.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return Taken(Endpoint(uri, values), typed_globals, list(sub.params[REST]))


def endpoint_command(
    spec: ConnectorSpec, own: Sequence[click.Option], extra: Sequence[click.Option] = ()
) -> click.Command:
    """A command whose options are the connector's, and the extra and global ones whose names it leaves free."""
    taken = {name for option in own for name in (*option.opts, *option.secondary_opts)}
    free = [option for option in (*extra, *options.BEHIND) if not taken.intersection(option.opts)]
    rest = click.Argument([REST], nargs=-1, type=click.UNPROCESSED)
    return click.Command(spec.name, params=[*own, *free, rest], add_help_option=False)


def _take_uri(ctx: click.Context, role: Role, words: Sequence[str], configured: str | None) -> tuple[str, list[str]]:
    if words and not (words[0].startswith("-") and len(words[0]) > 1):
        if not words[0]:
            raise click.UsageError(f"{role.upper()} is empty; give a URI or a path", ctx)
        return words[0], list(words[1:])
    if configured:
        return str(configured), list(words)
    wrong = f"{words[0]!r} is no option here, and " if words else ""
    raise click.UsageError(
        f"{wrong}{role.upper()} is missing; write: dsync [options] SOURCE [source options] DESTINATION [destination options]"
        " [TRANSFORM [options]]",
        ctx,
    )


def _from_uri(
    sub: click.Context, command: click.Command, spec: ConnectorSpec, pairs: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Options of the URI's query, converted as the command line converts them; they win over all others."""
    by_name = {parameter.name: parameter for parameter in command.params}
    values: dict[str, Any] = {}
    for key, text in pairs:
        name = key.replace("-", "_")
        if name not in by_name or name == REST:
            raise click.UsageError(
                f"{spec.name} has no option {key!r} for its URI; dsync help {spec.name} lists them", sub
            )
        parameter = by_name[name]
        values[name] = parameter.type_cast_value(sub, [text] if parameter.multiple else text)
    return values


def _unknown_option(ctx: click.Context, spec: ConnectorSpec, role: Role, error: click.NoSuchOption) -> click.UsageError:
    name = error.option_name
    if any(name in option.opts for option in options.GLOBAL):
        return click.UsageError(f"{name} is an option of dsync; put it before SOURCE", ctx)
    others = [each for each in roles_of(spec) if any(name in option.opts for option in own_options(spec, each))]
    if others:
        instead = f"it is an option of {spec.name} as a {others[0]}"
    else:
        near = f"did you mean {error.possibilities[0]}? " if error.possibilities else ""
        instead = f"{near}dsync help {spec.name} lists its options"
    return click.UsageError(f"{spec.name} has no option {name} as a {role}; {instead}", ctx)


def _refuse_unknown(
    ctx: click.Context, spec: ConnectorSpec, role: Role, config: Mapping[str, Any], names: set[str]
) -> None:
    for name in config:
        if name.replace("-", "_") not in names:
            raise click.UsageError(
                f"the configuration file's {role!r} has {name!r}, which {spec.name} does not know;"
                f" dsync help {spec.name} lists its options",
                ctx,
            )


def take_both(
    ctx: click.Context,
    words: Sequence[str],
    config: Mapping[str, Any],
    *,
    read_both: bool = False,
    extra: Sequence[click.Option] = (),
) -> tuple[Endpoint, Endpoint, dict[str, Any]]:
    """Source, destination, and the global options with those that stood behind the endpoints, `extra` ones among them.

    `read_both` lets the destination have the options of a source too. The options' `transform` is the third endpoint, or None.
    """
    before, words = take_leading(ctx, words, extra)
    source = take_endpoint(ctx, "source", words, _ends_of(config, "source"), extra=extra)
    at_destination = _ends_of(config, "destination")
    destination = take_endpoint(ctx, "destination", source.rest, at_destination, both=read_both, extra=extra)
    behind = [before, source.global_options, destination.global_options]
    transform, rest = None, destination.rest
    at_transform = _ends_of(config, "transform")
    if rest or at_transform.get("uri"):
        _refuse_third_end(ctx, rest)
        taken = take_endpoint(ctx, "transform", rest, at_transform, extra=extra)
        transform, rest = taken.endpoint, taken.rest
        behind.append(taken.global_options)
    if rest:
        raise click.UsageError(f"nothing is expected after TRANSFORM, but there is {redact(rest[0])!r}", ctx)
    return source.endpoint, destination.endpoint, options.merge(ctx.params, behind) | {"transform": transform}


def _refuse_third_end(ctx: click.Context, rest: Sequence[str]) -> None:
    if rest and not rest[0].startswith("-") and not registry.spec_of(rest[0]).transform:
        raise click.UsageError(
            f"nothing but a transform is expected after DESTINATION, but there is {redact(rest[0])!r}; write grpc://host:port or"
            " python:package.module:function",
            ctx,
        )


def take_leading(
    ctx: click.Context, words: Sequence[str], extra: Sequence[click.Option] = ()
) -> tuple[dict[str, Any], list[str]]:
    """(global options that stand between a command's name and SOURCE, the words that are left)."""
    if not words or not words[0].startswith("-") or len(words[0]) == 1:
        return {}, list(words)
    rest = click.Argument([REST], nargs=-1, type=click.UNPROCESSED)
    command = click.Command("dsync", params=[*extra, *options.BEHIND, rest], add_help_option=False)
    try:
        sub = command.make_context("dsync", list(words), parent=ctx, allow_interspersed_args=False)
    except click.NoSuchOption:
        # whoever takes the endpoint says what is wrong
        return {}, list(words)
    typed = {
        name: value
        for name, value in sub.params.items()
        if name != REST and sub.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return typed, list(sub.params[REST])


def _ends_of(config: Mapping[str, Any], role: Role) -> Mapping[str, Any]:
    part = config.get(role) or {}
    if not isinstance(part, Mapping):
        raise UsageError(
            f"the configuration file's {role!r} is not a map", remedy=f"write {role}: and below it one option a line"
        )
    return part
