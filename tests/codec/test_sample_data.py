"""Public data sets that others made, through every conversion."""

from __future__ import annotations

import os
from pathlib import Path

import bson
import pytest
from bson import json_util

from dsync.codec import (
    bson_to_json_id,
    bson_to_text,
    exact_writer,
    json_id_to_bson,
    json_id_to_text,
    raw,
    text_to_bson,
    text_to_json_id,
)

FOLDER = Path(os.environ.get("DSYNC_SAMPLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
NAMES = ["accounts", "countries", "customers", "grades", "restaurants", "theaters"]


def page_of(name: str) -> list[bytes]:
    path = FOLDER / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there; DSYNC_SAMPLE_DATA names the folder of the sample files")
    return path.read_bytes().splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_sample_files_convert_there_and_back(name: str) -> None:
    documents = text_to_bson(page_of(name))
    texts = bson_to_text(documents)
    records = bson_to_json_id(documents)
    assert text_to_bson(texts) == documents
    assert json_id_to_bson(records) == documents
    assert json_id_to_text(records) == texts
    assert text_to_json_id(texts) == records
    assert json_id_to_bson(text_to_json_id(page_of(name))) == documents


@pytest.mark.parametrize("name", NAMES)
def test_sample_files_are_read_as_another_reader_reads_them(name: str) -> None:
    options = json_util.JSONOptions(datetime_conversion=bson.DatetimeConversion.DATETIME_AUTO)
    for text, document in zip(page_of(name), text_to_bson(page_of(name)), strict=True):
        raw.check(document)
        other = json_util.loads(text, json_options=options)
        assert bson.encode({"": other}, codec_options=raw.EVERY_DATE)[6:-1] == document
        assert bson_to_text([document]) == [exact_writer.write(document)]
