"""A connector in somebody else's package: installed with pip, found by its scheme, nothing in dsync changed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from tests.kit.cli import Dsync

MODULE = '''
"""Counts: `count://5` is a source of five documents."""

import bson
import click

from dsync import wire
from dsync.connector import Connector, ConnectorSpec
from dsync.errors import UsageError

SPEC = ConnectorSpec(
    name="count",
    summary="documents that count from zero",
    examples=("count://1000",),
    factory="dsync_count:Count",
    source_options=(click.Option(["--start"], type=int, default=0, help="The first number."),),
    sink=False,
)


class Count(Connector):
    """A source that needs no store."""

    def __init__(self, uri, options):
        number = uri.partition("://")[2].partition("?")[0]
        if not number.isdigit():
            raise UsageError(f"{uri!r} counts to nowhere", remedy="write count://NUMBER")
        self.numbers = range(options.get("start", 0), options.get("start", 0) + int(number))

    async def GetInfo(self, request):
        source = wire.Capabilities.Source(supported_data_types=[wire.BSON], default_plan=True)
        return wire.GetInfoResponse(id="count", db_type="count", capabilities=wire.Capabilities(source=source))

    async def GetNamespaceMetadata(self, request):
        return wire.GetNamespaceMetadataResponse(count=len(self.numbers), exists=True)

    async def GeneratePlan(self, request):
        return wire.GeneratePlanResponse(partitions=[wire.Partition(namespace="numbers", cursor=b"all")])

    async def ListData(self, request):
        return wire.ListDataResponse(data=[bson.encode({"_id": n}) for n in self.numbers])
'''

WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def installed(tmp_path: Path, dsync: Dsync) -> Dsync:
    """dsync beside a package that pip has installed from a wheel."""
    wheel = tmp_path / "dsync_count-1.0-py3-none-any.whl"
    files = {
        "dsync_count.py": textwrap.dedent(MODULE),
        "dsync_count-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: dsync-count\nVersion: 1.0\n",
        "dsync_count-1.0.dist-info/WHEEL": WHEEL,
        "dsync_count-1.0.dist-info/entry_points.txt": "[dsync.connectors]\ncount = dsync_count:SPEC\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("dsync_count-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", f"--target={site}", str(wheel)]
    subprocess.run(pip, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return Dsync(dsync.folder, {"PYTHONPATH": f"{dsync.variables()['PYTHONPATH']}:{site}"})


def test_an_installed_package_brings_a_connector_with_its_options_and_help(installed: Dsync) -> None:
    installed("count://3?start=7", "by-query.jsonl")
    installed("count://3", "--start", "7", "by-option.jsonl")
    for name in ("by-query.jsonl", "by-option.jsonl"):
        assert (installed.folder / name).read_text() == '{"_id":7}\n{"_id":8}\n{"_id":9}\n'
    assert "--start" in installed("help", "count").out
    assert "documents that count from zero" in installed("connectors").out
    assert "count" in installed("cuont://3", "null://", expect=2).err


def test_what_an_installed_connector_cannot_do_is_refused_before_anything_is_written(installed: Dsync) -> None:
    result = installed("/dev/fakesource", "count://3", expect=2)
    assert "count" in result.err


def test_its_own_usage_errors_reach_the_person(installed: Dsync) -> None:
    assert "write count://NUMBER" in installed("count://many", "out.jsonl", expect=2).err
