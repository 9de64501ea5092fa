"""Command lines that fail: each with its exact exit status, and a message that names the thing and what to do about it."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.kit import process
from tests.kit.cli import Dsync, Result

FILES = {
    "people.csv": b"id,name\n1,a\n2,b\n",
    "nohead.csv": b"1,a\n2,b\n",
    "ragged.csv": b"id,name\n1,a\n2,b,c\n",
    "latin.csv": b"id,name\n1,\xff\n",
    "repeated.csv": b"id,id\n1,2\n",
    "open.csv": b'id,name\n1,"a\n',
    "bad.jsonl": b'{"_id":1}\n{"_id":\n',
    "second.json": b'[{"_id":1}] {"_id":2}',
    "cut.bson": b"\x10\x00\x00\x00\x10_id\x00\x01",
    "no.parquet": b"id,name\n",
    "two.jsonl": b'{"_id":1,"a":1}\n{"_id":2,"a":2}\n',
    "changed.jsonl": b'{"_id":1,"a":1}\n{"_id":2,"a":3}\n',
    "repeats.jsonl": b'{"_id":1,"a":1}\n{"_id":1,"a":2}\n',
    "twice/a.csv": b"id\nx\n",
    "twice/a.jsonl": b'{"_id":1}\n',
    "several/a.jsonl": b'{"_id":1}\n',
    "several/b.jsonl": b'{"_id":1}\n',
    "bad.yaml": b"mode: [\n",
    "unknown.yaml": b"speed: 9\n",
    "list.yaml": b"- a\n",
    "ends.yaml": b"source: people.csv\n",
    "there.bson": b"\x05\x00\x00\x00\x00",
    "nofolder": b"x",
}


@dataclass(frozen=True)
class Case:
    """Words of a command line, the exit status, and what the message has to say."""

    words: str
    status: int
    said: tuple[str, ...]

    def __str__(self) -> str:
        return re.sub(r"[^\w.-]+", " ", self.words).strip() or "nothing"


def case(words: str, status: int, *said: str) -> Case:
    return Case(words, status, said)


USAGE = [
    case("", 2, "Usage: dsync"),
    case("people.csv", 2, "DESTINATION is missing", "write: dsync"),
    case("s4://bucket out/", 2, "'s4'", "did you mean 's3'"),
    case("people.csv out.bson extra", 2, "'extra'", "dsync --help"),
    case("--mode Fast people.csv out.bson", 2, "--mode", "'Fast'", "initialsync"),
    case("--mode Full people.csv out.bson", 2, "--mode Full", "no change stream", "--mode InitialSync"),
    case("--mode CDC {mongo} out/", 2, "--mode CDC", "takes no updates", "--mode InitialSync"),
    case("--nonsense people.csv out.bson", 2, "--nonsense", "dsync --help"),
    case("people.csv --delimitr ; out.bson", 2, "--delimitr", "did you mean --delimiter"),
    case("people.csv out.bson --header yes", 2, "--header", "option of file as a source"),
    case("people.csv --delimiter ;; out.bson", 2, "--delimiter ';;'", "one plain character", "tab"),
    case("people.csv --types id:integr out.bson", 2, "'id'", "'integr'", "objectid"),
    case("null:// out.bson", 2, "null cannot be read from", "destination"),
    case("people.csv random://", 2, "random cannot be written to", "source"),
    case("--restart --cleanup people.csv out.bson", 2, "--restart and --cleanup", "one of them"),
    case("--on-error set-aside people.csv out.bson", 2, "--dead-letters", "both or neither"),
    case("--on-error set-aside --dead-letters nofolder/x people.csv out.bson", 2, "'nofolder/x'", "name another"),
    case("--memory-limit lots people.csv out.bson", 2, "--memory-limit", "'lots'", "400MB"),
    case("--workers 0 people.csv out.bson", 2, "--workers", "x>=1"),
    case("--write-rate-limit -1 people.csv out.bson", 2, "--write-rate-limit", "x>=0"),
    case("--parallel-writers 4 people.csv out.bson", 2, "--parallel-writers", "--parallel-copiers"),
    case("--verify-mem people.csv out.bson", 2, "--verify-mem", "--memory-limit"),
    case("--config missing.yaml people.csv out.bson", 2, "--config", "'missing.yaml'"),
    case("--config bad.yaml people.csv out.bson", 2, "'bad.yaml'", "line 2", "mend"),
    case("--config unknown.yaml people.csv out.bson", 2, "'unknown.yaml'", "'speed'", "dsync --help"),
    case("--config list.yaml people.csv out.bson", 2, "'list.yaml'", "option: value"),
    case("--config ends.yaml people.csv out.bson", 2, "'source'", "one option a line"),
    case("--logfile nofolder/log people.csv out.bson", 2, "'nofolder/log'", "--logfile"),
    case("--metadata ftp://x people.csv out.bson", 2, "--metadata", "sqlite:///path", "memory:"),
    case("--ns a:b:c people.csv out.bson", 2, "'a:b:c'", "db.collection:newdb.newcollection"),
    case("--ns people:x,people:y people.csv out.bson", 2, "'people'", "'x'", "'y'", "one destination"),
    case("--exclude people people.csv out.bson", 2, "--exclude", "exclude less"),
    case("mongodb:// out.bson", 2, "MongoDB URI is malformed", "write it as"),
    case("mongodb://h/d?w=1 out.bson", 2, "w=1", "take w and journal out"),
    case("mongodb://127.0.0.1:1/d -q {{bad out.bson", 2, "--initial-sync-query", "Extended JSON", "active"),
    case("s3:// out.bson", 2, "'s3://'", "s3://bucket/prefix"),
    case("people.csv s3://bucket/p --output-format xml", 2, "--output-format", "'xml'", "jsonl"),
    case("serve --address 0.0.0.0:9000 people.csv", 2, "'0.0.0.0'", "--cert-file", "127.0.0.1"),
    case("serve --cert-file people.csv people.csv", 2, "--key-file", "both or neither"),
    case("repair people.csv out.bson", 2, "--from", "dsync repair --from REPORT"),
    case("help nothing", 2, "'nothing'", "mongodb"),
    case("nohead.csv out.bson", 2, "'nohead.csv'", "line 1", "--header yes", "--header no"),
    case("repeated.csv out.bson", 2, "'repeated.csv'", "repeats", "--header no"),
    case("twice/ out/", 2, "'twice/a.csv'", "'twice/a.jsonl'", "rename one"),
    case("people.csv people.csv", 2, "'people'", "onto itself", "another destination"),
    case("people.csv there.bson", 2, "did not write", "--overwrite"),
    case("several/ out.bson", 2, "takes one namespace", "'a'", "'b'", "give a folder"),
    case("people.csv s3://b/p", 2, "'s3://b/p'", "3 to 63 letters"),
]
ENDPOINTS = [
    case("missing.csv out.bson", 3, "missing.csv'", "check the path"),
    case("missing/ out/", 3, "missing'", "check the path"),
    case("people.csv nofolder/out.bson", 3, "nofolder'"),
    case("verify people.csv missing.bson", 3, "missing.bson'", "check the path"),
    case("mongodb://127.0.0.1:{closed}/d --server-timeout 0.5 out.bson", 3, "127.0.0.1:{closed}", "check host, port"),
    case("check mongodb://127.0.0.1:{closed} --server-timeout 0.5", 3, "127.0.0.1:{closed}", "check host, port"),
    case("{wrong_password} out/", 3, "AuthenticationFailed", "check the user, its password"),
    case("--retry-for 0 s3://{bucket}-not --endpoint {s3} out/", 3, "{bucket}-not"),
    case("--retry-for 0 people.csv s3://{bucket}-not --endpoint {s3}", 3, "{bucket}-not"),
]
DATA = [
    case("--ns nothing people.csv out.bson", 1, "'nothing'", "it has 'people'"),
    case("--ns {database}.nothing {mongo} out/", 1, "nothing'"),
    case("ragged.csv out.bson", 1, "'ragged.csv' line 3", "add or remove cells"),
    case("latin.csv out.bson", 1, "'latin.csv' line 2", "convert the file to UTF-8"),
    case("open.csv out.bson", 1, "'open.csv' line 2"),
    case("bad.jsonl out.bson", 1, "'bad.jsonl' line 2"),
    case("second.json out.bson", 1, "'second.json'", "offset 12"),
    case("cut.bson out.jsonl", 1, "'cut.bson' document 1 (offset 0)"),
    case("no.parquet out.bson", 1, "'no.parquet'", "Parquet"),
    case("repeats.jsonl {mongo}", 1, "same id", "--duplicates last"),
    case("--metadata people.csv two.jsonl out.bson", 1, "people.csv' is damaged", "move it away"),
    case("state show abc", 1, "'abc'", "dsync state list"),
    case("state reset abc", 1, "'abc'", "dsync state list"),
    case("verify two.jsonl changed.jsonl --ns two:changed", 4, "1"),
]


@pytest.fixture
def words(
    dsync: Dsync, mongo_uri: str, database: str, s3_endpoint: str, bucket: str
) -> Iterator[Callable[[str], list[str]]]:
    """Puts the servers of the tests into words, in a folder with all files."""
    for name, content in FILES.items():
        (dsync.folder / name).parent.mkdir(exist_ok=True)
        (dsync.folder / name).write_bytes(content)
    host = mongo_uri.partition("://")[2].partition("/")[0]
    places = {
        "deployment": f"mongodb://{host}/",
        "mongo": f"mongodb://{host}/{database}",
        "wrong_password": f"mongodb://somebody:{SECRET}@{host}/{database}",
        "database": database,
        "s3": s3_endpoint,
        "bucket": bucket,
        "closed": process.free_port(),
    }
    yield lambda text: text.format(**places).split()


SECRET = "hunter2-canary"


def check(result: Result, status: int, said: list[str]) -> None:
    assert result.status == status, result
    shown = result.err + result.out
    assert [text for text in said if text not in shown] == [], result
    assert "Traceback" not in result.err and "a defect" not in result.err, result
    assert SECRET not in shown


@pytest.mark.parametrize("each", [*USAGE, *ENDPOINTS, *DATA], ids=str)
def test_a_failing_command_line_has_its_exit_status_and_says_what_and_what_to_do(
    words: Callable[[str], list[str]], inline: Callable[..., Result], each: Case
) -> None:
    check(inline(*words(each.words)), each.status, [" ".join(words(text)) for text in each.said])


def test_what_cannot_work_is_refused_before_anything_is_written(
    dsync: Dsync, words: Callable[[str], list[str]], inline: Callable[..., Result]
) -> None:
    before = sorted(dsync.folder.rglob("*"))
    assert inline(*words("several/ out.bson")).status == 2
    new = [path for path in sorted(dsync.folder.rglob("*")) if path not in before and "home" not in path.parts]
    assert new == []


def test_the_table_is_as_long_as_was_promised() -> None:
    assert len(USAGE) + len(ENDPOINTS) + len(DATA) >= 40


def begin(dsync: Dsync, *command: str) -> subprocess.Popen[bytes]:
    """A slow run, once it holds its flow and has written something."""
    started = dsync.start("--write-rate-limit", "50", "--mode", "InitialSync", *command)
    until = time.monotonic() + 60
    while time.monotonic() < until and started.poll() is None:
        for path in (dsync.folder / "home").rglob("state.db"):
            state = sqlite3.connect(path)
            try:
                if state.execute("select 1 from partitions where length(checkpoint) > 0").fetchone():
                    return started
            except sqlite3.OperationalError:
                pass
            finally:
                state.close()
        time.sleep(0.02)
    started.kill()
    raise AssertionError(f"the run did not begin: {started.communicate()}")


@pytest.fixture
def many(dsync: Dsync) -> str:
    """A file that a slow run takes some time for."""
    path = dsync.folder / "many.jsonl"
    path.write_text("".join(f'{{"_id": {number}}}\n' for number in range(2000)))
    return f"{path}"


SMALL = ("--batch-size", "50")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_its_status_and_the_same_command_goes_on(
    dsync: Dsync, many: str, number: int, status: int
) -> None:
    run = begin(dsync, many, *SMALL, "out.bson")
    run.send_signal(number)
    _, err = run.communicate(timeout=60)
    assert run.returncode == status, err
    assert b"run the same command again to go on" in err
    again = dsync("--mode", "InitialSync", "--write-rate-limit", "50000", many, *SMALL, "out.bson")
    assert "by earlier runs" in again.err


def test_a_second_run_of_a_flow_is_told_which_process_has_it(dsync: Dsync, many: str) -> None:
    run = begin(dsync, many, *SMALL, "out.bson")
    try:
        check(
            dsync("--mode", "InitialSync", many, *SMALL, "out.bson", expect=None), 8, [f"process {run.pid}", "wait for"]
        )
    finally:
        run.kill()
        run.communicate()


def killed(dsync: Dsync, *command: str) -> None:
    """An unfinished flow."""
    run = begin(dsync, *command)
    run.kill()
    run.communicate()


def test_an_unfinished_flow_with_a_changed_option_names_it_and_both_ways_on(dsync: Dsync, many: str) -> None:
    killed(dsync, many, *SMALL, "out/", "--format", "jsonl")
    (dsync.folder / "people.csv").write_bytes(FILES["people.csv"])
    changed = dsync("--mode", "InitialSync", many, *SMALL, "out/", "--format", "bson", expect=None)
    check(changed, 2, ["--format", "'bson'", "'jsonl'", "--restart", "--flow NAME"])


def test_a_destination_that_was_dropped_under_an_unfinished_flow_is_a_gap(
    dsync: Dsync, many: str, mongo: MongoClient[dict[str, Any]], database: str, words: Callable[[str], list[str]]
) -> None:
    (uri,) = words("{mongo}")
    killed(dsync, many, *SMALL, uri)
    mongo[database].drop_collection("many")
    check(dsync("--mode", "InitialSync", many, *SMALL, uri, expect=None), 7, ["many'", "dropped", "--restart"])


def test_deletes_beyond_a_limit_stop_the_run(
    dsync: Dsync, mongo: MongoClient[dict[str, Any]], database: str, words: Callable[[str], list[str]]
) -> None:
    (uri,) = words("{deployment}")
    mongo[database]["orders"].insert_many([{"_id": number} for number in range(20)])
    command = ("--until-caught-up", "--ns", f"{database}:{database}_copy", uri, uri)
    try:
        dsync(*command)
        mongo[database]["orders"].delete_many({})
        check(dsync("--max-delete", "5", *command, expect=None), 7, ["--max-delete 5", "higher"])
        assert mongo[f"{database}_copy"]["orders"].count_documents({}) == 20
        dsync("--max-delete", "20", *command)
        assert mongo[f"{database}_copy"]["orders"].count_documents({}) == 0
    finally:
        mongo.drop_database(f"{database}_copy")


def test_a_dropped_collection_is_a_gap_in_the_stream(
    dsync: Dsync, mongo: MongoClient[dict[str, Any]], database: str, words: Callable[[str], list[str]]
) -> None:
    (uri,) = words("{deployment}")
    mongo[database]["orders"].insert_one({"_id": 1})
    command = ("--until-caught-up", "--ns", f"{database}:{database}_copy", uri, uri)
    try:
        dsync(*command)
        mongo[database].drop_collection("orders")
        check(dsync(*command, expect=None), 7, [f"{database}.orders'", "dropped", "--ddl ignore", "--restart"])
    finally:
        mongo.drop_database(f"{database}_copy")


def test_differences_and_refused_documents_have_statuses_of_their_own(
    dsync: Dsync, mongo: MongoClient[dict[str, Any]], database: str, words: Callable[[str], list[str]]
) -> None:
    (uri,) = words("{mongo}")
    mongo[database].create_collection("two", validator={"a": {"$ne": 2}})
    check(dsync("two.jsonl", uri, expect=None), 1, [f"'{database}.two'", "_id int32 2", "121"])
    aside = dsync("--restart", "--on-error", "set-aside", "--dead-letters", "dead", "two.jsonl", uri, expect=None)
    check(aside, 6, ["1 document", "'dead'"])
    check(dsync("verify", "two.jsonl", uri, expect=None), 4, ["1 missing"])


def test_a_state_of_a_newer_version_is_refused_and_left_alone(dsync: Dsync, words: Callable[[str], list[str]]) -> None:
    dsync("--metadata", "state.db", "two.jsonl", "out.bson")
    state = sqlite3.connect(dsync.folder / "state.db")
    state.execute("pragma user_version = 99")
    state.close()
    before = (dsync.folder / "state.db").read_bytes()
    late = dsync("--metadata", "state.db", "two.jsonl", "out.bson", expect=None)
    check(late, 1, ["state.db'", "newer dsync", "99", "upgrade"])
    assert (dsync.folder / "state.db").read_bytes() == before


def test_a_reader_that_goes_away_ends_the_program(
    dsync: Dsync, words: Callable[[str], list[str]], tmp_path: Path
) -> None:
    rows = "".join(f'{{"_id": {number}}}\n' for number in range(20_000))
    (dsync.folder / "rows.jsonl").write_text(rows)
    reader = dsync.start("rows.jsonl", "null://", "--log-json")
    assert reader.stdout is not None
    reader.stdout.close()
    assert reader.stderr is not None
    err = reader.stderr.read()
    reader.stderr.close()
    assert reader.wait(60) != 0, err
    assert b"Traceback" not in err


def test_a_state_beside_the_data_is_neither_copied_nor_compared_and_is_shown_and_forgotten(
    dsync: Dsync, mongo: MongoClient[dict[str, Any]], database: str, words: Callable[[str], list[str]]
) -> None:
    (uri,) = words("{deployment}")
    (metadata,) = words("{mongo}")
    mongo[database]["orders"].insert_one({"_id": 1})
    command = ("--metadata", metadata, "--ns", f"{database}:{database}_copy", uri, uri)
    try:
        dsync("--until-caught-up", *command)
        mongo[database]["orders"].insert_one({"_id": 2})
        assert "safe to cut over" in dsync("--until-caught-up", *command).err
        assert "equal: 2 documents" in dsync("verify", *command).err
        swapped = ("--ns", f"{database}_copy:{database}", uri, uri)
        assert "equal: 2 documents" in dsync("verify", "--metadata", metadata, *swapped).err
        flows = [line.split() for line in dsync("--metadata", metadata, "state", "list").out.splitlines()]
        forward = next(words[0] for words in flows if "reverse" not in words)
        shown = json.loads(dsync("--metadata", metadata, "state", "show", forward).out)
        (stream,) = shown["streams"]
        assert stream["updates"] == 1
        assert stream["applied_up_to"].endswith("+00:00")
        dsync("--cleanup", *command)
        assert dsync("--metadata", metadata, "state", "list").out == ""
    finally:
        mongo.drop_database(f"{database}_copy")
