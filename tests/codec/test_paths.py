"""Namespaces as paths."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dsync.codec.paths import PART_BYTES, decode, encode
from dsync.errors import UsageError

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.text("ab.%/_é\u0301e", max_size=12)

HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "/",
    "a/b",
    "a.b",
    "a..b",
    ".a",
    "a.",
    "../../etc/passwd",
    "C:\\x",
    "a\x00b",
    "a\nb",
    "trailing ",
    "%",
    "%%",
    "a%",
    "%41",
    "A",
    "é",
    "e\u0301",
    "\u212b",
    "\u1100\u1161",
    "\uac00",
    "😀",
    "x" * 300,
    "x" * 200,
    "x" * 201,
    "😀" * 100,
    "x" * 199 + "😀",
    "é" * 150,
    "a." * 50,
    "日本語.表",
    "-",
    "~",
    "con",
]


@pytest.mark.parametrize("namespace", HOSTILE)
def test_a_hostile_name_comes_back_and_stays_under_the_root(namespace: str) -> None:
    parts = encode(namespace)
    assert decode(parts) == namespace
    assert parts
    for part in parts:
        assert part not in ("", ".", "..")
        assert not set(part) & set("/\\.\x00\n ")
        assert len(part.encode()) <= PART_BYTES


def test_hostile_names_have_paths_of_their_own() -> None:
    assert len({encode(name) for name in HOSTILE}) == len(HOSTILE)


@given(names)
@example("x" * 198 + "%41")
@example("x" * 187 + "%.a")
def test_every_name_comes_back(namespace: str) -> None:
    assert decode(encode(namespace)) == namespace


@given(names, names)
def test_two_names_never_share_a_path(one: str, other: str) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@given(names)
def test_paths_are_the_same_under_both_normal_forms(namespace: str) -> None:
    parts = encode(namespace)
    assert parts == tuple(unicodedata.normalize("NFC", part) for part in parts)
    assert decode([unicodedata.normalize("NFD", part) for part in parts]) == namespace


@pytest.mark.parametrize(
    ("namespace", "parts"),
    [
        ("shop.orders", ("shop", "orders")),
        ("café", ("café",)),
        ("cafe\u0301", ("cafe%CC%81",)),
        ("a b.c", ("a%20b", "c")),
        ("a..b", ("a", "%", "b")),
        ("", ("%",)),
        ("x" * 201, ("x" * 199 + "%", "xx")),
    ],
)
def test_the_path_of_a_name_is_what_the_rules_say(namespace: str, parts: tuple[str, ...]) -> None:
    assert encode(namespace) == parts


@pytest.mark.parametrize(
    ("parts", "namespace"),
    [
        (("sales.2024", "jan"), "sales.2024.jan"),
        (("my file",), "my file"),
        (("100%", "x"), "100%.x"),
        (("%zz%4",), "%zz%4"),
        (("%ff",), "%ff"),
        (("a", "", "b"), "a..b"),
        (("e\u0301",), "é"),
    ],
)
def test_names_that_others_gave_are_read_as_they_stand(parts: tuple[str, ...], namespace: str) -> None:
    assert decode(parts) == namespace


@pytest.mark.parametrize("name", ["\ud800", "a.\udcff"])
def test_what_is_not_unicode_is_refused_both_ways(name: str) -> None:
    with pytest.raises(UsageError, match="is not Unicode"):
        encode(name)
    with pytest.raises(UsageError, match="is not Unicode"):
        decode([name])
