"""`dsync serve URI`: a connector behind gRPC."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Any

import click

from dsync.cli import secrets
from dsync.cli.endpoints import take_endpoint
from dsync.cli.options import Size
from dsync.connector import ConnectorSpec
from dsync.endpoint import Endpoint, Role
from dsync.errors import UsageError

FILE = click.Path(exists=True, dir_okay=False)
MOST_PORT = 65_535
# Two of them and a large document are still one message.
MOST_PAGE_BYTES = 16 << 20


class PageSize(Size):
    """A size that leaves room in a message."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See click."""
        size = super().convert(value, param, ctx)
        if not 1 <= size <= MOST_PAGE_BYTES:
            self.fail(f"{value!r} is not 1 byte to 16MiB", param, ctx)
        return size


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--address", default="127.0.0.1:9000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("--cert-file", type=FILE, help="The server's certificate (PEM): serve with TLS.")
@click.option("--key-file", type=FILE, help="Its private key (PEM).")
@click.option("--client-ca", type=FILE, help="Take only clients with a certificate of this authority (PEM).")
@click.option(
    "--token",
    metavar="TOKEN",
    help="Take only clients with this token; better in DSYNC_SERVE_TOKEN, a file, a command.",
)
@click.option("--token-file", type=FILE, help="Read the token from a file.")
@click.option("--token-command", metavar="COMMAND", help="Take the token that a command prints.")
@click.option("--gzip", is_flag=True, help="Compress answers.")
@click.option(
    "--page-size",
    type=PageSize(),
    default="1MiB",
    show_default=True,
    metavar="SIZE",
    help="About how much of a source is in an answer, 16MiB at the most.",
)
@click.option(
    "--max-calls",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    metavar="N",
    help="Calls at once, open change streams among them; what comes besides is told to try again.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="URI [options]")
@click.pass_context
def serve(ctx: click.Context, /, words: tuple[str, ...], **values: Any) -> int:
    """Serves the store or transform at URI to other programs, with health checks and reflection, until SIGINT or SIGTERM."""
    assert ctx.parent is not None
    from dsync import registry
    from dsync.cli.runner import configure_logging

    role = _role_of(registry.spec_of(words[0])) if words else "source"
    taken = take_endpoint(ctx.parent, role, words, (ctx.parent.obj or {}).get(role) or {}, both=True)
    if taken.rest:
        raise click.UsageError("serve takes one URI", ctx)
    values = secrets.resolve(ctx, values, {"token"})
    refuse_open_doors(values)
    configure_logging(ctx.parent.params | taken.global_options)
    asyncio.run(run_server(taken.endpoint, values))
    return 0


def _role_of(spec: ConnectorSpec) -> Role:
    if spec.source:
        return "source"
    return "destination" if spec.sink else "transform"


def refuse_open_doors(values: Mapping[str, Any]) -> None:
    """Raises UsageError for a server that anybody on the network could use, and for half of a pair of files."""
    if bool(values["cert_file"]) != bool(values["key_file"]):
        raise UsageError("--cert-file and --key-file belong together", remedy="give both or neither")
    if values["client_ca"] and not values["cert_file"]:
        raise UsageError("--client-ca works with TLS only", remedy="give --cert-file and --key-file")
    host, colon, port = values["address"].rpartition(":")
    of_many_parts = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or of_many_parts or not (port.isascii() and port.isdecimal()) or int(port) > MOST_PORT:
        raise UsageError(f"--address {values['address']!r} is not HOST:PORT", remedy="write for example 127.0.0.1:9000")
    host = host.strip("[]")
    if not _is_loopback(host) and not (values["cert_file"] and (values["token"] or values["client_ca"])):
        raise UsageError(
            f"{host or 'every address'!r} can be reached from other machines",
            remedy="give --cert-file and --key-file and one of --token and --client-ca, or listen on 127.0.0.1",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def run_server(endpoint: Endpoint, values: Mapping[str, Any]) -> None:
    """Serves until a signal; says where on stderr once it listens."""
    from dsync.cli.runner import Stop
    from dsync.wire.guard import Guard
    from dsync.wire.server import ServerSettings, serving

    stop = Stop()
    stop.listen()
    guard = Guard(
        certificate=values["cert_file"] or "",
        key=values["key_file"] or "",
        client_ca=values["client_ca"] or "",
        token=values["token"] or "",
    )
    settings = ServerSettings(guard, values["gzip"], values["page_size"], values["max_calls"])
    spec = endpoint.spec
    made = endpoint.create() if spec.source or spec.sink else endpoint.create_transform()
    async with made as served, serving(served, values["address"], settings) as port:
        host = values["address"].rpartition(":")[0]
        click.echo(f"serving {endpoint.shown} at {host}:{port}", err=True)
        await stop.event.wait()
