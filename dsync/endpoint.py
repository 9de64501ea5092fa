"""One end of a run: a URI with its connector's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import parse_qsl

from dsync import registry
from dsync.connector import Connector, ConnectorSpec
from dsync.errors import UsageError
from dsync.redact import redact
from dsync.transform import Transform

if TYPE_CHECKING:
    import click

Role = Literal["source", "destination", "transform"]
# What an endpoint cannot be where it lacks the role.
DIRECTIONS: dict[Role, str] = {"source": "read from", "destination": "written to", "transform": "used as a transform"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URI and its options, enough to make the connector in any process.

    Options have the names of the command line's, in snake_case: `Endpoint("s3://bucket/x", {"region": "eu-west-1"})`.
    """

    uri: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> ConnectorSpec:
        """The connector's description."""
        return registry.spec_of(self.uri)

    @property
    def shown(self) -> str:
        """The URI without credentials."""
        return redact(self.uri)

    def create(self) -> Connector:
        """The connector, not yet open."""
        return registry.create(self.spec, self.uri, self.options)

    def load(self) -> None:
        """Imports what `create` needs. Raises UsageError where its driver is not installed."""
        registry.load(self.spec)

    def create_transform(self) -> Transform:
        """The transform that the URI names, not yet open. Raises UsageError where it names none."""
        return registry.create_transform(self.spec, self.uri, self.options)

    def lasting_options(self) -> dict[str, Any]:
        """The options that a flow remembers: all but secrets and tuning, without those that are unset."""
        spec = self.spec
        volatile = spec.secrets | spec.tuning
        return {k: v for k, v in sorted(self.options.items()) if k not in volatile and v not in (None, (), "", False)}


# What a program may give as an end: a URI as on the command line, one with options, or a connector of its own.
End: TypeAlias = str | Endpoint | Connector


def settled(end: End, role: Role, *, both: bool = False) -> Endpoint | Connector:
    """The end as a run takes it: options checked, converted and completed as the command line does it.

    Connectors are taken as they are. `both` allows the options of the other role too, for an end that serves as either. Raises
    UsageError for an unknown scheme or option, and for a store that cannot have the role.
    """
    if isinstance(end, Connector):
        return end
    given = Endpoint(end) if isinstance(end, str) else end
    spec = given.spec
    if role not in roles_of(spec):
        raise UsageError(f"{spec.name} cannot be {DIRECTIONS[role]}", remedy=f"it can be a {roles_of(spec)[0]}")
    uri, in_uri = split_query(given.uri, spec)
    return Endpoint(uri, _checked(spec, own_options(spec, role, both=both), {**given.options, **_named(in_uri)}))


def settled_transform(given: str | Endpoint | Transform | None) -> Endpoint | Transform | None:
    """The same for a transform; None is none. Raises UsageError."""
    if given is None or isinstance(given, Transform):
        return given
    end = settled(given, "transform")
    assert isinstance(end, Endpoint)
    return end


def own_options(spec: ConnectorSpec, role: Role, *, both: bool = False) -> tuple[click.Option, ...]:
    """The connector's options in a role, or in both: of two of one name then the source's, which takes more."""
    as_source = spec.source_options if both or role == "source" else ()
    as_sink = spec.sink_options if both or role == "destination" else ()
    taken = {name for option in as_source for name in option.opts}
    return (*spec.options, *as_source, *(option for option in as_sink if not taken.intersection(option.opts)))


def split_query(uri: str, spec: ConnectorSpec) -> tuple[str, list[tuple[str, str]]]:
    """The URI without its query, and the options that stand there; untouched where the store has queries of its own."""
    if not spec.uri_options or "://" not in uri or "?" not in uri:
        return uri, []
    bare, _, query = uri.partition("?")
    return bare, parse_qsl(query, keep_blank_values=True)


def roles_of(spec: ConnectorSpec) -> list[Role]:
    """What an endpoint of this kind can be, at least one."""
    can: dict[Role, bool] = {"source": spec.source, "destination": spec.sink, "transform": bool(spec.transform)}
    return [role for role, holds in can.items() if holds]


def _named(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Options of a query by name; one that is repeated is a list."""
    values: dict[str, list[str]] = {}
    for key, text in pairs:
        values.setdefault(key.replace("-", "_"), []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}


def _checked(spec: ConnectorSpec, own: Sequence[click.Option], given: Mapping[str, Any]) -> dict[str, Any]:
    import click

    known = {option.name or "": option for option in own}
    for name in given:
        if name not in known:
            remedy = f"{_near(name, known)}dsync help {spec.name} lists them"
            raise UsageError(f"{spec.name} has no option {name!r} here", remedy=remedy)
    listed = {
        name: [v] if known[name].multiple and isinstance(v, str) else v for name, v in given.items() if v is not None
    }
    command = click.Command(spec.name, params=list(own), add_help_option=False)
    try:
        with command.make_context(spec.name, [], default_map=listed) as context:
            return dict(context.params)
    except click.UsageError as error:
        raise UsageError(f"{spec.name}: {error.format_message()}") from None


def _near(name: str, known: Mapping[str, object]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}? " if near else ""
