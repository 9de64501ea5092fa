"""What is read out of a URI, and that nothing of it is told."""

from __future__ import annotations

import pytest

from connectors.mongo.address import parse
from dsync.errors import UsageError

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    "other",
    [
        "mongodb://b:27017,a:27017/shop?replicaSet=rs0",
        "mongodb://user:pass@a,b/shop?replicaSet=rs0",
        "mongodb://A,B/shop?retryWrites=true&replicaSet=rs0&w=majority",
        "mongodb://other:word@b,a:27017/shop?authSource=admin&replicaSet=rs0&appName=x",
    ],
)
def test_identity_survives_user_password_order_of_hosts_and_of_options(other: str) -> None:
    assert parse(other).identity == parse("mongodb://a:27017,b:27017/shop?replicaSet=rs0").identity


@pytest.mark.parametrize(
    "other", ["mongodb://a/other", "mongodb://a:27018/shop", "mongodb://a/", "mongodb+srv://a.b.c/shop"]
)
def test_identity_tells_deployments_and_databases_apart(other: str) -> None:
    assert parse(other).identity != parse("mongodb://a/shop").identity


def test_identity_holds_no_credentials() -> None:
    assert CANARY not in parse(f"mongodb://{CANARY}:{CANARY}@a/shop?appName={CANARY}").identity


@pytest.mark.parametrize(
    ("uri", "database"),
    [
        ("mongodb://a/shop", "shop"),
        ("mongodb://a/shop?retryWrites=true", "shop"),
        ("mongodb+srv://user:pass@cluster.example.net/shop", "shop"),
        ("mongodb://[::1]:27017,b/shop", "shop"),
        ("mongodb://a", ""),
        ("mongodb://a/", ""),
        ("mongodb://a/?authSource=admin", ""),
        ("mongodb://a/admin", ""),
        ("mongodb://a/local", ""),
        ("mongodb://a/config", ""),
    ],
)
def test_the_default_database_is_the_uris_unless_it_is_the_servers_own(uri: str, database: str) -> None:
    assert parse(uri).database == database


def test_ipv6_hosts_get_the_default_port() -> None:
    assert parse("mongodb://[::1],b:1/").hosts == ("[::1]:27017", "b:1")


@pytest.mark.parametrize("options", ["w=0", "w=1", "w=2", "w=majority&journal=false", "j=false", "w=someTag"])
def test_weak_writes_are_refused(options: str) -> None:
    with pytest.raises(UsageError, match="majority and the journal"):
        parse(f"mongodb://a/?{options}")


@pytest.mark.parametrize("options", ["", "w=majority", "journal=true", "w=majority&journal=true&wtimeoutMS=5000"])
def test_majority_and_journal_may_be_asked_for(options: str) -> None:
    assert parse(f"mongodb://a/?{options}")


@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://u:{CANARY}%zz@h/",
        f"mongodb://u:{CANARY}@x:y/{CANARY}@h/db",
        f"mongodb://u:a/{CANARY}@h/db",
        f"mongodb://u:{CANARY}@h:99999/",
        f"mongodb://u:{CANARY}@h:port/",
        f"mongodb://u:{CANARY}@h/?authMechanism={CANARY}",
        f"mongodb://u:{CANARY}@h/?readPreference={CANARY}",
        f"mongodb://u:{CANARY}@h/?tls=true&tlsCertificateKeyFilePassword={CANARY}&tlsAllowInvalidCertificates={CANARY}",
        f"mongodb://u:{CANARY}@h/?w=0&journal=true",
        f"mongodb://u:{CANARY}@h/?loadBalanced=true",
        f"mongodb://u:{CANARY}@/db",
        f"mongodb+srv://u:{CANARY}@h:1/db",
        f"mongodb+srv://u:{CANARY}@a.b.c,d.e.f/db",
        f"mongodb://u:{CANARY}@h/a$b",
        "mongodb://",
    ],
)
def test_a_uri_that_cannot_be_used_is_a_usage_error_that_tells_no_secret(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(uri)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_the_uri_names_is_named_when_it_is_missing() -> None:
    with pytest.raises(UsageError, match="'/no/such/file'"):
        parse("mongodb://a/?tls=true&tlsCAFile=/no/such/file")


def test_an_option_of_another_driver_is_let_pass_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    parse(f"mongodb://a/shop?minIdleTime={CANARY}")
    assert "'minidletime'" in caplog.text
    assert CANARY not in caplog.text


def test_an_address_shows_no_uri() -> None:
    assert CANARY not in repr(parse(f"mongodb://u:{CANARY}@a/"))
