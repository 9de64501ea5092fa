"""Where a peer is, and how it is spoken to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import grpc

from dsync.errors import EndpointError, UsageError
from dsync.wire.guard import authorization, read_authorities, read_pair
from dsync.wire.limits import MESSAGE_SIZES
from dsync.wire.routing import Metadata

DEFAULT_DEADLINE_SECONDS = 300.0
# gRPC servers end connections on which clients ask more often, unless they are set up otherwise.
DEFAULT_KEEPALIVE_SECONDS = 310.0
# How long such a question may go without an answer.
MOST_SILENCE_SECONDS = 20.0
# What gRPC says where TLS itself fails: trying again would not help.
HANDSHAKE = re.compile(
    r"handshake failed|CERTIFICATE_VERIFY_FAILED|certificate verify failed|WRONG_VERSION_NUMBER", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Address:
    """`host:port` with what its channel needs."""

    target: str
    credentials: grpc.ChannelCredentials | None = None
    metadata: Metadata = field(default=(), repr=False)
    gzip: bool = False
    deadline_seconds: float = DEFAULT_DEADLINE_SECONDS
    keepalive_seconds: float = DEFAULT_KEEPALIVE_SECONDS

    @classmethod
    def parse(cls, uri: str, options: Mapping[str, Any]) -> Self:
        """From a URI and the connector's options. Raises UsageError."""
        insecure = bool(options.get("insecure"))
        of_tls = [name for name in ("ca", "cert", "key") if options.get(name)]
        if insecure and of_tls:
            raise UsageError(f"--insecure and --{of_tls[0]} exclude each other", remedy="give one of them")
        return cls(
            target=_target(uri),
            credentials=None if insecure else _credentials(options),
            metadata=(("authorization", authorization(options["token"])),) if options.get("token") else (),
            gzip=bool(options.get("gzip")),
            deadline_seconds=options.get("deadline") or DEFAULT_DEADLINE_SECONDS,
            keepalive_seconds=options.get("keepalive") or DEFAULT_KEEPALIVE_SECONDS,
        )

    @property
    def shown(self) -> str:
        """As a URI."""
        return f"grpc://{self.target}"

    def channel(self) -> grpc.aio.Channel:
        """A channel that connects, and connects again, whenever there is a call."""
        silence_ms = int(min(self.keepalive_seconds, MOST_SILENCE_SECONDS) * 1000)
        options = (
            *MESSAGE_SIZES,
            # a peer that vanished without a word is noticed, during calls and between them
            ("grpc.keepalive_time_ms", int(self.keepalive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", silence_ms),
            # of pings that measure the line; the one above waits for them
            ("grpc.http2.ping_timeout_ms", silence_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 1_000),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            # each connector has a connection of its own
            ("grpc.use_local_subchannel_pool", 1),
        )
        compression = grpc.Compression.Gzip if self.gzip else grpc.Compression.NoCompression
        if self.credentials is None:
            return grpc.aio.insecure_channel(self.target, options=options, compression=compression)
        return grpc.aio.secure_channel(self.target, self.credentials, options=options, compression=compression)

    def unreachable(self, reason: str) -> EndpointError:
        """The error where no connection comes about."""
        if self.credentials is None:
            return EndpointError(
                f"no gRPC connection to {self.target!r}: {reason}",
                remedy="check that a server listens there, and that it does so without TLS",
            )
        return EndpointError(
            f"no gRPC connection with TLS to {self.target!r}: {reason}",
            remedy="check that a server listens there, --ca, and --cert where it wants one; --insecure does without TLS",
        )


def handshake_failed(reason: str) -> bool:
    """Whether a failed connection is one that fails for good."""
    return bool(HANDSHAKE.search(reason))


def _target(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.username is not None or parts.password is not None:
        raise UsageError("a gRPC address has no user or password", remedy="give a token with --token")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path.strip("/") or parts.fragment:
        raise UsageError(f"{uri!r} is not a gRPC address", remedy="write grpc://host:port")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _credentials(options: Mapping[str, Any]) -> grpc.ChannelCredentials:
    ca, certificate, key = (options.get(name) or "" for name in ("ca", "cert", "key"))
    if bool(certificate) != bool(key):
        raise UsageError("--cert and --key belong together", remedy="give both or neither")
    chain, private = read_pair(certificate, key) if certificate else (None, None)
    return grpc.ssl_channel_credentials(
        root_certificates=read_authorities(ca) if ca else None, private_key=private, certificate_chain=chain
    )
