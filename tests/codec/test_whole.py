"""Documents of a reply that are taken apart only when somebody looks."""

from __future__ import annotations

import bson
import pytest

from dsync.codec import raw
from dsync.codec.errors import InvalidBson
from dsync.codec.whole import Documents, kept, total_bytes


def made(count: int) -> list[bytes]:
    return [bson.encode({"_id": number, "text": "x" * (number % 7)}) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 1234])
def test_documents_are_those_of_the_array_wherever_it_stands(count: int) -> None:
    expected = made(count)
    documents = Documents(b"before" + raw.array(expected) + b"behind", 6)
    assert (len(documents), documents.size) == (count, sum(map(len, expected)))
    assert not count or documents.last == expected[-1]
    assert list(documents) == expected == documents[:] == documents.apart()
    assert not count or documents[-1] == expected[-1]


def test_sizes_are_known_for_every_kind_of_sequence() -> None:
    expected = made(3)
    assert total_bytes(Documents(raw.array(expected))) == total_bytes(expected) == total_bytes(tuple(expected))
    assert list(kept(Documents(raw.array(expected)))) == kept(tuple(expected)) == expected


def test_the_array_is_what_it_was_made_of() -> None:
    array = raw.array(made(12))
    documents = Documents(b"before" + array + b"behind", 6)
    assert (documents.array, documents.array_bytes) == (array, len(array))


@pytest.mark.parametrize("index", [0, 5, 11])
@pytest.mark.parametrize("other", [{}, {"id": 1}, {"_idx": 1}, {"a": 1}, {"_ID": 1}])
@pytest.mark.parametrize("behind", [b"", b"behind" * 9])
def test_one_that_does_not_begin_with_its_id_is_noticed(index: int, other: dict[str, int], behind: bytes) -> None:
    documents = made(12)
    assert Documents(raw.array(documents) + behind).begin_with_id
    documents[index] = bson.encode(other)
    assert Documents(raw.array(documents) + behind).apart() == documents
    assert not Documents(raw.array(documents) + behind).begin_with_id


@pytest.mark.parametrize("index", range(12))
@pytest.mark.parametrize("wrong", [-(1 << 31), -400, -1, 0, 4, 5, 12, 400, (1 << 31) - 1])
def test_an_array_with_a_wrong_size_in_it_is_refused_before_anybody_looks(index: int, wrong: int) -> None:
    documents = made(12)
    assert len(documents[index]) != wrong
    documents[index] = wrong.to_bytes(4, "little", signed=True) + documents[index][4:]
    with pytest.raises(InvalidBson):
        Documents(raw.array(documents))


def test_an_array_that_is_cut_off_is_refused() -> None:
    array = raw.array(made(12))
    for end in range(len(array)):
        with pytest.raises(InvalidBson):
            Documents(array[:end])


def test_an_array_with_other_keys_is_refused() -> None:
    with pytest.raises(InvalidBson):
        Documents(raw.array(made(12)).replace(b"\x0311\0", b"\x0312\0"))
