from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from connectors.file.connector import FileConnector
from connectors.file.tree import opened
from dsync import wire
from dsync.errors import CursorError, EndpointError, NotFoundError, UsageError
from tests.file.reading import pages, plan, read


def tree(root: Path, *names: str, text: str = '{"a":1}\n') -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


async def test_a_single_file_is_the_namespace_of_its_stem(tmp_path: Path) -> None:
    tree(tmp_path, "people.jsonl", "shop.orders.jsonl", "odd%2Ename.jsonl")
    assert list(await read(tmp_path / "people.jsonl")) == ["people"]
    assert list(await read(tmp_path / "shop.orders.jsonl")) == ["shop.orders"]
    assert list(await read(tmp_path / "odd%2Ename.jsonl")) == ["odd.name"]


async def test_the_namespace_of_a_file_in_a_folder_is_its_path(tmp_path: Path) -> None:
    tree(tmp_path, "people.jsonl", "shop/orders.jsonl", "shop/eu/orders.ndjson", "shop.items.json", "a%2Fb.JSONL")
    assert sorted(await read(tmp_path)) == ["a/b", "people", "shop.eu.orders", "shop.items", "shop.orders"]


@pytest.mark.parametrize("form", ["file://{}", "FILE://localhost{}", "{}", "{}/"])
async def test_a_folder_is_named_by_path_or_uri(tmp_path: Path, form: str) -> None:
    tree(tmp_path / "a b%", "people.jsonl")
    path = str(tmp_path / "a b%")
    uri = form.format(path.replace("%", "%25").replace(" ", "%20") if "//" in form else path)
    assert await read(uri) == {"people": [b'{"a":1}']}


async def test_a_plain_relative_path_is_neither_decoded_nor_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "~/100%25.jsonl")
    monkeypatch.chdir(tmp_path)
    assert list(await read("~/100%25.jsonl")) == ["100%"]


@pytest.mark.parametrize("uri", ["file://host/data", "file://data", "file://", "", "a\0b"])
def test_an_uri_without_a_local_path_is_a_usage_error(uri: str) -> None:
    with pytest.raises(UsageError):
        FileConnector(uri, {})


@pytest.mark.parametrize(
    "options",
    [
        {"format": "xml"},
        {"compression": "rar"},
        {"delimiter": "ab"},
        {"batch_size": 0},
        {"partition_size": "many"},
        {"partition_size": "0"},
        {"header": "no"},
        {"columns": "a,a"},
    ],
)
def test_an_option_that_cannot_work_is_a_usage_error(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        FileConnector("data", options)


async def test_a_missing_file_is_an_endpoint_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"nowhere\.csv"):
        await read(tmp_path / "nowhere.csv")


async def test_a_folder_without_read_permission_is_an_endpoint_error(tmp_path: Path) -> None:
    tree(tmp_path, "shop/orders.jsonl")
    (tmp_path / "shop").chmod(0)
    try:
        if os.access(tmp_path / "shop", os.R_OK):
            pytest.skip("this user may read everything")
        with pytest.raises(EndpointError, match="shop"):
            await read(tmp_path)
    finally:
        (tmp_path / "shop").chmod(0o700)


async def test_an_empty_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="holds no data files"):
        await read(tmp_path)
    tree(tmp_path, "notes.txt")
    with pytest.raises(EndpointError, match=r"notes\.txt"):
        await read(tmp_path)


async def test_a_file_path_with_a_slash_behind_it_is_an_error(tmp_path: Path) -> None:
    tree(tmp_path, "people.jsonl")
    with pytest.raises(EndpointError, match="not a folder"):
        await read(f"{tmp_path}/people.jsonl/")


async def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    tree(tmp_path, "people.jsonl", "README.md", "shop/notes.txt", ".hidden.jsonl", ".git/config.json", ".dsync/x.json")
    (tmp_path / "linked").symlink_to(tmp_path / "shop")
    async with FileConnector(str(tmp_path), {}) as connector:
        planned = await plan(connector)
    assert [part.namespace for part in planned.partitions] == ["people"]
    said = "\n".join(planned.warnings)
    assert "'README.md', 'shop/notes.txt'" in said
    assert "'.git', '.hidden.jsonl'" in said
    assert "'linked'" in said
    assert ".dsync" not in said


async def test_what_mongodump_writes_beside_the_data_is_no_namespace(tmp_path: Path) -> None:
    tree(tmp_path, "shop/orders.bson", text="")
    tree(tmp_path, "shop/orders.metadata.json", "shop/prelude.json", "shop/own.metadata.json")
    async with FileConnector(str(tmp_path), {}) as connector:
        planned = await plan(connector)
    assert [part.namespace for part in planned.partitions] == ["shop.orders", "shop.own.metadata"]
    assert "orders.metadata.json" in "\n".join(planned.warnings)
    assert "prelude.json" in "\n".join(planned.warnings)


async def test_two_files_of_one_namespace_are_refused_by_name(tmp_path: Path) -> None:
    tree(tmp_path, "shop/orders.jsonl", "shop.orders.json", "people.jsonl")
    with pytest.raises(UsageError, match=r"shop\.orders\.json.*shop/orders\.jsonl"):
        await read(tmp_path)
    async with FileConnector(str(tmp_path), {}) as connector:
        assert [part.namespace for part in (await plan(connector, "people")).partitions] == ["people"]
    assert sorted(await read(tmp_path, format="jsonl")) == ["people", "shop.orders"]


async def test_a_name_selects_itself_and_what_is_below(tmp_path: Path) -> None:
    tree(tmp_path, "shop/orders.jsonl", "shop/eu/orders.jsonl", "shopping.jsonl", "shop.jsonl", "people.jsonl")
    async with FileConnector(str(tmp_path), {}) as connector:
        assert [part.namespace for part in (await plan(connector, "shop")).partitions] == [
            "shop",
            "shop.eu.orders",
            "shop.orders",
        ]
        assert [part.namespace for part in (await plan(connector, "shop.eu", "people")).partitions] == [
            "people",
            "shop.eu.orders",
        ]
        with pytest.raises(NotFoundError, match="'sho'"):
            await plan(connector, "people", "sho")


async def test_a_format_option_reads_files_of_other_extensions(tmp_path: Path) -> None:
    tree(tmp_path, "people.txt", "data.json")
    assert list(await read(tmp_path / "people.txt", format="jsonl")) == ["people"]
    assert list(await read(tmp_path, format="jsonl")) == ["people"]
    with pytest.raises(UsageError, match="--format"):
        await read(tmp_path / "people.txt")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "folder"])
async def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data" / "people.jsonl"
    path.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        if len(str(path)) > 100:
            pytest.skip("the path is too long for a socket")
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        (path / "below").mkdir(parents=True)
    with pytest.raises(EndpointError):
        await read(path)
    with pytest.raises(EndpointError):
        await read(path.parent)


async def test_links_lead_to_files_inside_of_the_folder_only(tmp_path: Path) -> None:
    inside = tree(tmp_path / "inside", "people.jsonl")
    tree(tmp_path, "secret.jsonl")
    (inside / "again.jsonl").symlink_to("people.jsonl")
    assert sorted(await read(inside)) == ["again", "people"]
    (inside / "escape.jsonl").symlink_to("../secret.jsonl")
    with pytest.raises(EndpointError, match=r"escape\.jsonl.*leads out"):
        await read(inside)
    async with FileConnector(str(inside), {}) as connector:
        assert len((await plan(connector, "people")).partitions) == 1


async def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people.jsonl").symlink_to("gone.jsonl")
    with pytest.raises(EndpointError, match="leads nowhere"):
        await read(tmp_path)


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    tree(tmp_path / "data", "people.jsonl")
    (tmp_path / "linked").symlink_to("data")
    (tmp_path / "named.jsonl").symlink_to("data/people.jsonl")
    assert list(await read(tmp_path / "linked")) == ["people"]
    assert list(await read(tmp_path / "named.jsonl")) == ["named"]


async def test_a_file_that_becomes_a_link_after_the_plan_is_not_followed(tmp_path: Path) -> None:
    inside = tree(tmp_path / "inside", "shop/people.jsonl")
    tree(tmp_path, "secret/people.jsonl")
    async with FileConnector(str(inside), {}) as connector:
        [partition] = (await plan(connector)).partitions
        (inside / "shop" / "people.jsonl").unlink()
        (inside / "shop" / "people.jsonl").symlink_to(tmp_path / "secret" / "people.jsonl")
        with pytest.raises(CursorError):
            await pages(connector, partition)
        (inside / "shop" / "people.jsonl").unlink()
        (inside / "shop").rmdir()
        (inside / "shop").symlink_to(tmp_path / "secret")
        with pytest.raises(CursorError):
            await pages(connector, partition)


async def test_names_that_are_no_text_are_left_out_and_said(tmp_path: Path) -> None:
    tree(tmp_path, "people.jsonl")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")).write_text("{}")
    except OSError:
        pytest.skip("this file system takes no such names")
    async with FileConnector(str(tmp_path), {}) as connector:
        planned = await plan(connector)
    assert [part.namespace for part in planned.partitions] == ["people"]
    assert "not Unicode" in "\n".join(planned.warnings)


async def test_the_identity_is_the_real_path(tmp_path: Path) -> None:
    tree(tmp_path / "data", "people.jsonl")
    (tmp_path / "linked").symlink_to("data")
    async with FileConnector(f"{tmp_path}/linked/../linked/", {}) as connector:
        assert (await connector.GetInfo(wire.GetInfoRequest())).id == f"file:{tmp_path / 'data'}"


@pytest.mark.parametrize(
    "relative", ["../secret.jsonl", "a/../../secret.jsonl", "./a.jsonl", "a//b.jsonl", "a\0b", ".."]
)
def test_a_path_of_a_cursor_stays_under_the_root(tmp_path: Path, relative: str) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    for name in ("secret.jsonl", "root/a.jsonl", "root/a/b.jsonl"):
        (tmp_path / name).write_text("{}\n")
    with pytest.raises(CursorError, match="leads out of the root"), opened(str(tmp_path / "root"), relative):
        pass
