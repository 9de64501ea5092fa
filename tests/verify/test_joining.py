"""Documents of two sides find each other in whatever order they come, and whatever memory there is."""

from __future__ import annotations

import random
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsync.flow import verify_spill
from dsync.flow.digest import Digester
from dsync.flow.verify_spill import KINDS, Record, Spill, judge, pack, unpack
from dsync.flow.verify_window import SIDES, Window

# A document here is its id and its version.
DOCUMENTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=40)


def record(document: bytes) -> bytes:
    digester = Digester(b"key")
    name, version = document.split(b"/")
    return pack(digester.of(name), digester.of(version), len(document), 7, 2, name)


def joined(left: list[bytes], right: list[bytes], budget: int, page: int, folder: Path) -> dict[bytes, str]:
    with Spill(str(folder)) as spill:

        def spilled(side: int, documents: Iterable[bytes]) -> None:
            spill.add(side, map(record, documents))

        window = Window(spilled, budget)
        for at in range(0, max(len(left), len(right)), page):
            window.add(0, left[at : at + page])
            window.add(1, right[at : at + page])
        window.flush()
        suspects = [suspect for bucket in spill.buckets() for suspect in spill.join(bucket)]
    assert len({suspect.record.key for suspect in suspects}) == len(suspects)
    return {suspect.record.id_value: suspect.kind for suspect in suspects}


def expected(left: list[bytes], right: list[bytes]) -> dict[bytes, str]:
    """By the definition: the documents of each id as multisets, without those that the other side has too."""
    ours, theirs = Counter(left) - Counter(right), Counter(right) - Counter(left)
    found: dict[bytes, str] = {}
    for name in {document.split(b"/")[0] for document in (*ours, *theirs)}:
        here, there = (any(d.split(b"/")[0] == name for d in side) for side in (ours, theirs))
        found[name] = "changed" if here and there else "missing" if here else "extra"
    return found


@given(DOCUMENTS, DOCUMENTS, st.sampled_from([0, 400, 1500, 10**6]), st.integers(1, 9))
def test_what_differs_is_found_whatever_the_order_the_window_and_the_pages(
    tmp_path_factory: pytest.TempPathFactory,
    ours: list[tuple[int, int]],
    theirs: list[tuple[int, int]],
    budget: int,
    page: int,
) -> None:
    left, right = ([b"%d/%d" % pair for pair in side] for side in (ours, theirs))
    assert joined(left, right, budget, page, tmp_path_factory.getbasetemp()) == expected(left, right)


def test_equal_sides_in_other_orders_leave_nothing(tmp_path: Path) -> None:
    left = [b"%d/1" % n for n in range(5000)]
    right = random.Random(4).sample(left, len(left))
    assert joined(left, right, 20_000, 100, tmp_path) == {}


def test_a_bucket_too_large_to_be_joined_at_once_is_cut_into_smaller_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_spill, "JOIN_BYTES", 120)
    monkeypatch.setattr(verify_spill, "BUFFER_BYTES", 10_000)
    left, right = [b"%d/1" % n for n in range(400)], [b"%d/1" % n for n in range(3, 403)]
    assert joined(left, right, 0, 100, tmp_path) == {
        **{b"%d" % n: "missing" for n in range(3)},
        **{b"%d" % n: "extra" for n in range(400, 403)},
    }


def test_a_thousand_copies_of_one_document_do_not_need_buckets_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_spill, "JOIN_BYTES", 500)
    assert joined([b"1/1"] * 1000, [b"1/1"] * 999, 0, 100, tmp_path) == {b"1": "missing"}


def test_the_folder_is_nobody_elses_and_goes_away(tmp_path: Path) -> None:
    with Spill(str(tmp_path)) as spill:
        spill.add(0, [record(b"1/1")])
        spill.buckets()
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert list(folder.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_a_record_comes_back_from_its_bytes() -> None:
    one = Record(b"k" * 16, b"d" * 16, 2**32 - 1, 3, 255, b"")
    other = Record(b"k" * 16, b"d" * 16, 0, 0, 0, b"id\0")
    assert [unpack(pack(*each)) for each in (one, other)] == [one, other]


def test_one_of_several_documents_of_an_id_is_enough_where_that_was_asked_for() -> None:
    assert judge([b"a", b"b"], [b"b"], any_of=True) is None
    assert judge([b"a", b"b"], [b"b"], any_of=False) == "missing"
    assert judge([b"a", b"b"], [b"c"], any_of=True) == "changed"
    assert judge([], [b"c"], any_of=True) == "extra"
    assert set(KINDS) == {"missing", "extra", "changed"} and SIDES == (0, 1)
