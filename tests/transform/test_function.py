"""A function behind `python:`: how it is found, what it may be, what it may answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId

from dsync import wire
from dsync.errors import DataError, UsageError
from dsync.transform.function import Function
from dsync.transform.python import PythonTransform

HERE = "tests.transform.functions"


async def answer(name: str, *documents: dict[str, Any], **request: Any) -> wire.GetTransformResponse:
    """What the function makes of documents."""
    async with PythonTransform(f"python:{HERE}:{name}", {}) as transform:
        data = [bson.encode(document) for document in documents]
        fields: dict[str, Any] = {
            "namespace": "shop.orders",
            "data": data,
            "request_type": wire.BSON,
            "response_type": wire.BSON,
        }
        return await transform.GetTransform(wire.GetTransformRequest(**fields | request))


def made(response: wire.GetTransformResponse) -> dict[str, list[dict[str, Any]]]:
    return {each.namespace: [bson.decode(document) for document in each.data] for each in response.responses}


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("python:", "names no function"),
        ("python:module", "names no function"),
        ("python:../module:f", "names no function"),
        ("python:no_such_module_at_all:f", "there is no module 'no_such_module_at_all'"),
        ("python:tests.transform.no_such:f", "there is no module 'tests.transform.no_such'"),
        (f"python:{HERE}:kep", "has no 'kep'; did you mean 'keep'?"),
        (f"python:{HERE}:not_a_function", "a value of type int, not a function"),
        (f"python:{HERE}:two_arguments", "cannot be called with"),
        (f"python:{HERE}:asynchronous", "is an async function"),
    ],
)
def test_what_cannot_be_called_is_refused_with_what_to_do(uri: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        Function(uri)
    assert message in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:", "SyntaxError at line 1"),
        ("import no_such_package", "needs 'no_such_package', which is not installed"),
        ("raise ValueError('secret')", "fails with ValueError"),
        ("raise SystemExit(3)", "fails with SystemExit"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_without_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    (tmp_path / "broken_transform.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(UsageError) as refused:
        Function("python:broken_transform:f")
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_current_folder_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_the_data.py").write_text(
        "class A:\n @staticmethod\n def f(namespace, document, id): return []\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert list(Function("python:beside_the_data:A.f")("n", {}, None)) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_answer", "it answered None, not an iterable"),
        ("text", "it answered a value of type str"),
        ("no_pairs", "it yielded a value of type dict, not a (namespace, document)"),
        ("no_namespace", "it yielded an empty namespace"),
        ("no_document", "it yielded a value of type list for a document"),
        ("no_bson", "BSON cannot hold: 'odd', a value of type object"),
        ("exits", "SystemExit at line"),
    ],
)
async def test_garbage_is_refused_and_the_document_is_named_by_its_id(name: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        await answer(name, {"_id": 5})
    assert message in str(refused.value)
    assert '"_id":5' in str(refused.value)
    assert "'shop.orders'" in str(refused.value)


async def test_an_error_of_the_function_is_told_by_name_and_line_and_never_by_its_text() -> None:
    with pytest.raises(DataError) as refused:
        await answer("raises", {"_id": 1, "number": 17, "text": "hidden"})
    assert "ValueError at line" in str(refused.value)
    assert "functions.py" in str(refused.value)
    assert "hidden" not in str(refused.value)


async def test_documents_come_out_by_namespace_in_their_order() -> None:
    response = await answer("by_parity", *({"_id": n, "number": n} for n in range(5)))
    assert made(response) == {
        "shop.orders_even": [{"_id": n, "number": n} for n in (0, 2, 4)],
        "shop.orders_odd": [{"_id": n, "number": n} for n in (1, 3)],
    }
    assert response.filtered == 0


async def test_what_gives_nothing_is_counted() -> None:
    response = await answer("even", *({"_id": n, "number": n} for n in range(5)))
    assert response.filtered == 2
    assert len(made(response)["shop.orders"]) == 3


async def test_types_of_bson_survive() -> None:
    document = {"_id": ObjectId(), "long": Int64(5), "list": [None, 1.5, {"a": b"x"}]}
    (same,) = made(await answer("keep", document))["shop.orders"]
    assert bson.encode(same) == bson.encode(document)


async def test_text_without_an_id_stays_without_one() -> None:
    response = await answer(
        "mark", data=[b'{"name":"Ada"}'], request_type=wire.EXTENDED_JSON, response_type=wire.EXTENDED_JSON
    )
    assert list(response.responses[0].data) == [b'{"name":"Ada","marked":true}']


async def test_updates_become_updates_and_deletes_deletes_of_the_ids_that_were_yielded() -> None:
    key = bson.encode({"_id": 7})[9:-1]
    identity = [wire.BsonValue(name="_id", type=16, data=key)]
    whole = wire.Update(id=identity, type=wire.INSERT, data=bson.encode({"_id": 7, "number": 2}))
    response = await answer("split", updates=[whole, wire.Update(id=identity, type=wire.DELETE)])
    (part,) = response.responses
    assert part.namespace == "shop.orders_parts"
    kinds = [wire.UpdateType.Name(update.type).rpartition("_")[2] for update in part.updates]
    assert kinds == ["INSERT"] * 2 + ["DELETE"] * 3
    assert [update.id[0].data[4:-1] for update in part.updates] == [b"7/0", b"7/1", b"7/0", b"7/1", b"7/2"]
    assert bson.decode(part.updates[1].data) == {"_id": "7/1", "of": 7, "part": 1}
    assert not part.updates[4].data
