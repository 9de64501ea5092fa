"""Transforms as their users run them: a function beside the data, or another process, between two stores."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient

from tests.kit import oracle, process
from tests.kit.cli import TOP, Dsync

MODULE = '''
"""What the tests put between stores."""


def adults(namespace, document, id):
    """Names apart, people by where they live, nobody without an e-mail address."""
    if document["email"] and document["city"]:
        yield "by_city." + document["city"].lower(), {"name": document["name"], "email": document["email"]}


def parts(namespace, document, id):
    """One document a line of an order."""
    for number in range(5):
        if document is None:
            yield namespace + "_lines", {"_id": f"{id}:{number}"}
        elif number < document["lines"]:
            yield namespace + "_lines", {"_id": f"{id}:{number}", "order": id, "amount": document["amount"] * number}
    if document is None:
        yield namespace, {"_id": id}
    elif document["amount"] >= 0:
        yield namespace, {"_id": id, "amount": document["amount"], "big": document["amount"] > 50}


def picky(namespace, document, id):
    """Fails on Ada."""
    if document["name"].startswith("Ada"):
        raise LookupError(document["email"])
    yield namespace, document
'''


@pytest.fixture
def work(dsync: Dsync) -> Dsync:
    """dsync in a folder with data and functions."""
    shutil.copy(TOP / "test_data" / "people.csv", dsync.folder)
    (dsync.folder / "shop.py").write_text(MODULE)
    return dsync


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_becomes_several_through_a_function_in_the_current_folder(work: Dsync) -> None:
    result = work("people.csv", "out/", "python:shop:adults")
    made = sorted(path.relative_to(work.folder / "out") for path in (work.folder / "out").rglob("*.jsonl"))
    assert Path("by_city/zürich.jsonl") in made
    assert not (work.folder / "out" / "people.jsonl").exists()
    everything = [each for path in made for each in lines(work.folder / "out" / path)]
    assert all(each.keys() == {"name", "email"} for each in everything)
    assert f"{len(everything)} documents" in result.err
    assert len(everything) < 12
    assert f", {12 - len(everything)} filtered out in " in result.err


def test_null_shows_what_a_function_makes(work: Dsync) -> None:
    result = work("people.csv", "/dev/null", "--log-json", "python:shop:adults")
    assert {"by_city.zürich"} <= {json.loads(line)["namespace"] for line in result.out.splitlines()}


def test_a_plan_says_where_the_transform_leads_and_touches_nothing(work: Dsync) -> None:
    result = work("plan", "people.csv", "out/", "python:shop:adults")
    assert "note: of the first documents of people the transform makes by_city." in result.out
    assert not (work.folder / "out").exists()


def test_verification_goes_through_the_transform_too(work: Dsync) -> None:
    work("people.csv", "out/", "python:shop:adults")
    assert "equal" in work("verify", "people.csv", "out/", "python:shop:adults").err
    assert "different" in work("verify", "people.csv", "out/", expect=4).err
    work("--verify", "people.csv", "out/", "python:shop:adults")


def test_what_a_function_fails_on_is_set_aside(work: Dsync) -> None:
    assert "LookupError at line" in work("people.csv", "out.jsonl", "python:shop:picky", expect=1).err
    letters = ["--on-error", "set-aside", "--dead-letters", "letters"]
    result = work(*letters, "people.csv", "out.jsonl", "python:shop:picky", expect=6)
    assert "ada@example.org" not in result.err + result.out
    (letter,) = lines(work.folder / "letters")
    assert letter["document"]["email"] == "ada@example.org"
    assert len(lines(work.folder / "out.jsonl")) == 11


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["python:shop:no_such"], "'shop' has no 'no_such'"),
        (["python:nowhere:f"], "there is no module 'nowhere'"),
        (["python:shop:__doc__"], "not a function"),
        (["python:shop"], "write python:package.module:function"),
        (["/dev/null"], "nothing but a transform is expected after DESTINATION, but there is '/dev/null'"),
        (["python:shop:adults", "more"], "nothing is expected after TRANSFORM"),
        (["python:shop:adults", "--region", "x"], "python has no option --region as a transform"),
        (["grpc://127.0.0.1:1", "--insecure", "--no-such"], "grpc has no option --no-such as a transform"),
        (["--reverse", "python:shop:adults"], "--reverse cannot lead changes back through a transform"),
    ],
)
def test_what_cannot_be_a_transform_is_a_usage_error_that_says_why(work: Dsync, words: list[str], message: str) -> None:
    result = work("people.csv", "out.jsonl", *words, expect=2)
    assert message in result.err
    assert not (work.folder / "out.jsonl").exists()


def test_a_function_is_neither_source_nor_destination_and_nothing_is_mended_through_one(work: Dsync) -> None:
    assert "python cannot be read from" in work("python:shop:adults", "out.jsonl", expect=2).err
    assert "python cannot be written to" in work("people.csv", "python:shop:adults", expect=2).err
    (work.folder / "report").write_text("")
    words = ["repair", "--from", "report", "people.csv", "out.jsonl", "python:shop:adults"]
    assert "cannot be mended through a transform" in work(*words, expect=2).err


def test_a_transform_may_stand_in_the_configuration_file(work: Dsync) -> None:
    (work.folder / "c.yaml").write_text("transform:\n  uri: python:shop:adults\n")
    work("--config", "c.yaml", "people.csv", "out/")
    assert (work.folder / "out" / "by_city").is_dir()


class Served:
    """`dsync serve python:shop:…` in a process of its own, which may be killed and started again."""

    def __init__(self, work: Dsync, function: str) -> None:
        self.work, self.function, self.port = work, function, process.free_port()
        self.start()

    def start(self) -> None:
        log = self.work.folder / "serve.log"
        command = Dsync.command("serve", "--address", f"127.0.0.1:{self.port}", f"python:shop:{self.function}")
        variables = self.work.variables()
        variables["PYTHONPATH"] += f":{self.work.folder}"
        self.process = process.start(command, log, variables)
        process.wait_ready(self.process, log, lambda: process.listens(self.port))

    @property
    def words(self) -> list[str]:
        return [f"grpc://127.0.0.1:{self.port}", "--insecure"]


@pytest.fixture
def served(work: Dsync) -> Iterator[Served]:
    served = Served(work, "parts")
    yield served
    process.stop(served.process)


def test_check_says_what_a_transform_takes_and_makes(served: Served) -> None:
    for words in (["python:shop:parts"], served.words):
        result = served.work("check", *words)
        assert "can be used" in result.out
        assert "transform: MONGO_BSON to MONGO_BSON" in result.out


def orders(count: int) -> list[dict[str, Any]]:
    chance = random.Random(count)
    return [{"_id": n, "lines": chance.randrange(5), "amount": chance.randrange(-20, 100)} for n in range(count)]


def expected(documents: list[dict[str, Any]], namespace: str) -> list[oracle.Placed]:
    """What `parts` makes, without a line of dsync."""
    scope: dict[str, Any] = {}
    exec(MODULE, scope)
    made = [each for document in documents for each in scope["parts"](namespace, document, document["_id"])]
    return [(name, bson.encode(document)) for name, document in made]


def at(mongo_uri: str, database: str) -> str:
    return mongo_uri.replace("/?", f"/{database}?")


@pytest.fixture
def other(database: str, mongo: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """Another database."""
    yield f"{database}_o"
    mongo.drop_database(f"{database}_o")


@pytest.mark.parametrize("by", ["function", "peer"])
def test_a_stream_keeps_what_was_made_of_documents_in_step_with_them(
    by: str, served: Served, mongo_uri: str, mongo: MongoClient[dict[str, Any]], database: str, other: str
) -> None:
    work, source = served.work, mongo[database].orders
    source.insert_many(orders(500))
    words = ["--ns", f"{database}.orders:{other}.o", "--until-caught-up", at(mongo_uri, database), at(mongo_uri, other)]
    words += served.words if by == "peer" else ["python:shop:parts"]
    work(*words)
    for number in range(0, 500, 3):
        source.update_one({"_id": number}, {"$set": {"lines": number % 5}, "$inc": {"amount": -30}})
    source.delete_many({"_id": {"$mod": [7, 0]}})
    source.insert_many([{"_id": f"new {n}", "lines": n % 5, "amount": n} for n in range(20)])
    result = work(*words)
    assert "updates applied" in result.err
    report = oracle.compare(expected(list(source.find()), "o"), oracle.mongo_side(mongo_uri, other))
    assert report.equal, report
    verified = ["verify", "--ns", f"{database}.orders:{other}.o", at(mongo_uri, database), at(mongo_uri, other)]
    assert "equal" in work(*verified, *words[5:]).err


def test_one_to_many_without_ids_that_follow_from_the_id_is_refused_where_changes_are_followed(
    work: Dsync, mongo_uri: str, mongo: MongoClient[dict[str, Any]], database: str, other: str
) -> None:
    mongo[database].people.insert_many({"_id": n, "email": f"{n}@x", "city": "x", "name": "y"} for n in range(10))
    words = ["--ns", f"{database}:{other}", at(mongo_uri, database), at(mongo_uri, other), "python:shop:by_city"]
    text = "\n\ndef by_city(namespace, document, id):\n    made = document or {}\n    yield namespace, {'_id': f'{made} {id}'}\n"
    (work.folder / "shop.py").write_text(MODULE + text)
    assert "does not name when the document is deleted" in work(*words, expect=2).err
    assert other not in mongo.list_database_names()
    work("--mode", "InitialSync", *words)
    assert mongo[other].people.count_documents({}) == 10


def kill_and_finish(work: Dsync, words: list[str], chance: random.Random, kills: int) -> None:
    """The command, killed so many times, then to its end."""
    for _ in range(kills):
        running = work.start(*words)
        time.sleep(chance.uniform(0.5, 2.5))
        running.send_signal(signal.SIGKILL)
        running.communicate()
    work(*words, timeout=240)


@pytest.mark.parametrize("target", ["mongo", "files"])
def test_a_copy_killed_again_and_again_makes_everything_once(
    target: str, work: Dsync, mongo_uri: str, mongo: MongoClient[dict[str, Any]], database: str, other: str
) -> None:
    documents = orders(20_000)
    mongo[database].orders.insert_many(documents)
    words = ["--mode", "InitialSync", "--write-rate-limit", "10000", "--writer-batch-size", "500"]
    words += ["--ns", f"{database}.orders:{other}.o", at(mongo_uri, database), "--doc-partition", "4000"]
    words += [at(mongo_uri, other)] if target == "mongo" else ["out/", "--format", "bson"]
    kill_and_finish(work, [*words, "python:shop:parts"], random.Random(target), 4)
    arrived = (
        oracle.mongo_side(mongo_uri, other) if target == "mongo" else oracle.bson_side(work.folder / "out" / other)
    )
    report = oracle.compare(expected(documents, "o"), arrived)
    assert report.equal, report


def test_a_stream_killed_again_and_again_loses_nothing(
    work: Dsync, mongo_uri: str, mongo: MongoClient[dict[str, Any]], database: str, other: str
) -> None:
    chance, source = random.Random(5), mongo[database].orders
    source.insert_many(orders(2000))
    words = ["--ns", f"{database}.orders:{other}.o", at(mongo_uri, database), at(mongo_uri, other), "python:shop:parts"]
    for _ in range(4):
        running = work.start(*words)
        end = time.monotonic() + chance.uniform(1.0, 3.0)
        while time.monotonic() < end:
            number = chance.randrange(2500)
            changed = {"lines": chance.randrange(5), "amount": chance.randrange(-20, 100)}
            if chance.random() < 0.3:
                source.delete_one({"_id": number})
            else:
                source.replace_one({"_id": number}, changed, upsert=True)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    work("--until-caught-up", *words, timeout=240)
    report = oracle.compare(expected(list(source.find()), "o"), oracle.mongo_side(mongo_uri, other))
    assert report.equal, report


def test_a_peer_that_is_killed_and_comes_back_holds_a_run_up_and_no_more(
    served: Served, mongo_uri: str, mongo: MongoClient[dict[str, Any]], database: str
) -> None:
    documents = orders(20_000)
    mongo[database].orders.insert_many(documents)
    words = ["--mode", "InitialSync", "--write-rate-limit", "10000", "--writer-batch-size", "500"]
    words += ["--ns", f"{database}.orders:o", at(mongo_uri, database), "out/", "--format", "bson", *served.words]
    running = served.work.start(*words)
    time.sleep(2)
    process.stop(served.process)
    time.sleep(0.5)
    served.start()
    _, errors = running.communicate(timeout=240)
    assert running.returncode == 0, errors.decode()
    report = oracle.compare(expected(documents, "o"), oracle.bson_side(served.work.folder / "out"))
    assert report.equal, report
