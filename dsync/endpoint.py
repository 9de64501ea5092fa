"""One end of a run: a URI with its connector's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dsync import registry
from dsync.connector import Connector, ConnectorSpec
from dsync.redact import redact
from dsync.transform import Transform

Role = Literal["source", "destination", "transform"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URI and its options, enough to make the connector in any process."""

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

    def create_transform(self) -> Transform:
        """The transform that the URI names, not yet open. Raises UsageError where it names none."""
        return registry.create_transform(self.spec, self.uri, self.options)

    def lasting_options(self) -> dict[str, Any]:
        """The options that a flow remembers: all but secrets and tuning, without those that are unset."""
        spec = self.spec
        volatile = spec.secrets | spec.tuning
        return {k: v for k, v in sorted(self.options.items()) if k not in volatile and v not in (None, (), "", False)}
