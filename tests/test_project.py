"""The repository itself: what its pages promise about the tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
CODE = [path for folder in ("dsync", "connectors", "tools", "tests") for path in sorted((TOP / folder).rglob("*.py"))]
OURS = [path for path in CODE if "gen" not in path.parts]
SHIPPED = [path for path in OURS if path.relative_to(TOP).parts[0] in ("dsync", "connectors")]
LONGEST_FILE, LONGEST_TEST_FILE, LONGEST_FUNCTION = 400, 500, 50
# Modules that cost time to import; help and usage errors must do without.
HEAVY = {"grpc", "pymongo", "bson", "boto3", "botocore", "pyarrow", "rich", "tenacity", "yaml", "zstandard", "asyncio"}
HEAVY |= {"dask", "distributed", "tornado"}


def name(path: Path) -> str:
    return str(path.relative_to(TOP))


@pytest.mark.parametrize("path", OURS, ids=name)
def test_files_and_functions_stay_short_enough_to_read(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= (LONGEST_TEST_FILE if path.name.startswith("test_") else LONGEST_FILE)
    for node in ast.walk(ast.parse(text)):
        # a body that only answers a table reads top to bottom at any length
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and len(node.body) > 2:
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_nothing_is_left_undone_and_nothing_untrusted_is_executed(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            # what the conformance suite offers to connectors as a damaged cursor is one
            assert not names & {"pickle", "marshal", "shelve"} or path.name == "samples.py"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}


def test_the_kit_and_its_oracle_share_nothing_with_what_they_judge() -> None:
    for path in (TOP / "tests" / "kit").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [getattr(node, "module", None) or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [each for each in modules if each.split(".")[0] in ("dsync", "connectors")], path


@pytest.mark.parametrize(
    "words", [["--help"], ["help", "s3"], ["help", "mongodb"], ["mongdb://x", "out/"]], ids=" ".join
)
def test_help_and_usage_errors_import_no_driver(words: list[str]) -> None:
    code = "import os, runpy, sys\nos._exit = sys.exit\ntry:\n runpy.run_module('dsync', run_name='__main__', alter_sys=True)\n"
    code += "finally:\n print('\\n##', *sorted({name.split('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert "##" in done.stdout, done.stderr
    assert not HEAVY & set(done.stdout.rpartition("##")[2].split())


def test_the_generated_orders_are_fresh() -> None:
    subprocess.run([sys.executable, TOP / "tools" / "make_orders.py", "--check"], check=True)


def test_every_data_file_is_described() -> None:
    text = (TOP / "test_data" / "README.md").read_text()
    for path in (TOP / "test_data").iterdir():
        assert f"`{path.name}{'/' if path.is_dir() else ''}`" in text or path.name == "README.md", path.name


def test_make_help_lists_every_target() -> None:
    lines = (TOP / "Makefile").read_text().splitlines()
    (declared,) = (line for line in lines if line.startswith(".PHONY:"))
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[1] for line in shown.splitlines()] == declared.split()[1:]


def test_every_connector_is_held_apart_from_the_others() -> None:
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (apart,) = (contract["modules"] for contract in contracts if contract["type"] == "independence")
    folders = {path.parent.name for path in (TOP / "connectors").glob("*/__init__.py")}
    assert set(apart) == {f"connectors.{name}" for name in folders}


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [*TOP.glob("*.md"), *TOP.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
