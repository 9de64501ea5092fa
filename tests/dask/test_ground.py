"""What a worker must have in common with the coordinator, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dsync.endpoint import Endpoint
from dsync.engine import DaskEngine, parse_engine
from dsync.errors import EndpointError, UsageError
from dsync.workers.ground import Facts, Ground, look, loopback
from dsync.workers.shares import Shares

NULL = Endpoint("/dev/null")


def ground(source: str = "", destination: str = "", letters: str = "", *, ends: tuple[str, ...] = ()) -> Ground:
    return Ground.of(tuple(map(Endpoint, ends)), source, destination, letters)


async def judged(over: Ground, **changes: Any) -> None:
    """Judges a worker that differs in these facts. Raises what it is refused with."""
    with over.asked() as request:
        mine = await look(request)
        over.judge(mine, replace(mine, **changes), request, "tcp://w:1")


async def test_a_worker_that_is_the_same_is_taken(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    await judged(ground(f"file:{tmp_path}/in.csv", f"file:{tmp_path}/deep/out", str(tmp_path / "letters")))
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"], "marks are removed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dsync": "9.9"}, "has dsync 9.9, this is"),
        ({"python": "3.99"}, "runs Python 3.99, this is"),
        ({"files": {}}, "does not see"),
        ({"files": {"PATH": "7 bytes of 1"}}, "has something else under"),
        ({"marks": []}, "does not see what is written to"),
    ],
)
async def test_a_worker_that_differs_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text("a\n1\n")
    if changes.get("files"):
        changes = {"files": {str(path): changes["files"]["PATH"]}}
    with pytest.raises(EndpointError, match=message) as caught:
        await judged(ground(f"file:{path}", f"testconn:{tmp_path}/out"), **changes)
    assert "the Dask worker tcp://w:1 on" in caught.value.message
    assert caught.value.remedy


async def test_a_folder_is_the_same_where_its_entries_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1\n")
    over = ground(f"file:{tmp_path}")
    request: dict[str, Any] = {"files": [str(tmp_path)], "marks": []}
    before = await look(request)
    assert (await look(request)).files == before.files
    (tmp_path / ".dsync-seen-by-another").touch()
    assert (await look(request)).files == before.files
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.csv").write_text("1\n")
    with pytest.raises(EndpointError, match="has something else"):
        await judged(over, files=before.files)


@pytest.mark.parametrize("uri", ["mongodb://127.0.0.1:27017/x", "mongodb://u:p@h:1,localhost:2/x"])
async def test_a_loopback_address_is_refused_where_it_means_another_machine(uri: str) -> None:
    over = ground(ends=("/dev/null", uri))
    await judged(over)
    with pytest.raises(EndpointError, match="is on this machine alone") as caught:
        await judged(over, network="another")
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "options", "found"),
    [
        ("mongodb://db.example:27017/localhost", {}, ""),
        ("mongodb://localhost", {}, "localhost"),
        ("mongodb://localhost.example", {}, ""),
        ("mongodb://[::1]:27017/x", {}, "[::1]"),
        ("mongodb://a,127.0.0.9:1/x?replicaSet=localhost", {}, "127.0.0.9"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock/x", {}, "%2Ftmp%2Fmongodb-27017.sock"),
        ("s3://bucket/localhost", {"endpoint": "http://localhost:9000", "batch": 3}, "localhost"),
        ("s3://localhost-bucket/x", {"endpoint": "https://s3.example"}, ""),
        ("grpc://0.0.0.0:8443", {}, "0.0.0.0"),
        ("file:///localhost/x", {}, ""),
        ("localhost", {}, ""),
    ],
)
def test_loopback_addresses_are_seen_in_uris_and_options(uri: str, options: dict[str, object], found: str) -> None:
    assert loopback(Endpoint(uri, options)) == found


def test_facts_survive_their_way() -> None:
    facts = Facts("1", "3.11", "net", "host", 1.5, 100, {"/a": "x"}, ["/m"])
    assert Facts.from_json(facts.to_json()) == facts


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("local", None),
        ("dask://h", DaskEngine("tcp://h:8786")),
        ("tcp://h:1", DaskEngine("tcp://h:1")),
        ("dask://[::1]:9?lease=5&wait=0", DaskEngine("tcp://[::1]:9", 5, 0)),
        ("tls://h?ca=/c&cert=/d&key=/e", DaskEngine("tls://h:8786", ca="/c", cert="/d", key="/e")),
    ],
)
def test_engines_have_names(text: str, engine: DaskEngine | None) -> None:
    assert parse_engine(text) == engine


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spark://h",
        "dask://",
        "dask",
        "dask://h/path",
        "dask://h:x",
        "dask://u:p@h",
        "dask://h?leese=5",
        "dask://h?ca=/x",
        "dask://h?lease=0",
        "dask://h?lease=nan",
        "dask://h?wait=x",
        "tls://h?cert=/x",
    ],
)
def test_names_that_are_no_engine_are_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_engine(text)
    assert "u:p" not in str(caught.value)


def test_a_rate_is_shared_out_and_never_exceeded() -> None:
    shares = Shares(None, 100, None)
    assert shares.claim("a", 1) == 100
    shares.confirm("a", 100)
    assert shares.claim("b", 2) < 0, "a has not heard yet that it must give up of its share"
    assert shares.claim("a", 2) == 50
    assert shares.claim("b", 2) < 0, "the word is on its way"
    shares.confirm("a", 50)
    assert shares.claim("b", 2) == 50
    shares.give_back("a")
    assert shares.claim("b", 1) == 100


def test_without_a_rate_there_is_no_limit() -> None:
    assert Shares(None, 0, None).claim("a", 3) == 0


def test_memory_is_shared_out_and_limits_how_many_take_part() -> None:
    shares = Shares(1 << 30, 0, None)
    assert shares.gauge_bytes(9, 0, 1) < shares.gauge_bytes(1, 0, 1)
    assert shares.most is not None
    assert 5 <= shares.most <= 11
    assert Shares(1 << 20, 0, None).most == 1
    assert Shares(1 << 40, 0, 3).most == 3
    assert Shares(None, 0, None).gauge_bytes(5, 1 << 30, 4) < Shares(None, 0, None).gauge_bytes(5, 1 << 30, 1)
