"""What a MongoDB URI says: whether it can be used, the default database, and an identity without secrets."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote

from bson.codec_options import CodecOptions
from msgspec import Struct
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, InvalidURI

from dsync.errors import UsageError

LOG = logging.getLogger(__name__)

# Databases of the server's own; also the place where a URI names the users' database rather than the data's.
SERVER_DATABASES = frozenset({"admin", "config", "local"})
DEFAULT_PORT = 27017
SRV = "mongodb+srv"
FORM = "mongodb://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE with %-escapes in user and password"


class Address(Struct, frozen=True):
    """A usable URI. `database` is the default for names without a dot, empty where the URI gives none."""

    uri: str
    scheme: str
    hosts: tuple[str, ...]
    replica_set: str
    database: str
    write_timeout_ms: int
    option_names: frozenset[str]

    @property
    def identity(self) -> str:
        """The same for every order of hosts and options and for every user and password."""
        replica_set = f"?replicaSet={self.replica_set}" if self.replica_set else ""
        return f"{self.scheme}://{','.join(self.hosts)}/{self.database}{replica_set}"

    def __repr__(self) -> str:
        """Without user and password."""
        return f"Address({self.identity!r})"

    def with_database(self, database: str) -> str:
        """How the URI reads with this database, to show to the user; without user and password."""
        return f"{self.scheme}://{','.join(self.hosts)}/{database}"


def with_password(uri: str, password: str) -> str:
    """The URI with the password of its user. Raises UsageError where it has no user, or a password already."""
    if not password:
        return uri
    scheme, _, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    user, _, hosts = authority.rpartition("@")
    if not user or ":" in user:
        fault = "has a password already" if user else "names no user"
        raise UsageError(f"--password is given, but the MongoDB URI {fault}", remedy="write mongodb://USER@HOST")
    return f"{scheme}://{user}:{quote(password, safe='')}@{hosts}{slash}{path}"


def parse(uri: str) -> Address:
    """The address of a URI; connects to nothing. Raises UsageError, which never quotes the URI: it may hold a password."""
    client = _checked_client(uri)
    if client.options.load_balanced:
        raise UsageError("loadBalanced=true is not supported", remedy="name the servers themselves in the URI")
    scheme, hosts = _hosts(uri)
    _refuse_weak_writes({**client.write_concern.document, **_old_journal_option(uri)})
    return Address(
        uri=uri,
        scheme=scheme,
        hosts=hosts,
        replica_set=client.options.replica_set_name or "",
        database=_default_database(client),
        write_timeout_ms=int(client.write_concern.document.get("wtimeout", 0)),
        option_names=_option_names(uri),
    )


def _checked_client(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    """A client that is never connected: making one is the driver's check of the whole URI."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, connect=False)
        except InvalidURI:
            raise UsageError("the MongoDB URI is malformed", remedy=f"write it as {FORM}") from None
        except OSError:
            files = " or ".join(map(repr, _files(uri)))
            raise UsageError(
                f"the MongoDB URI names a file that cannot be read: {files}", remedy="check its path"
            ) from None
        except (ConfigurationError, ValueError, TypeError):
            names = ", ".join(sorted(_option_names(uri))) or "none"
            raise UsageError(
                f"hosts or options of the MongoDB URI do not fit (options: {names})", remedy=f"write it as {FORM}"
            ) from None
    _judge_warnings([str(warning.message) for warning in caught], uri)
    return client


def _judge_warnings(messages: list[str], uri: str) -> None:
    """The driver ignores options it does not like; a value that has no effect is an error, a foreign option is not."""
    unknown = [message for message in messages if message.startswith("Unknown option")]
    if len(unknown) < len(messages):
        names = ", ".join(sorted(_option_names(uri)))
        raise UsageError(f"an option of the MongoDB URI has a value that is not allowed (options: {names})")
    for name in _unknown_options(uri) if unknown else ():
        LOG.warning("the option %r of the MongoDB URI is not known to the driver and has no effect", name)


def _unknown_options(uri: str) -> Iterator[str]:
    """Not every version of the driver names the option that it does not know, so each one is asked about alone."""
    for name in sorted(_option_names(uri)):
        with (
            warnings.catch_warnings(record=True) as caught,
            contextlib.suppress(ConfigurationError, ValueError, OSError),
        ):
            warnings.simplefilter("always")
            AsyncMongoClient(f"mongodb://localhost/?{name}=1", connect=False)
        if any(str(warning.message).startswith("Unknown option") for warning in caught):
            yield name


def _files(uri: str) -> list[str]:
    """The files that options of the URI name."""
    options = parse_qsl(uri.partition("?")[2].replace(";", "&"))
    return [value for name, value in options if name.lower().endswith("file")]


def _hosts(uri: str) -> tuple[str, tuple[str, ...]]:
    scheme, _, rest = uri.partition("://")
    authority = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
    scheme = scheme.lower()
    return scheme, tuple(sorted({_host(host, scheme) for host in authority.split(",")}))


def _host(host: str, scheme: str) -> str:
    if scheme == SRV or "%2f" in host.lower():
        return host.lower() if scheme == SRV else host
    return host.lower() if _has_port(host) else f"{host.lower()}:{DEFAULT_PORT}"


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _option_names(uri: str) -> frozenset[str]:
    options = uri.partition("?")[2].replace(";", "&").split("&")
    return frozenset(option.partition("=")[0].lower() for option in options if option)


def _old_journal_option(uri: str) -> dict[str, bool]:
    """`j=false`, which older drivers took and this one ignores."""
    given = re.search(r"[?&;]j=(\w+)", uri.partition("://")[2].rpartition("@")[2], re.IGNORECASE)
    return {"j": given[1].lower() == "true"} if given else {}


def _refuse_weak_writes(concern: dict[str, Any]) -> None:
    weak = "w" in concern and concern["w"] != "majority"
    if weak or concern.get("j") is False:
        asked = f"w={concern['w']!r}" if weak else "journal=false"
        raise UsageError(
            f"the MongoDB URI asks for {asked}, but every write waits for the majority and the journal",
            remedy="take w and journal out of the URI",
        )


def _default_database(client: AsyncMongoClient[dict[str, Any]]) -> str:
    try:
        database = client.get_default_database(codec_options=CodecOptions())
    except ConfigurationError:
        return ""
    return "" if database.name in SERVER_DATABASES else database.name
