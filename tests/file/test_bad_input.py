"""Bad input of every kind: the right documents, or an error that names file and place; the same however the file is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import bson
import pytest

from dsync import wire
from dsync.codec import compression, jsontext
from tests.file.reading import read, verdict

GOOD = [b'{"a":%d,"text":"some \\u00e9 text","nested":{"list":[1,{"b":"}\\n{"}]}}' % number for number in range(60)]
PARTITIONS = ("300", "1GiB")
PAGES = (1, 700)


async def same_verdict(path: Path, data_type: wire.Type = wire.EXTENDED_JSON) -> dict[str, list[bytes]] | str:
    """What reading the file comes to, after checking that it is the same for every page size and every partitioning."""
    found = await verdict(path, data_type)
    for partition_size in PARTITIONS:
        for page_bytes in PAGES:
            assert await verdict(path, data_type, partition_size=partition_size, page_bytes=page_bytes) == found
        assert await verdict(path, data_type, partition_size=partition_size, batch_size=7) == found
    return found


def lines(*texts: bytes) -> bytes:
    return b"\n".join(texts) + b"\n"


WITH_BAD_LINE = {
    "garbage": (b"garbage", "line 31", "not a JSON object"),
    "a number": (b"17", "line 31", "not a JSON object"),
    "an array": (b'[{"a": 1}]', "line 31", "not a JSON object"),
    "an unclosed object": (b'{"a": 1', "line 31", "not valid JSON"),
    "an object closed too late": (b'{"a":{"x":1}', "line 31", "not valid JSON"),
    "an object closed too early": (b'{"a": 1}}', "line 31", "something follows the object"),
    "an unclosed string": (b'{"a": "x}', "line 31", "not valid JSON"),
    "two objects": (b'{"a": 1} {"a": 2}', "line 31", "something follows the object"),
    "two objects and a comma": (b'{"a": 1},', "line 31", "something follows the object"),
    "NaN": (b'{"a": NaN}', "line 31", "not valid JSON"),
    "a leading zero": (b'{"a": 01}', "line 31", "not valid JSON"),
    "a bare key": (b"{a: 1}", "line 31", "not valid JSON"),
    "bad UTF-8": (b'{"a": "\xff"}', "line 31", "not UTF-8"),
    "a control character": (b'{"a": "\x01"}', "line 31", "not valid JSON"),
    "half a surrogate": (b'{"a": "\\ud800"}', "line 31", "not valid JSON"),
    "a byte-order mark inside": (b'\xef\xbb\xbf{"a": 1}', "line 31", "not a JSON object"),
}


@pytest.mark.parametrize("name", WITH_BAD_LINE)
@pytest.mark.parametrize("extension", ["jsonl", "json"])
async def test_a_bad_line_is_named(tmp_path: Path, name: str, extension: str) -> None:
    bad, place, reason = WITH_BAD_LINE[name]
    path = tmp_path / f"people.{extension}"
    path.write_bytes(lines(*GOOD[:30], bad, *GOOD[30:]))
    found = await same_verdict(path)
    assert isinstance(found, str)
    assert found.startswith("DataError")
    assert repr(str(path)) in found
    assert place in found
    assert reason in found


@pytest.mark.parametrize("name", WITH_BAD_LINE)
async def test_a_bad_element_is_named(tmp_path: Path, name: str) -> None:
    bad, _, _ = WITH_BAD_LINE[name]
    path = tmp_path / "people.json"
    path.write_bytes(b"[" + b",\n".join([*GOOD[:30], bad, *GOOD[30:]]) + b"]")
    found = await same_verdict(path)
    assert isinstance(found, str)
    assert repr(str(path)) in found
    assert "element 3" in found


BAD_ENDS = {
    "nothing": (b"", "ends before the array"),
    "a comma": (b",", "ends before the array"),
    "half an element": (b',{"a":', "the text ends"),
    "two commas": (b',,{"a":1}]', "not a JSON object"),
    "a comma before the end": (b",]", "not a JSON object"),
    "two brackets": (b"]]", "something follows the array"),
    "a second array": (b"] []", "something follows the array"),
    "an object after the end": (b']\n{"a":1}', "something follows the array"),
    "a wrong bracket": (b"}", "no comma after the element"),
}


@pytest.mark.parametrize("name", BAD_ENDS)
async def test_a_bad_end_of_an_array_is_named(tmp_path: Path, name: str) -> None:
    end, reason = BAD_ENDS[name]
    path = tmp_path / "people.json"
    path.write_bytes(b"[" + b",".join(GOOD) + end)
    found = await same_verdict(path)
    assert isinstance(found, str)
    assert repr(str(path)) in found
    assert reason in found


GOOD_TEXTS = {
    "lines": lines(*GOOD),
    "lines without an end": b"\n".join(GOOD),
    "CRLF": b"\r\n".join(GOOD) + b"\r\n",
    "blank lines": b"\n \n\r\n" + b"\n\n\t\n".join(GOOD) + b"\n\n\n",
    "a byte-order mark": b"\xef\xbb\xbf" + lines(*GOOD),
    "blanks around": b"\n".join(b"  " + line + b"\t" for line in GOOD),
    "an array": b"[" + b",".join(GOOD) + b"]",
    "an array of lines": b"[\n" + b",\n".join(GOOD) + b"\n]\n",
    "an array with commas in front": b" [ " + b"\n , ".join(GOOD) + b"\n]\n\n",
    "an array after a byte-order mark": b"\xef\xbb\xbf[" + b",".join(GOOD) + b"]",
}


@pytest.mark.parametrize("name", GOOD_TEXTS)
@pytest.mark.parametrize("extension", ["jsonl", "json", "ndjson", "jsonl.gz", "json.zst"])
async def test_good_texts_are_read(tmp_path: Path, name: str, extension: str) -> None:
    path = tmp_path / f"people.{extension}"
    packed = {"gz": "gzip", "zst": "zstd"}.get(extension.rpartition(".")[2], "none")
    path.write_bytes(compression.compress(packed, GOOD_TEXTS[name]))
    assert await same_verdict(path) == {"people": GOOD}


@pytest.mark.parametrize("text", [b"", b"\n", b" \n\r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("extension", ["jsonl", "json"])
async def test_a_file_without_content_has_no_documents(tmp_path: Path, text: bytes, extension: str) -> None:
    path = tmp_path / f"people.{extension}"
    path.write_bytes(text)
    assert await same_verdict(path) == {"people": []}


@pytest.mark.parametrize("text", [b"[]", b"[ ]\n", b"\xef\xbb\xbf[\n]"])
async def test_an_empty_array_has_no_documents(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "people.json"
    path.write_bytes(text)
    assert await same_verdict(path) == {"people": []}


async def test_objects_over_several_lines_are_read(tmp_path: Path) -> None:
    pretty = b'{\n  "a": 1,\n  "b": {\n    "c": "}"\n  }\n}'
    path = tmp_path / "people.json"
    path.write_bytes(lines(*[pretty] * 40))
    assert await same_verdict(path) == {"people": [pretty] * 40}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("extension", ["jsonl", "json", "csv"])
async def test_text_in_another_encoding_is_refused_with_the_remedy(
    tmp_path: Path, encoding: str, extension: str
) -> None:
    path = tmp_path / f"people.{extension}"
    path.write_bytes('{"a":1}\n'.encode(encoding))
    found = await verdict(path)
    assert isinstance(found, str)
    assert "iconv" in found
    assert repr(str(path)) in found


@pytest.mark.parametrize("packed", ["gzip", "zstd"])
@pytest.mark.parametrize("extension", ["jsonl", "json", "csv", "bson"])
async def test_a_compressed_file_under_a_plain_name_is_refused_with_the_remedy(
    tmp_path: Path, packed: str, extension: str
) -> None:
    path = tmp_path / f"people.{extension}"
    path.write_bytes(compression.compress(packed, lines(*GOOD)))
    found = await verdict(path)
    assert isinstance(found, str)
    assert f"--compression {packed}" in found


@pytest.mark.parametrize("extension", ["jsonl.gz", "json.gz", "csv.gz", "bson.gz", "jsonl.zst", "bson.zst"])
async def test_a_plain_file_under_a_compressed_name_is_an_error(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"people.{extension}"
    path.write_bytes(lines(*GOOD))
    found = await verdict(path)
    assert isinstance(found, str)
    assert repr(str(path)) in found or str(path) in found


@pytest.mark.parametrize("cut", [10, 100, -1, -9])
async def test_a_truncated_compressed_file_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "people.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*GOOD))[:cut])
    found = await verdict(path)
    assert isinstance(found, str)
    assert "ends in the middle" in found


async def test_duplicate_keys_pass_as_text_and_are_refused_as_bson(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    twice = b'{"_id": 1, "a": 1, "a": 2}'
    path.write_bytes(lines(*GOOD[:10], twice, *GOOD[10:]))
    assert await same_verdict(path) == {"people": [*GOOD[:10], twice, *GOOD[10:]]}
    found = await same_verdict(path, wire.BSON)
    assert isinstance(found, str)
    assert f"{str(path)!r} line 11" in found


@pytest.mark.parametrize("number", [b"9223372036854775808", b"1e999", b"-1e999"])
async def test_numbers_that_bson_cannot_hold_are_refused_with_their_line(tmp_path: Path, number: bytes) -> None:
    path = tmp_path / "people.jsonl"
    path.write_bytes(lines(*GOOD, b'{"a": %b}' % number))
    found = await same_verdict(path, wire.BSON)
    assert isinstance(found, str)
    assert f"{str(path)!r} line 61" in found


async def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_bytes(lines(*GOOD, b'{"a":' * 100_000 + b"1" + b"}" * 100_000))
    found = await verdict(path)
    assert isinstance(found, str)
    assert "line 61" in found
    assert "nested too deeply" in found


@pytest.mark.parametrize("head", [b'{"a":"', b'[{"a":"'])
async def test_a_record_without_end_is_refused_at_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr("connectors.file.reader.MAX_RECORD_BYTES", 1 << 20)
    monkeypatch.setattr(jsontext, "MAX_RECORD_BYTES", 1 << 20)
    path = tmp_path / "people.json"
    path.write_bytes(head + b"x" * (3 << 20))
    for page_bytes in (100, 4096, 65_536):
        found = await verdict(path, page_bytes=page_bytes)
        assert isinstance(found, str)
        assert "1 MiB" in found


BSON_GOOD = [
    bson.encode({"_id": number, "text": "x" * (number % 40), "sub": {"a": [1, 2.5, None]}}) for number in range(60)
]


def damaged(document: bytes, old: bytes, new: bytes) -> bytes:
    assert old in document
    return document.replace(old, new, 1)


BAD_BSON = {
    "a length of nothing": (b"\0\0\0\0", "document 31", "claims a length of 0"),
    "a negative length": (b"\xff\xff\xff\xff", "document 31", "claims a length of -1"),
    "a length without end": (b"\xff\xff\xff\x7f", "document 31", "claims a length"),
    "text": (b'{"_id": 1}', "document 31", "claims a length"),
    "an unknown type": (damaged(BSON_GOOD[5], b"\x02text", b"\x55text"), "document 31", "damaged"),
    "a string that is too long": (
        damaged(BSON_GOOD[5], b"text\0\x06\0\0\0", b"text\0\x66\0\0\0"),
        "document 31",
        "damaged",
    ),
    "a last byte that is not zero": (BSON_GOOD[5][:-1] + b"\1", "document 31", "damaged"),
}


@pytest.mark.parametrize("name", BAD_BSON)
async def test_a_bad_document_is_named(tmp_path: Path, name: str) -> None:
    bad, place, reason = BAD_BSON[name]
    path = tmp_path / "people.bson"
    path.write_bytes(b"".join([*BSON_GOOD[:30], bad, *BSON_GOOD[30:]]))
    found = await same_verdict(path, wire.BSON)
    assert isinstance(found, str)
    assert found.startswith(f"DataError: {str(path)!r}")
    assert place in found
    assert reason in found
    assert "offset" in found


@pytest.mark.parametrize("cut", [-1, -5, -40])
async def test_a_truncated_bson_file_is_an_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "people.bson"
    path.write_bytes(b"".join(BSON_GOOD)[:cut])
    found = await same_verdict(path, wire.BSON)
    assert isinstance(found, str)
    assert "document 60" in found
    assert "cut off" in found


@pytest.mark.parametrize("junk", [b"\0", b"\n", b"junk", b"\x05\0\0\0"])
async def test_what_follows_the_last_document_is_an_error(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "people.bson"
    path.write_bytes(b"".join(BSON_GOOD) + junk)
    found = await same_verdict(path, wire.BSON)
    assert isinstance(found, str)
    assert "document 61" in found


async def test_good_bson_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "people.bson"
    path.write_bytes(b"".join(BSON_GOOD))
    assert await same_verdict(path, wire.BSON) == {"people": BSON_GOOD}


async def test_an_empty_bson_file_has_no_documents(tmp_path: Path) -> None:
    path = tmp_path / "people.bson"
    path.write_bytes(b"")
    assert await same_verdict(path, wire.BSON) == {"people": []}


async def test_bson_strings_that_are_not_utf8_come_over_as_mongodb_stores_them(tmp_path: Path) -> None:
    odd = bson.encode({"_id": 1, "text": "abc"}).replace(b"abc", b"a\xffc")
    path = tmp_path / "people.bson"
    path.write_bytes(odd * 3)
    assert await read(path, wire.BSON) == {"people": [odd] * 3}
