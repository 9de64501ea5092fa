"""Verification and repair between MongoDB, files and S3."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from dsync import codec, namespaces
from dsync.endpoint import Endpoint
from dsync.errors import DsyncError
from dsync.flow.digest import Form
from dsync.flow.repair import RepairSettings, repair
from dsync.flow.verify import verify
from dsync.flow.verify_outcome import VerifySettings
from dsync.flow.verify_report import Report, read_report
from dsync.run import migrate
from dsync.settings import Settings
from tests.kit import documents as kit
from tests.mongo.driving import uri_of
from tests.verify.planting import compared, documents, encoded, plant

Mongo = MongoClient[dict[str, Any]]
COUNT = 2500


def store(mongo: Mongo, database: str, content: Iterable[bytes], collection: str = "things") -> None:
    mongo[database][collection].insert_many(map(RawBSONDocument, content), ordered=False)


def mapped(database: str, other: str) -> dict[str, Any]:
    return {"selection": namespaces.parse([f"{database}:{other}"])}


async def copy(source: Endpoint, destination: Endpoint, **settings: Any) -> None:
    await migrate(source, destination, Settings(mode="InitialSync", metadata="memory:", workers=1, **settings))


async def test_planted_differences_between_two_collections_are_reported_and_no_others(
    mongo: Mongo, mongo_uri: str, database: str
) -> None:
    source = documents(COUNT)
    planted = plant(source)
    store(mongo, database, encoded(source))
    store(mongo, f"{database}_b", planted.documents)
    ends = (
        Endpoint(uri_of(mongo_uri, database), {"doc_partition": 700}),
        Endpoint(uri_of(mongo_uri), {"doc_partition": 900}),
    )
    try:
        verified = await compared(*ends, **mapped(database, f"{database}_b"))
    finally:
        mongo.drop_database(f"{database}_b")
    assert verified.found == planted.expected
    assert verified.outcome.namespaces[0].documents == [COUNT, len(planted.documents)]


async def test_ids_of_every_type_are_equal_in_two_collections_and_none_is_overlooked(
    mongo: Mongo, mongo_uri: str, database: str
) -> None:
    content = encoded(kit.ids_of_ten_types(2000))
    for collection in ("a", "b"):
        store(mongo, database, content, collection)
    ends = Endpoint(uri_of(mongo_uri, database), {"doc_partition": 150}), Endpoint(uri_of(mongo_uri, database))
    selection: dict[str, Any] = {"selection": namespaces.parse([f"{database}.a:{database}.b"])}
    verified = await compared(*ends, **selection)
    assert verified.outcome.result == "equal" and verified.outcome.documents(0) == len(content)
    mongo[database].b.delete_many({})
    assert len((await compared(*ends, **selection)).lines) == len(content)


@pytest.mark.parametrize("name", ["things.bson", "things.jsonl", "things.json.gz"])
async def test_a_file_that_was_written_from_a_database_is_equal_to_it_until_one_byte_changes(
    mongo: Mongo, mongo_uri: str, database: str, tmp_path: Path, name: str
) -> None:
    store(
        mongo, database, encoded([*documents(COUNT), *({**each, "_id": f"t{each['_id']}"} for each in kit.all_types())])
    )
    ends = Endpoint(uri_of(mongo_uri, database)), Endpoint(str(tmp_path / name))
    await copy(*ends)
    verified = await compared(*ends)
    assert verified.outcome.result == "equal", verified.lines[:3]
    mongo[database].things.update_one({"_id": 40}, {"$set": {"n": Int64(40)}})
    mongo[database].things.delete_one({"_id": "id 42"})
    assert (await compared(*ends)).found == {("40", "changed"): ["n"], ('"id 42"', "extra"): []}
    assert (await compared(*ends[::-1], **mapped("things", f"{database}.things"))).found == {
        ("40", "changed"): ["n"],
        ('"id 42"', "missing"): [],
    }


async def test_a_file_in_any_order_is_compared_with_a_collection(
    mongo: Mongo, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    source = documents(COUNT)
    planted = plant(source)
    store(mongo, database, encoded(source))
    texts = codec.bson_to_text(planted.documents)
    (tmp_path / "things.jsonl").write_bytes(b"".join(text + b"\n" for text in sorted(texts, key=lambda t: t[::-1])))
    ends = Endpoint(uri_of(mongo_uri, database)), Endpoint(str(tmp_path / "things.jsonl"))
    assert (await compared(*ends)).found == planted.expected
    assert (await compared(*ends, memory_limit=1_000_000)).found == planted.expected


async def test_lines_without_ids_are_found_again_under_the_ids_that_the_copy_made(
    mongo: Mongo, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text("name,age\n" + "".join(f"name {n},{n % 90}\n" for n in range(3000)))
    ends = Endpoint(str(tmp_path / "people.csv")), Endpoint(uri_of(mongo_uri, database))
    await copy(*ends)
    mongo[database].other.insert_one({"_id": "not of this copy"})
    assert (await compared(*ends)).outcome.result == "equal"
    mongo[database].people.delete_one({"_id": "people:7"})
    assert (await compared(*ends)).found == {('"people:7"', "missing"): []}


async def test_lines_without_ids_are_equal_in_another_file(tmp_path: Path) -> None:
    lines = [json.dumps({"n": n % 500}) for n in range(2000)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    ends = Endpoint(str(tmp_path / "a.jsonl")), Endpoint(str(tmp_path / "b.json"))
    await copy(*ends)
    assert (await compared(*ends)).outcome.result == "equal"
    (tmp_path / "a.jsonl").write_text("\n".join(lines[:-1]))
    assert [line["kind"] for line in (await compared(*ends)).lines] == ["extra"]


async def test_a_folder_is_compared_with_a_database_by_namespace(
    mongo: Mongo, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    for collection in ("a", "b.c", "d é"):
        store(mongo, database, encoded(documents(50)), collection)
    ends = Endpoint(uri_of(mongo_uri, database)), Endpoint(f"{tmp_path}/out/")
    await copy(*ends)
    assert (await compared(*ends)).outcome.result == "equal"
    mongo[database]["b.c"].insert_one({"_id": "late"})
    mongo[database]["d é"].drop()
    verified = await compared(*ends)
    assert sorted({(line["namespace"], line["kind"]) for line in verified.lines}) == [
        (f"{database}.b.c", "missing"),
        (f"{database}.d é", "extra"),
    ]


async def test_a_query_holds_for_the_verification_too(mongo: Mongo, mongo_uri: str, database: str) -> None:
    store(mongo, database, encoded(documents(400)))
    query = {"initial_sync_query": '{"n": {"$lt": 100}}'}
    source, plain = Endpoint(uri_of(mongo_uri, database), query), Endpoint(uri_of(mongo_uri, database))
    selection: dict[str, Any] = {"selection": namespaces.parse([f"{database}.things:{database}.some"])}
    await copy(source, plain, **selection)
    assert (await compared(source, plain, **selection)).outcome.result == "equal"
    assert (await compared(source, plain, quick_count=True, **selection)).outcome.result == "equal"
    assert (await compared(plain, plain, quick_count=True, **selection)).outcome.result == "different"


async def test_a_copy_to_csv_is_compared_by_the_text_that_it_can_hold(
    mongo: Mongo, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    mixed = [{"_id": 1000 + n, "a": n, "b": None if n % 2 else "", "c": 1e16 * n} for n in range(500)]
    store(mongo, database, encoded([*kit.all_types(), *mixed, *({**each, "_id": ObjectId()} for each in mixed)]))
    ends = Endpoint(uri_of(mongo_uri, database)), Endpoint(str(tmp_path / "things.csv"))
    await copy(*ends)
    assert (await compared(*ends)).outcome.result == "different"
    verified = await compared(*ends, form=Form(as_text=True))
    assert (verified.outcome.result, verified.lines) == ("equal", [])
    assert any("compared as text" in note for note in verified.outcome.notes)
    mongo[database].things.update_one({"_id": 1001}, {"$set": {"a": -1, "b": "", "c": 1e16}})
    mongo[database].things.delete_one({"_id": 1002})
    found = (await compared(*ends, form=Form(as_text=True))).found
    assert found == {("1001", "changed"): ["a"], ('"1002"', "extra"): []}
    by_column = Form(as_text=True, projection=((b"b",),))
    assert (await compared(*ends, form=by_column)).found == {('"1002"', "extra"): []}


async def test_an_id_of_another_type_of_number_is_mended_too(
    mongo: Mongo, mongo_uri: str, database: str, tmp_path: Path
) -> None:
    store(mongo, database, encoded([{"_id": 5, "a": 1}, {"_id": 6}]), "a")
    store(mongo, database, encoded([{"_id": Int64(5), "a": 1}, {"_id": 6.0}]), "b")
    end = Endpoint(uri_of(mongo_uri, database))
    selection = namespaces.parse([f"{database}.a:{database}.b"])
    with Report(str(tmp_path / "r"), io.BytesIO()) as report:
        await verify(end, end, VerifySettings(selection=selection, recheck=0), report)
    assert (await repair(end, end, read_report(str(tmp_path / "r")), RepairSettings())).total == {"written": 2}
    assert (await compared(end, end, selection=selection)).outcome.result == "equal"


async def test_a_view_at_the_destination_is_not_taken_for_a_copy(mongo: Mongo, mongo_uri: str, database: str) -> None:
    store(mongo, database, encoded(documents(4)), "a")
    mongo[database].command("create", "b", viewOn="a", pipeline=[])
    end = Endpoint(uri_of(mongo_uri, database))
    with pytest.raises(DsyncError, match="does not list it"):
        await compared(end, end, selection=namespaces.parse([f"{database}.a:{database}.b"]))


async def test_objects_are_compared_with_a_collection(
    mongo: Mongo, mongo_uri: str, database: str, s3_endpoint: str, bucket: str
) -> None:
    store(mongo, database, encoded(documents(1000)))
    ends = Endpoint(uri_of(mongo_uri, database)), Endpoint(f"s3://{bucket}/copy", {"endpoint": s3_endpoint})
    await copy(*ends)
    assert (await compared(*ends)).outcome.result == "equal"
    mongo[database].things.update_one({"_id": 40}, {"$set": {"n": -1}})
    mongo[database].things.insert_one({"_id": "late"})
    assert (await compared(*ends)).found == {("40", "changed"): ["n"], ('"late"', "missing"): []}


def test_the_planted_documents_are_sound() -> None:
    assert all(bson.decode(document) for document in plant(documents(100)).documents)
