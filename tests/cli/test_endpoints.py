"""How a command line is read: each end's options behind its URI, global ones anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from dsync.cli import options
from dsync.cli.program import program
from dsync.endpoint import Endpoint


def read(*words: str) -> tuple[Endpoint, Endpoint, dict[str, Any]]:
    """What a command line means to the copy."""
    seen: list[tuple[Endpoint, Endpoint, dict[str, Any]]] = []

    async def record(source: Endpoint, destination: Endpoint, values: dict[str, Any]) -> int:
        seen.append((source, destination, values))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsync.cli.copy.run_copy", record)
        program.main(list(words), prog_name="dsync", standalone_mode=False)
    return seen[0]


def complaint(*words: str) -> str:
    with pytest.raises(click.UsageError) as caught:
        read(*words)
    return caught.value.format_message()


def test_options_belong_to_the_endpoint_before_them() -> None:
    source, destination, _ = read("/dev/fakesource", "--num-namespaces", "3", "/dev/null", "--id", "x")
    assert source.options["num_namespaces"] == 3
    assert destination.options["id"] == "x"


def test_global_options_may_stand_anywhere() -> None:
    for words in (
        ("--workers", "2", "/dev/fakesource", "/dev/null"),
        ("/dev/fakesource", "--workers", "2", "/dev/null"),
        ("/dev/fakesource", "/dev/null", "--workers", "2"),
    ):
        assert read(*words)[2]["workers"] == 2
    names = read("--ns", "a", "/dev/fakesource", "--ns", "b", "/dev/null", "--ns", "c")[2]["namespace"]
    assert names == ("a", "b", "c")


def test_an_option_of_the_connector_hides_a_global_one_of_that_name() -> None:
    source, _, values = read("/dev/fakesource", "--sleep", "5", "/dev/null", "--sleep", "7")
    assert source.options["sleep"] == 5
    assert "sleep" not in values


def test_the_uri_wins_over_the_flag_the_flag_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "dsync.yaml"
    config.write_text("workers: 5\nsource:\n  num-namespaces: 1\n")

    def read_number(*behind: str, uri: str = "fakesource://") -> int:
        number = read("-c", str(config), uri, *behind, "/dev/null")[0].options["num_namespaces"]
        assert isinstance(number, int)
        return number

    assert read_number() == 1
    monkeypatch.setenv("DSYNC_SOURCE_NUM_NAMESPACES", "2")
    assert read_number() == 2
    assert read_number("--num-namespaces", "3") == 3
    assert read_number("--num-namespaces", "3", uri="fakesource://?num-namespaces=4") == 4


def test_global_options_come_from_flag_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "dsync.yaml"
    config.write_text("workers: 5\nns: a,b\nnamespace: shop\n".replace("ns: a,b\n", ""))
    ends = ("/dev/fakesource", "/dev/null")
    assert read("-c", str(config), *ends)[2]["workers"] == 5
    assert read("-c", str(config), *ends)[2]["namespace"] == ("shop",)
    monkeypatch.setenv("DSYNC_WORKERS", "6")
    assert read("-c", str(config), *ends)[2]["workers"] == 6
    assert read("-c", str(config), "--workers", "7", *ends)[2]["workers"] == 7


def test_the_configuration_file_may_name_the_ends(tmp_path: Path) -> None:
    config = tmp_path / "dsync.yaml"
    config.write_text("source:\n  uri: /dev/fakesource\n  num-namespaces: 2\ndestination:\n  uri: /dev/null\n")
    source, destination, _ = read("-c", str(config))
    assert (source.uri, source.options["num_namespaces"], destination.uri) == ("/dev/fakesource", 2, "/dev/null")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/dev/fakesource"], "DESTINATION is missing; write: dsync [options] SOURCE"),
        (["/dev/fakesource", "/dev/null", "more"], "nothing but a transform is expected after DESTINATION"),
        (["/dev/fakesource", "--bogus", "/dev/null"], "fakesource has no option --bogus"),
        (["/dev/fakesource", "--num-namespace", "1", "/dev/null"], "did you mean --num-namespaces"),
        (["/dev/fakesource", "/dev/null", "--log-jsn"], "did you mean --log-json"),
        (["/dev/null", "/dev/null"], "null cannot be read from; it can be a destination"),
        (["/dev/fakesource", "/dev/random"], "random cannot be written to; it can be a source"),
        (["/dev/fakesource", "/dev/null", "--config", "x"], "--config is an option of dsync; put it before SOURCE"),
        (["/dev/fakesource", "--num-namespaces", "many", "/dev/null"], "not a valid int"),
        (["--memory-limit", "lots", "/dev/fakesource", "/dev/null"], "write for example 400MB or 2GiB"),
        (["--parallel-writers", "3", "/dev/fakesource", "/dev/null"], "use --parallel-copiers"),
        (["fakesource://?bogus=1", "/dev/null"], "has no option 'bogus' for its URI"),
        (["", "/dev/null"], "SOURCE is empty"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(words: list[str], says: str) -> None:
    assert says in complaint(*words)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workers: [", "is not YAML at line"),
        ("- a\n", "is not a map of options"),
        ("bogus: 1\n", "unknown option 'bogus'"),
        ("source: x\n", "'source' is not a map"),
        ("source:\n  bogus: 1\n", "has 'bogus', which fakesource does not know"),
    ],
)
def test_a_wrong_configuration_file_is_said_with_its_name_and_place(tmp_path: Path, text: str, says: str) -> None:
    from dsync.errors import UsageError

    config = tmp_path / "dsync.yaml"
    config.write_text(text)
    with pytest.raises((UsageError, click.UsageError)) as caught:
        read("-c", str(config), "/dev/fakesource", "/dev/null")
    assert says in str(getattr(caught.value, "message", caught.value))


@pytest.mark.parametrize(
    ("text", "size"),
    [("400MB", 400_000_000), ("2GiB", 2 << 30), ("1000000", 1_000_000), ("1.5k", 1500), ("64 mib", 64 << 20)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert options.Size().convert(text, None, None) == size


def test_the_settings_are_those_of_the_line() -> None:
    values = read("--load-level", "beast", "--ns", "a:b", "--write-rate-limit", "5", "/dev/fakesource", "/dev/null")[2]
    found = options.to_settings(values)
    assert (found.copiers, str(found.selection), found.write_rate_limit) == (32, "a:b", 5)
    values = read("--load-level", "High", "--parallel-copiers", "3", "/dev/fakesource", "/dev/null")[2]
    assert options.to_settings(values).copiers == 3
