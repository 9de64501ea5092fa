"""Damaged text: refused by name, and never read otherwise by the fast reader than by the exact one."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from dsync.codec import RecordError, bson_to_text, raw, reader, text_to_bson
from tests.codec.bson_bytes import Maker


def strict(text: bytes) -> Any:
    """An independent verdict: Python's own reader, told to refuse what JSON does not have."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("repeated key")
        return dict(pairs)

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    return json.loads(text.decode(), object_pairs_hook=unique, parse_constant=refuse)


def test_nothing_but_a_record_error_comes_of_damaged_text() -> None:
    random = Random(20)
    pieces = [
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\\",
        b"\\u003a",
        b"\\u0024",
        b"$",
        b"\xff",
        b"\0",
        b" ",
        b"0",
        b"-",
        b"e",
        b".",
    ]
    accepted = 0
    for seed in range(2000):
        (text,) = bson_to_text([Maker(seed, odd=True).with_id()])
        damaged = bytearray(text)
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(damaged) + 1)
            end = at + random.choice([0, 0, 1, 2, 10])
            damaged[at:end] = random.choice([*pieces, bytes(damaged[random.randrange(len(damaged) + 1) :][:20])])
        try:
            (document,) = text_to_bson([bytes(damaged)], lambda index: f"made {index}")
        except RecordError:
            continue
        accepted += 1
        raw.check(document, strict=False)
        strict(bytes(damaged))
    assert 50 < accepted < 1900


def test_the_fast_reader_never_accepts_what_the_exact_one_refuses_or_reads_otherwise() -> None:
    random = Random(21)
    for seed in range(2000):
        (text,) = bson_to_text([Maker(seed, odd=False).with_id()])
        damaged = bytearray(text)
        at = random.randrange(len(damaged))
        damaged[at : at + random.randrange(3)] = random.choice(
            [b"", b"1", b'"', b",", b"a", b'"a":1,', b"\\u0061", b"_id"]
        )
        fast = reader._read([bytes(damaged)], 0, lambda _, record: record)
        if fast is not None:
            assert fast == [reader._exact(bytes(damaged), 0, lambda _, record: record)]
