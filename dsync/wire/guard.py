"""Who may call a server: everybody, whoever has the token, whoever has a certificate."""

from __future__ import annotations

import hmac
import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
from msgspec import Struct

from dsync.errors import UsageError

SCHEME = "Bearer "
TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


class Guard(Struct, frozen=True):
    """TLS with the server's certificate; clients known by their certificate, by a token, or not at all. Paths are of PEM files."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    token: str = ""

    def credentials(self) -> grpc.ServerCredentials | None:
        """TLS; None without a certificate. Raises UsageError for files that are none."""
        if not self.certificate:
            return None
        _check_pair(self.certificate, self.key)
        return grpc.ssl_server_credentials(
            [(read_pem(self.key), read_pem(self.certificate))],
            root_certificates=read_authorities(self.client_ca) if self.client_ca else None,
            require_client_auth=bool(self.client_ca),
        )

    def __post_init__(self) -> None:
        if self.token:
            authorization(self.token)

    def interceptors(self) -> list[grpc.aio.ServerInterceptor]:
        """What every call passes through."""
        return [TokenCheck(self.token)] if self.token else []


def authorization(token: str) -> str:
    """The header that carries a token. Raises UsageError, which does not show it, for one that no header can carry."""
    if not TOKEN.fullmatch(token):
        raise UsageError("the token has spaces, line ends or letters that are not ASCII", remedy="check --token")
    return SCHEME + token


class TokenCheck(grpc.aio.ServerInterceptor):
    """Lets only calls pass that bring the token; health and reflection want it too."""

    def __init__(self, token: str) -> None:
        self._expected = authorization(token).encode()

        async def refuse(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")

        self._refusal: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """See grpc."""
        found = dict(handler_call_details.invocation_metadata).get("authorization", "")
        given = found.encode(errors="replace") if isinstance(found, str) else found
        if hmac.compare_digest(given, self._expected):
            return await continuation(handler_call_details)
        return self._refusal


def read_pem(path: str) -> bytes:
    """The file's bytes. Raises UsageError that names it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {error.strerror}", remedy="check the path") from error


def read_authorities(path: str) -> bytes:
    """The certificates to trust. Raises UsageError where the file holds none: gRPC would only say that nobody connects."""
    authorities = read_pem(path)
    try:
        ssl.create_default_context().load_verify_locations(cadata=authorities.decode())
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path!r} holds no certificates", remedy="give a file of certificates in PEM form") from error
    return authorities


def read_pair(certificate: str, key: str) -> tuple[bytes, bytes]:
    """(certificate, key). Raises UsageError where they do not belong together."""
    pair = read_pem(certificate), read_pem(key)
    _check_pair(certificate, key)
    return pair


def _check_pair(certificate: str, key: str) -> None:
    def refuse_to_ask() -> str:
        raise UsageError(f"the key {key!r} is encrypted", remedy="give one without a passphrase")

    for path in (certificate, key):
        read_pem(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=refuse_to_ask)
    except ssl.SSLError as error:
        raise UsageError(
            f"{certificate!r} and {key!r} are not a certificate and its key", remedy="give both in PEM form"
        ) from error
