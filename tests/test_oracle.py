"""The oracle must see every difference that a copy can make."""

from __future__ import annotations

import bson
from bson import Int64

from tests.kit import documents, oracle

DOCUMENTS = [bson.encode(each) for each in documents.all_types()]


def side(*each: bytes) -> list[oracle.Placed]:
    return [("c", one) for one in each]


def test_the_same_documents_in_another_order_are_equal() -> None:
    report = oracle.compare(side(*DOCUMENTS), side(*reversed(DOCUMENTS)))
    assert report.equal
    assert report.left == report.right == len(DOCUMENTS)


def test_it_finds_what_is_lost_extra_changed_and_twice() -> None:
    one, two, three, four = (bson.encode({"_id": n}) for n in range(4))
    report = oracle.compare(side(one, two, three), side(bson.encode({"_id": 0, "a": 1}), two, two, four))
    assert [len(found) for found in (report.changed, report.twice, report.lost, report.extra)] == [1, 1, 1, 1]
    assert not report.equal
    assert "lost: 1 (c type 16 02000000)" in str(report)


def test_field_order_type_and_namespace_count() -> None:
    assert oracle.compare(
        side(bson.encode({"_id": 1, "a": 1, "b": 2})), side(bson.encode({"_id": 1, "b": 2, "a": 1}))
    ).changed
    assert oracle.compare(side(bson.encode({"_id": 5})), side(bson.encode({"_id": Int64(5)}))).lost
    assert oracle.compare([("a", DOCUMENTS[0])], [("b", DOCUMENTS[0])]).lost


def test_the_id_is_found_wherever_it_stands_behind_values_of_every_type() -> None:
    for document in documents.all_types():
        moved = bson.encode({"value": document["value"], "_id": 7})
        assert oracle.id_of(moved) == (0x10, b"\7\0\0\0"), documents.canonical(moved)


def test_ids_of_ten_types_are_all_different() -> None:
    made = [oracle.id_of(bson.encode(each)) for each in documents.ids_of_ten_types(2000)]
    assert len(set(made)) == len(made) == 2000
    assert len({kind for kind, _ in made}) >= 10
