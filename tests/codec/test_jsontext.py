"""JSON text as records."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsync.codec import jsontext
from dsync.codec.jsontext import Position, Rest, TextError

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab"\\{}[],:\n é😀'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('_id"{},', max_size=3), inner, max_size=3),
    max_leaves=5,
)
documents = st.lists(st.dictionaries(st.text("_idab", max_size=3), values, max_size=3), max_size=5)
blanks = st.sampled_from(["", " ", "\n", "\r\n", "\t\n "])
sizes = st.integers(1, 40)


def read(text: bytes, chunk_bytes: int) -> tuple[list[bytes], list[int]]:
    """All records and their numbers, reading `chunk_bytes` at a time and twice as much where that holds no record."""
    size = chunk_bytes
    while (at := jsontext.start(text[:size], Rest.END if size >= len(text) else Rest.MORE)) is None:
        size *= 2
    texts: list[bytes] = []
    numbers: list[int] = []
    size = chunk_bytes
    while True:
        end = at.offset + size
        rest = Rest.END if end >= len(text) else Rest.MORE
        page = jsontext.split(text[at.offset : end], at, rest)
        assert len(page.texts) == len(page.numbers)
        texts += page.texts
        numbers += page.numbers
        size = chunk_bytes if page.next.offset > at.offset else size * 2
        at = page.next
        if rest is Rest.END:
            assert at.offset == len(text)
            return texts, numbers


def verdict(text: bytes, chunk_bytes: int) -> Any:
    try:
        return read(text, chunk_bytes)
    except TextError as error:
        return error.offset, error.number, str(error)


def line_starts(text: str, records: list[str]) -> Iterator[int]:
    offset = 0
    for record in records:
        offset = text.index(record, offset)
        yield text.count("\n", 0, offset) + 1
        offset += len(record)


@given(documents, blanks, st.sampled_from([None, 1]), sizes)
def test_lines_come_back_with_the_line_where_each_starts(
    docs: list[Any], blank: str, indent: int | None, size: int
) -> None:
    records = [json.dumps(doc, ensure_ascii=False, indent=indent) for doc in docs]
    text = "\ufeff" + "".join(f"{blank}{record}\n" for record in records)
    assert read(text.encode(), size) == ([r.encode() for r in records], list(line_starts(text, records)))


@given(documents, blanks, blanks, st.sampled_from([None, 1]), sizes)
def test_elements_of_an_array_come_back_numbered(
    docs: list[Any], before: str, after: str, indent: int | None, size: int
) -> None:
    records = [json.dumps(doc, ensure_ascii=False, indent=indent) for doc in docs]
    text = before + "[" + f"{after},{before}".join(records) + f"{after}]{before}"
    assert read(text.encode(), size) == ([r.encode() for r in records], list(range(1, len(records) + 1)))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"a":1} {"b":2}\n', "line 1 (offset 8): something follows"),
        (b'{"a":1}\n{"b":2},\n', "line 2 (offset 15): something follows"),
        (b'{"a":1}\r{"b":2}\r', "line 1 (offset 8): something follows"),
        (b'\n\n{"a":1}\n7\n', "line 4 (offset 10): not a JSON object"),
        (b'{"a":tru}\n', "line 1 (offset 6): not valid JSON"),
        (b'{"a":"x}\n{"b":1}\n', "line 1 (offset 8): not valid JSON"),
        (b'{"a":1}\n{"b":[1}\n', "line 2 (offset 15): not valid JSON"),
        (b'{"a":1}\n{"b":"\xff"}\n', "line 2 (offset 14): not UTF-8"),
        (b'{"a":1}\n{"b":\n', "line 2 (offset 8): the text ends inside an object"),
        (b'{"a":1}\n\xef\xbb\xbf{"b":1}\n', "line 2 (offset 8): not a JSON object"),
        (b'{"a":"\\ud800"}\n{"a":1}', "line 1 (offset 0): not valid JSON"),
        (b'{"a":NaN}', "line 1 (offset 5): not valid JSON"),
        (b'{"a":01}', "line 1 (offset 6): not valid JSON"),
        (b'{"a":"\t"}', "line 1 (offset 6): not valid JSON"),
        (b'{"a":1}\n]', "line 2 (offset 8): not a JSON object"),
        (b'[{"a":1}] [{"b":2}]', "element 2 (offset 10): something follows the array"),
        (b'[{"a":1}]\n{"b":2}', "element 2 (offset 10): something follows the array"),
        (b'[{"a":1},]', "element 2 (offset 9): not a JSON object"),
        (b'[{"a":1} {"b":2}]', "element 1 (offset 9): no comma"),
        (b'[{"a":1}, 7]', "element 2 (offset 10): not a JSON object"),
        (b'[{"a":1}', "element 1 (offset 8): the text ends before the array does"),
        (b'[{"a":1},{"b"', "element 2 (offset 13): the text ends before the array does"),
        (b"[", "element 1 (offset 1): the text ends before the array does"),
        (b'[{"a":1}, {"b":tru}]', "element 2 (offset 16): not valid JSON"),
        (b'[{"a":"\xc3("}]', "element 1 (offset 7): not UTF-8"),
        (b"7", "line 1 (offset 0): no JSON object"),
        (b"\xff\xfe{\x00", "line 1 (offset 0): UTF-16 text"),
        (b"id,name\n1,x\n", "line 1 (offset 0): no JSON object"),
    ],
)
def test_what_is_not_sound_is_refused_with_its_place_whatever_the_chunk(text: bytes, place: str) -> None:
    verdicts = {str(verdict(text, size)) for size in range(1, 30)}
    assert len(verdicts) == 1
    with pytest.raises(TextError) as caught:
        read(text, 10)
    assert str(caught.value).startswith(place)


SAMPLE = b'[{"a":"x\\"y","b":[{"c":1},{"d":-1.5e3}]},\n {"a":null,"e":"\xc3\xa9"} ]\n'


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_has_the_same_verdict_for_every_chunk_size(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([SAMPLE, b'{"a":1}\n\n{"b":{"c":"\\u00e9"}}\r\n {"d":[]}\n']))
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.binary(max_size=2)) + text[at + data.draw(st.integers(0, 2)) :]
    assert len({str(verdict(text, size)) for size in (1, 2, 3, 7, 16, 1000)}) == 1


@pytest.mark.parametrize("text", [b"", b"\n \r\n", b"\xef\xbb\xbf", b"[]", b" [ \n] "])
def test_a_text_without_records_has_none(text: bytes) -> None:
    for size in (1, 2, 100):
        assert read(text, size) == ([], [])


@given(documents, st.sampled_from([None, 2]), st.integers(0, 500))
def test_a_cut_of_lines_stands_where_a_record_starts(docs: list[Any], indent: int | None, guess: int) -> None:
    text = "".join(json.dumps(doc, indent=indent) + "\n" for doc in docs).encode()
    guess = min(guess, len(text))
    cut = jsontext.lines_cut(text[guess:])
    if cut is None:
        return
    whole, _ = read(text, 64)
    parts = [text[: guess + cut], text[guess + cut :]]
    pages = [jsontext.split(part, Position("lines", 0), Rest.CUT).texts for part in parts]
    assert list(itertools.chain(*pages)) == whole


def array(docs: list[Any], separator: str = ", ") -> bytes:
    return ("[" + separator.join(json.dumps(doc) for doc in docs) + "]").encode()


@pytest.mark.parametrize("separator", [",", ", ", "\n,\n"])
def test_cuts_of_an_array_are_between_elements_even_where_arrays_nest(separator: str) -> None:
    docs = [{"_id": i, "l": [{"q": 1}, {"q": 2}], "t": '},{"_id'} for i in range(200)]
    text = array(docs, separator)
    at = jsontext.start(text)
    assert at is not None
    mark = jsontext.array_mark(text[:200], at)
    assert mark is not None
    for guess in range(100, 9000, 501):
        cut = jsontext.array_cut(text[guess : guess + 2000], mark, Rest.MORE)
        assert cut is not None
        place = guess + cut
        first = jsontext.split(text[:place], at, Rest.CUT)
        second = jsontext.split(text[place:], Position("array", place), Rest.END)
        assert [json.loads(one) for one in first.texts + second.texts] == docs
        assert list(first.numbers) == list(range(1, len(first.texts) + 1))


def test_a_part_that_ends_inside_an_element_is_an_error() -> None:
    text = array([{"a": [{"a": i} for i in range(5)]} for _ in range(5)])
    at = Position("array", 0, 1, "open")
    for place in range(1, len(text)):
        try:
            page = jsontext.split(text[:place], at, Rest.CUT)
        except TextError:
            continue
        assert text[:place].rstrip().endswith(b",")
        assert array([json.loads(one) for one in page.texts]) == text[:place].rstrip(b", ") + b"]"


def test_no_cut_is_offered_inside_a_nested_array() -> None:
    text = array([{"a": [{"a": i} for i in range(500)]} for _ in range(3)])
    assert jsontext.array_cut(text[100:3000], b'}, {"a"', Rest.MORE) is not None  # too little is shown to tell
    cut = jsontext.array_cut(text[100:], b'}]}, {"a"', Rest.END)
    assert cut is not None
    assert text[100 + cut :].startswith(b' {"a": [')


def test_a_record_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "MAX_RECORD_BYTES", 1 << 20)
    for text in (b'{"a":"' + b"x" * (1 << 21) + b'"}\n', b'[{"a":"' + b"x" * (1 << 21) + b'"}]'):
        with pytest.raises(TextError, match="longer than 1 MiB"):
            read(text, 4096)


def test_a_text_nested_too_deeply_is_refused() -> None:
    deep = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
    for text in (deep + b"\n", b"[" + deep + b"]"):
        with pytest.raises(TextError, match="nested too deeply"):
            read(text, 1 << 16)


def test_the_message_never_holds_the_text() -> None:
    with pytest.raises(TextError) as caught:
        read(b'{"password":"hunter2" "x"}', 100)
    assert "hunter2" not in str(caught.value)


def test_written_lines_and_arrays_read_back() -> None:
    texts = [b'{"a":1}', b'{"b":\r\n"\xc3\xa9"}', b"{}"]
    assert read(jsontext.to_lines(texts), 5) == ([b'{"a":1}', b'{"b":  "\xc3\xa9"}', b"{}"], [1, 2, 3])
    assert read(jsontext.to_array(texts), 5) == (texts, [1, 2, 3])
    assert jsontext.to_lines([]) == b""
    assert read(jsontext.to_array([]), 5) == ([], [])
