"""Where the steps of a copy run, as `--engine` names it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from dsync.errors import UsageError

LOCAL = "local"
DEFAULT_PORT = 8786
# What an engine may be called -> how Dask calls the connection.
SCHEMES = {"dask": "tcp", "tcp": "tcp", "tls": "tls"}
# Options of the query, in seconds, with what they may be.
SECONDS = {"lease": (2.0, 600.0), "wait": (0.0, 86_400.0)}
FILES = ("ca", "cert", "key")
FORM = "local, dask://HOST:8786 or tls://HOST:8786"


class DaskEngine(Struct, frozen=True):
    """A Dask cluster by its scheduler's address. The rest may stand in the URI's query, as in `dask://host?lease=30`."""

    address: str
    # Seconds that a worker may write on without a word from this process. What a lost worker costs; the shorter, the less
    # patience with a busy network.
    lease: float = 15.0
    # Seconds to wait for a first worker, and for another one when none is left.
    wait: float = 30.0
    # Files of TLS; "": as Dask's own configuration says.
    ca: str = ""
    cert: str = ""
    key: str = ""


def parse_engine(text: str) -> DaskEngine | None:
    """The cluster that an engine's name means; None: this machine. Raises UsageError."""
    if text == LOCAL:
        return None
    scheme, _, _ = text.partition("://")
    if scheme not in SCHEMES:
        raise UsageError(f"no engine is called {scheme!r}", remedy=f"write --engine {FORM}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        raise UsageError("the address of --engine is malformed", remedy=f"write --engine {FORM}") from None
    if not host or parts.path.strip("/") or "@" in parts.netloc:
        raise UsageError("--engine takes a host and a port", remedy=f"write --engine {FORM}")
    shown = f"[{host}]" if ":" in host else host
    engine = DaskEngine(f"{SCHEMES[scheme]}://{shown}:{port}")
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        engine = _with_option(engine, name, value, tls=SCHEMES[scheme] == "tls")
    if bool(engine.cert) != bool(engine.key):
        raise UsageError("cert and key of --engine belong together", remedy="give both or neither")
    return engine


def _with_option(engine: DaskEngine, name: str, value: str, *, tls: bool) -> DaskEngine:
    given: dict[str, Any] = {}
    if name in SECONDS:
        given[name] = _seconds(name, value)
    elif name in FILES and tls:
        given[name] = value
    if given:
        return replace(engine, **given)
    known = ", ".join([*SECONDS, *FILES] if tls else SECONDS)
    why = "; ca, cert and key need tls://" if name in FILES else ""
    raise UsageError(f"--engine has no option {name!r} there{why}", remedy=f"it knows {known}")


def _seconds(name: str, value: str) -> float:
    least, most = SECONDS[name]
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:
        raise UsageError(f"{name}={value!r} of --engine is no number of seconds from {least:g} to {most:g}")
    return seconds
