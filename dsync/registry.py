"""URI -> connector: a table of strings and the entry points of other packages, imported only when used."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dsync.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from dsync.connector import Connector, ConnectorSpec
    from dsync.transform import Transform

GROUP = "dsync.connectors"

# scheme -> "module:attribute" of a ConnectorSpec
BUILT_IN = {
    "fakesource": "connectors.random:FAKESOURCE",
    "file": "connectors.file:SPEC",
    "grpc": "dsync.wire.spec:SPEC",
    "mongodb": "connectors.mongo:SPEC",
    "mongodb+srv": "connectors.mongo:SPEC",
    "null": "connectors.null:SPEC",
    "python": "dsync.transform.spec:SPEC",
    "random": "connectors.random:RANDOM",
    "s3": "connectors.s3:SPEC",
    "testconn": "connectors.testconn:SPEC",
}

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(python):")
DEVICES = {"/dev/null": "null", "/dev/random": "random", "/dev/fakesource": "fakesource"}


def scheme_of(uri: str) -> str:
    """The scheme that a URI or path goes by; everything without one is a file."""
    if uri in DEVICES:
        return DEVICES[uri]
    match = SCHEME.match(uri)
    return (match[1] or match[2]).lower() if match else "file"


def spec_of(uri: str) -> ConnectorSpec:
    """The connector of a URI. Raises UsageError that names the known schemes and the nearest."""
    return spec_of_scheme(scheme_of(uri))


def spec_of_scheme(scheme: str) -> ConnectorSpec:
    """The connector of a scheme. Raises UsageError that names the known ones and the nearest."""
    target = BUILT_IN.get(scheme)
    if target is not None:
        return _load(target)
    others = entry_points()
    if scheme in others:
        return _load_entry_point(others[scheme])
    known = sorted({*BUILT_IN, *others})
    near = difflib.get_close_matches(scheme, known, 1, cutoff=0.5)  # "s4" is half of "s3"
    guess = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"no connector for {scheme!r}", remedy=f"{guess}known are {', '.join(known)}")


def entry_points() -> dict[str, EntryPoint]:
    """Connectors of installed packages, by scheme."""
    from importlib.metadata import entry_points as installed  # 20 ms, needed only for schemes that are not built in

    return {point.name: point for point in installed(group=GROUP)}


def schemes() -> list[str]:
    """Every known scheme, sorted."""
    return sorted({*BUILT_IN, *entry_points()})


def create(spec: ConnectorSpec, uri: str, options: Mapping[str, Any]) -> Connector:
    """The connector itself, not yet open. Raises UsageError where its driver is not installed."""
    connector: Connector = _factory(spec, spec.factory)(uri, options)
    return connector


def load(spec: ConnectorSpec) -> None:
    """Imports the connector's code. Raises UsageError where its driver is not installed."""
    _factory(spec, spec.factory)


def create_transform(spec: ConnectorSpec, uri: str, options: Mapping[str, Any]) -> Transform:
    """The transform itself, not yet open. Raises UsageError where the scheme has none, or its driver is not installed."""
    if not spec.transform:
        raise UsageError(
            f"{spec.name} is no transform", remedy="give grpc://host:port or python:package.module:function"
        )
    transform: Transform = _factory(spec, spec.transform)(uri, options)
    return transform


def _factory(spec: ConnectorSpec, target: str) -> Callable[[str, Mapping[str, Any]], Any]:
    module, _, attribute = target.partition(":")
    try:
        factory: Callable[[str, Mapping[str, Any]], Any] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if spec.extra and not (error.name or "").startswith(("dsync", "connectors")):
            raise UsageError(
                f"{spec.name} needs the package {error.name!r}", remedy=f"pip install 'dsync[{spec.extra}]'"
            ) from error
        raise
    return factory


def _load(target: str) -> ConnectorSpec:
    module, _, attribute = target.partition(":")
    spec: ConnectorSpec = getattr(importlib.import_module(module), attribute)
    return spec


def _load_entry_point(point: EntryPoint) -> ConnectorSpec:
    try:
        spec: ConnectorSpec = point.load()
    except Exception as error:
        raise UsageError(
            f"the connector {point.name!r} of {point.value!r} cannot be loaded: {type(error).__name__}: {error}",
            remedy="reinstall the package that brings it",
        ) from error
    return spec
