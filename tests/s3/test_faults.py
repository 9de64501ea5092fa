"""What goes wrong between here and S3, and what is said of it."""

from __future__ import annotations

import pytest

from connectors.s3.connector import S3Connector
from dsync import wire
from dsync.errors import DsyncError, EndpointError, TransientError, UsageError
from tests.kit import process
from tests.s3 import proxy
from tests.s3.conftest import Open, Store, contents, documents, finish, plan, write

TEXT = b'{"_id":1}'
SECRET = "c4n4ry-s3cr3t"


@pytest.mark.parametrize(
    "fault",
    [
        proxy.answer(503, "SlowDown"),
        proxy.answer(500, "InternalError"),
        proxy.answer(400, "RequestTimeout"),
        proxy.answer(429, "TooManyRequests"),
        proxy.broken,
    ],
)
async def test_a_write_that_fails_for_now_may_be_repeated(
    s3: Open, store: Store, s3_endpoint: str, fault: proxy.Fault
) -> None:
    async with proxy.proxied(s3_endpoint) as server, s3(endpoint=server.url) as connector:
        server.fail("PUT", "part-", fault)
        with pytest.raises(TransientError):
            await write(connector, "n", [[TEXT]])
        await write(connector, "n", [[TEXT]])
        assert await contents(connector) == {"n": [TEXT]}
    assert store.listing() == ["data/n/.metadata.json", "data/n/part-f1-00000-000000.json"]


@pytest.mark.parametrize("fault", [proxy.answer(503, "SlowDown"), proxy.broken, proxy.cut, proxy.damaged])
async def test_a_page_that_fails_for_now_may_be_repeated(s3: Open, s3_endpoint: str, fault: proxy.Fault) -> None:
    async with proxy.proxied(s3_endpoint) as server, s3(endpoint=server.url) as connector:
        await write(connector, "n", [[TEXT]])
        [partition] = (await plan(connector)).partitions
        server.fail("GET", "part-", fault)
        with pytest.raises(TransientError):
            await documents(connector, partition)
        assert await documents(connector, partition) == [TEXT]


async def test_nothing_is_tried_again_behind_the_engine(s3: Open, s3_endpoint: str) -> None:
    async with proxy.proxied(s3_endpoint) as server, s3(endpoint=server.url) as connector:
        server.fail("PUT", "part-", proxy.answer(503, "SlowDown"), times=9)
        with pytest.raises(TransientError):
            await write(connector, "n", [[TEXT]])
        assert sum(request.startswith("PUT") for request in server.requests) == 1


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT"])
async def test_an_end_that_fails_on_its_way_may_be_said_again(
    s3: Open, store: Store, s3_endpoint: str, method: str
) -> None:
    async with proxy.proxied(s3_endpoint) as server, s3(endpoint=server.url) as connector:
        await write(connector, "n", [[TEXT], [b'{"_id":2}']])
        server.fail(method, "", proxy.answer(503, "SlowDown"))
        if method != "DELETE":  # several objects are deleted with one POST
            with pytest.raises(TransientError):
                await finish(connector, "n", {"00000": 1})
        await finish(connector, "n", {"00000": 1})
        assert await contents(connector) == {"n": [TEXT]}
    assert store.listing() == ["data/n/.metadata.json", "data/n/part-f1-00000-000000.json"]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (proxy.answer(403, "AccessDenied"), EndpointError, "need the rights to list"),
        (proxy.answer(403, "InvalidAccessKeyId"), EndpointError, "refused the credentials"),
        (proxy.answer(403, "SignatureDoesNotMatch"), EndpointError, "check the keys"),
        (proxy.answer(404, "NoSuchBucket"), EndpointError, "there is no bucket"),
        (proxy.answer(301, "PermanentRedirect"), EndpointError, "--region"),
        (proxy.answer(404, "Nonsense"), EndpointError, "check the bucket's name and --endpoint"),
        (proxy.answer(503, "SlowDown"), TransientError, "SlowDown"),
        (proxy.broken, EndpointError, "check --endpoint and the network"),
    ],
)
async def test_opening_says_what_to_mend(
    s3: Open, s3_endpoint: str, fault: proxy.Fault, kind: type[DsyncError], words: str
) -> None:
    async with proxy.proxied(s3_endpoint) as server:
        server.fail("GET", "", fault, times=3)
        server.fail("HEAD", "", fault, times=3)
        with pytest.raises(kind, match=words):
            async with s3(endpoint=server.url):
                pass


async def test_a_bucket_that_is_not_there_is_named(s3_endpoint: str) -> None:
    with pytest.raises(EndpointError, match="'no-such-bucket'"):
        async with S3Connector("s3://no-such-bucket/x", {"endpoint": s3_endpoint}):
            pass


async def test_a_server_that_is_not_there_is_an_endpoint_to_mend() -> None:
    options = {"endpoint": f"http://127.0.0.1:{process.free_port()}"}
    with pytest.raises(EndpointError, match="could not be reached"):
        async with S3Connector("s3://bucket", options):
            pass


async def test_a_profile_that_is_not_there_is_a_usage_error(s3: Open) -> None:
    with pytest.raises(UsageError, match="no AWS profile 'nobody'"):
        async with s3(profile="nobody"):
            pass


async def test_missing_credentials_are_an_endpoint_error(s3: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(EndpointError, match="no valid credentials"):
        async with s3():
            pass


@pytest.mark.parametrize("fault", [proxy.answer(403, "SignatureDoesNotMatch"), proxy.broken, proxy.answer(500, "X")])
async def test_secrets_are_in_no_message(s3_endpoint: str, bucket: str, fault: proxy.Fault) -> None:
    secrets = {"access_key_id": SECRET + "1", "secret_access_key": SECRET + "2", "session_token": SECRET + "3"}
    async with proxy.proxied(s3_endpoint) as server:
        connector = S3Connector(f"s3://{bucket}/data", {"endpoint": server.url, **secrets})
        said = []
        try:
            async with connector:  # a server that checks keys refuses these
                for method in ("GET", "PUT", "HEAD", "POST"):
                    server.fail(method, "", fault, times=99)
                said.append(str(await connector.GetInfo(wire.GetInfoRequest())))
                with pytest.raises(DsyncError) as writing:
                    await write(connector, "n", [[TEXT]])
                said.append(str(writing.value))
                await plan(connector)
        except DsyncError as error:
            said.append(str(error))
        for text in (*said, repr(connector), repr(vars(connector)), repr(connector._settings)):
            assert SECRET not in text


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        (f"s3://user:{SECRET}@bucket/x", {}),
        ("s3://bucket", {"endpoint": f"http://user:{SECRET}@localhost:9000"}),
        ("s3://bucket", {"endpoint": f"{SECRET}:9000"}),
        ("s3://bucket", {"access_key_id": SECRET}),
        ("s3://bucket", {"secret_access_key": SECRET}),
        ("s3://bucket", {"session_token": SECRET}),
    ],
)
def test_what_is_refused_at_once_is_not_repeated_either(uri: str, options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        S3Connector(uri, options)
    assert SECRET not in str(caught.value)
