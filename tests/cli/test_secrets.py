"""Secrets come from the environment, a file or a command, for every connector alike, and are shown nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from connectors.mongo.address import with_password
from dsync import registry
from dsync.cli.endpoints import take_endpoint
from dsync.cli.program import program
from dsync.errors import UsageError
from tests.kit.cli import Dsync

CANARY = "c4n4ry"
SECRETS = [
    (uri, secret)
    for uri in ("grpc://h:1", "s3://bucket", "mongodb://u@h")
    for secret in sorted(registry.spec_of(uri).secrets)
]


def options_of(*words: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a connector is given when this is typed."""
    return dict(take_endpoint(click.Context(program), "source", words, config or {}).endpoint.options)


@pytest.mark.parametrize(("uri", "secret"), SECRETS)
def test_every_secret_may_stand_in_a_file_in_what_a_command_prints_and_in_the_environment(
    uri: str, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = "--" + secret.replace("_", "-")
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    assert options_of(uri, option, CANARY)[secret] == CANARY
    assert options_of(uri, f"{option}-file", str(tmp_path / "secret"))[secret] == CANARY
    assert options_of(uri, f"{option}-command", f"cat '{tmp_path}/secret'")[secret] == CANARY
    assert options_of(uri, config={f"{secret}_file": str(tmp_path / "secret")})[secret] == CANARY
    monkeypatch.setenv(f"DSYNC_SOURCE_{secret.upper()}", CANARY)
    assert options_of(uri)[secret] == CANARY
    monkeypatch.delenv(f"DSYNC_SOURCE_{secret.upper()}")
    monkeypatch.setenv(f"DSYNC_SOURCE_{secret.upper()}_FILE", str(tmp_path / "secret"))
    assert options_of(uri)[secret] == CANARY


def test_the_nearest_place_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from the file")
    monkeypatch.setenv("DSYNC_SOURCE_TOKEN", "from-the-environment")
    behind = ["--token-file", str(tmp_path / "secret")]
    assert options_of("grpc://h:1", *behind)["token"] == "from the file"
    assert options_of("grpc://h:1?token=from-the-uri", *behind)["token"] == "from-the-uri"
    assert options_of("grpc://h:1", config={"token_file": str(tmp_path / "secret")})["token"] == "from-the-environment"
    assert not any(name.startswith("token_") for name in options_of("grpc://h:1", *behind))


def test_two_places_as_near_as_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--token and --token-file exclude each other"):
        options_of("grpc://h:1", "--token", CANARY, "--token-file", str(tmp_path))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("--token-file=/nowhere", "--token-file '/nowhere' cannot be read: No such file"),
        ("--token-file=/dev/null", "what --token-file names gives no secret"),
        ("--token-file=/dev/zero", "what --token-file names gives no secret"),
        ("--token-command=true", "what --token-command names gives no secret"),
        (f"--token-command=sh -c 'echo {CANARY}; exit 3'", "ended with exit status 3"),
        (f"--token-command=/no/{CANARY}", "the command of --token-command cannot be run"),
        ("--token-command='", "the command of --token-command cannot be run"),
    ],
)
def test_what_gives_no_secret_is_an_error_without_what_it_gave(place: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        options_of("grpc://h:1", place)
    assert CANARY not in str(error.value)


def test_a_password_joins_its_user_in_the_uri_of_mongodb() -> None:
    assert with_password("mongodb://u@h:1,i/db?x=y", "p@ss/w:rd") == "mongodb://u:p%40ss%2Fw%3Ard@h:1,i/db?x=y"
    assert with_password("mongodb://u@h", "") == "mongodb://u@h"
    for uri, fault in (("mongodb://h/db", "names no user"), ("mongodb://u:p@h/db", "has a password already")):
        with pytest.raises(UsageError, match=fault):
            with_password(uri, CANARY)


def test_help_says_where_secrets_may_come_from(tmp_path: Path) -> None:
    assert "--token-file PATH" in " ".join(Dsync(tmp_path)("help", "grpc").out.split())
    assert "-file PATH" not in " ".join(Dsync(tmp_path)("help", "null").out.split())


def test_a_token_for_serve_from_a_file_is_not_in_the_list_of_processes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{CANARY}\n")
    server = Dsync(tmp_path).start("serve", "--address", "127.0.0.1:0", "--token-file", "token", "/dev/null")
    try:
        assert server.stderr is not None
        said = server.stderr.readline()
        assert b"serving /dev/null at 127.0.0.1:" in said
        for shown in ("cmdline", "environ"):
            assert CANARY.encode() not in Path(f"/proc/{server.pid}/{shown}").read_bytes()
        target = said.decode().split()[-1]
        refused = Dsync(tmp_path)("check", f"grpc://{target}", "--insecure", expect=3)
        assert "the token is missing or wrong" in refused.err
        Dsync(tmp_path)("check", f"grpc://{target}", "--insecure", "--token-file", "token")
    finally:
        server.kill()
        server.communicate()
