"""What dsync says to somebody who is new to it or mistyped: each text names the thing and the way on."""

from __future__ import annotations

import shutil

import pytest

from tests.kit.cli import TOP, Dsync


def test_help_for_a_scheme_lists_its_options_and_examples(dsync: Dsync) -> None:
    text = dsync("help", "s3").out
    for word in (
        "s3://",
        "--region",
        "--endpoint",
        "--profile",
        "--access-key-id",
        "--use-path-style",
        "--output-format",
    ):
        assert word in text
    assert "pip install 'dsync[s3]'" in " ".join(text.split())


def test_bare_dsync_and_help_show_how_to_begin(dsync: Dsync) -> None:
    text = dsync("--help").out
    for word in ("SOURCE", "DESTINATION", "--namespace", "--mode", "plan", "connectors", "help"):
        assert word in text


def test_a_typo_in_a_scheme_names_the_nearest_and_the_known(dsync: Dsync) -> None:
    text = dsync("mongdb://localhost/shop", "out/", expect=2).err
    assert "did you mean 'mongodb'?" in text
    assert "s3" in text


def test_a_typo_in_an_option_names_the_nearest(dsync: Dsync) -> None:
    text = dsync("--namspace", "shop", "a.csv", "b.jsonl", expect=2).err
    assert "--namespace" in text
    text = dsync("a.csv", "--delimeter", ";", "b.jsonl", expect=2).err
    assert "--delimiter" in text


def test_a_missing_destination_says_what_to_write(dsync: Dsync) -> None:
    text = dsync("people.csv", expect=2).err
    assert "DESTINATION" in text


def test_a_missing_value_names_the_option(dsync: Dsync) -> None:
    text = dsync("s3://bucket/prefix", "null://", "--sleep", expect=2).err
    assert "--sleep" in text


def test_a_file_that_is_not_there_is_named(dsync: Dsync) -> None:
    result = dsync("nowhere.csv", "out.jsonl", expect=None)
    assert result.status in (1, 3)
    assert "nowhere.csv" in result.err


def test_a_name_without_a_database_shows_the_uri_to_write(dsync: Dsync, mongo_uri: str) -> None:
    shutil.copy(TOP / "test_data" / "people.csv", dsync.folder)
    text = dsync("people.csv", mongo_uri, expect=2).err
    assert "people" in text
    assert "/?" in text or "mongodb://" in text


def test_a_mode_that_the_pair_cannot_do_is_refused_with_the_reason(dsync: Dsync) -> None:
    shutil.copy(TOP / "test_data" / "people.csv", dsync.folder)
    text = dsync("--mode", "CDC", "people.csv", "out.jsonl", expect=2).err
    assert "CDC" in text
    assert not (dsync.folder / "out.jsonl").exists()


def test_a_destination_that_dsync_did_not_write_is_left_alone(dsync: Dsync) -> None:
    shutil.copy(TOP / "test_data" / "people.csv", dsync.folder)
    theirs = dsync.folder / "theirs.jsonl"
    theirs.write_text("precious\n")
    assert "--overwrite" in dsync("people.csv", "theirs.jsonl", expect=None).err
    assert theirs.read_text() == "precious\n"
    dsync("--overwrite", "people.csv", "theirs.jsonl")
    assert theirs.read_text().count("\n") == 12


def test_a_server_that_is_not_there_exits_with_3_and_says_where(dsync: Dsync) -> None:
    from tests.kit.process import free_port

    port = free_port()
    shutil.copy(TOP / "test_data" / "people.csv", dsync.folder)
    uri = f"mongodb://somebody:hunter2@127.0.0.1:{port}/demo?serverSelectionTimeoutMS=300"
    result = dsync("people.csv", uri, "--server-timeout", "1", expect=3)
    assert str(port) in result.err
    assert "hunter2" not in result.out + result.err


@pytest.mark.parametrize("option", ["--parallel-writers", "--verify-mem"])
def test_an_option_of_old_without_a_meaning_names_what_replaces_it(dsync: Dsync, option: str) -> None:
    assert option in dsync(option, "4", "a.csv", "b.jsonl", expect=2).err
