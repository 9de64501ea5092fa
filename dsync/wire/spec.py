"""How a connector behind gRPC presents itself on the command line."""

from __future__ import annotations

import click

from dsync.connector import ConnectorSpec

SPEC = ConnectorSpec(
    name="grpc",
    summary="A connector that another process serves, in any language.",
    examples=("grpc://host:8443 --ca ca.pem --token ...", "grpc://127.0.0.1:9000 --insecure"),
    factory="dsync.wire.client:GrpcConnector",
    transform="dsync.wire.client:GrpcTransform",
    options=(
        click.Option(["--insecure"], is_flag=True, help="Connect without TLS."),
        click.Option(["--gzip"], is_flag=True, help="Compress messages."),
        click.Option(["--ca"], metavar="FILE", help="Certificates to trust (PEM). Default: the system's."),
        click.Option(["--cert"], metavar="FILE", help="The certificate to show to the server (PEM)."),
        click.Option(["--key"], metavar="FILE", help="Its private key (PEM)."),
        click.Option(
            ["--token"],
            metavar="TOKEN",
            help="The server's token.",
        ),
        click.Option(
            ["--deadline"],
            type=click.FloatRange(0.1),
            default=300.0,
            show_default=True,
            metavar="SECONDS",
            help="How long one call may take.",
        ),
        click.Option(
            ["--keepalive"],
            type=click.FloatRange(1),
            default=310.0,
            show_default=True,
            metavar="SECONDS",
            help="How often to ask whether the server is still there. Many servers end connections that ask more often than"
            " every five minutes; dsync serve takes 5 and more.",
        ),
    ),
    secrets=frozenset({"token"}),
    tuning=frozenset({"gzip", "deadline", "keepalive", "insecure", "key", "cert", "ca"}),
)
