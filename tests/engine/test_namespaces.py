"""Which namespaces a run covers, and what they are called."""

from __future__ import annotations

import pytest

from dsync.errors import UsageError
from dsync.namespaces import parse


def test_without_names_everything_keeps_its_name() -> None:
    assert parse([]).names == []
    assert parse([]).destination("a.b") == "a.b"


@pytest.mark.parametrize(
    ("rules", "name", "destination"),
    [
        (["shop"], "shop.orders", "shop.orders"),
        (["shop:market"], "shop.orders", "market.orders"),
        (["shop:market"], "shop", "market"),
        (["shop:market"], "shopping.orders", "shopping.orders"),
        (["shop.orders:old.o"], "shop.orders", "old.o"),
        (["shop.orders:old.o"], "shop.orders.2024", "old.o.2024"),
        (["shop:a,shop.orders:b.c"], "shop.orders", "b.c"),
        (["shop:a", "shop.orders:b.c"], "shop.people", "a.people"),
        (["a%2Cb:c%3Ad"], "a,b", "c:d"),
        (["people:crm.people"], "demo.people", "crm.people"),
    ],
)
def test_a_mapping_renames_a_name_and_all_below_it(rules: list[str], name: str, destination: str) -> None:
    assert parse(rules).destination(name) == destination


def test_names_to_ask_for_are_those_of_the_source() -> None:
    assert parse(["a:b,c", "d.e"]).names == ["a", "c", "d.e"]


def test_exclusions_cover_what_is_below_them() -> None:
    selection = parse([], ["shop.tmp"])
    assert selection.excludes("shop.tmp")
    assert selection.excludes("shop.tmp.x")
    assert not selection.excludes("shop.tmpx")


@pytest.mark.parametrize("wrong", ["", "a:", ":a", "a:b:c", "a,,b"])
def test_what_is_no_name_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        parse([wrong])


def test_one_name_cannot_go_to_two() -> None:
    with pytest.raises(UsageError, match="maps 'a' to both 'b' and 'c'"):
        parse(["a:b", "a:c"])


def test_an_exclusion_is_no_mapping() -> None:
    with pytest.raises(UsageError, match="--exclude takes plain names"):
        parse([], ["a:b"])


def test_a_selection_reads_back_from_its_text() -> None:
    for rules in (["a:b", "c"], ["a%2Cb:c%3Ad"], ["x y"]):
        assert parse([str(parse(rules))]) == parse(rules)
