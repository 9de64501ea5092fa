"""A function named as `package.module:function`: found, looked at, and called for one document at a time."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dsync.errors import DsyncError, UsageError

NAME = re.compile(r"python:(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)")
SIGNATURE = "def f(namespace, document, id)"

# What a function yields: a namespace and a document; on a delete one with just the `_id`.
Made = tuple[str, Mapping[str, Any]]


class Refusal(Exception):
    """Why a document cannot go through the function, without its contents."""


class Function:
    """The function of a URI. Raises UsageError for one that cannot be imported or does not take what it would be given."""

    def __init__(self, uri: str) -> None:
        match = NAME.fullmatch(uri)
        if match is None:
            raise UsageError(f"{uri!r} names no function", remedy="write python:package.module:function")
        self.module = _imported(uri, match[1])
        self._function = _attribute(uri, self.module, match[2])
        _check_signature(uri, self._function)

    def __call__(self, namespace: str, document: dict[str, Any] | None, identity: Any) -> Iterator[Made]:
        """Everything that the function makes of a document. Raises Refusal."""
        try:
            found = self._function(namespace, document, identity)
            if found is None or isinstance(found, str | bytes | Mapping):
                raise Refusal(f"it answered {_kind(found)}, not an iterable of (namespace, document)")
            for item in found:
                yield _checked(item)
        except (Refusal, DsyncError):
            raise
        except (Exception, SystemExit) as error:
            # what an error of somebody else's code says may hold the document: its name and place have to do
            raise Refusal(f"{type(error).__name__} at {self._place(error)}") from error

    def _place(self, error: BaseException) -> str:
        """File and line: the last in the function's own module, else the last of all."""
        own = getattr(self.module, "__file__", None)
        frames = traceback.extract_tb(error.__traceback__)
        frame = next((frame for frame in reversed(frames) if frame.filename == own), frames[-1])
        return f"line {frame.lineno} of {os.path.basename(frame.filename)}"  # noqa: PTH119 - may be no path at all


def search_current_folder() -> None:
    """Puts the current folder where modules are looked for, in every process in the same place."""
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _imported(uri: str, name: str) -> Any:
    search_current_folder()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise UsageError(
                f"{uri!r}: there is no module {missing!r}",
                remedy="run dsync in its folder, or put that on PYTHONPATH",
            ) from error
        raise UsageError(
            f"{uri!r}: the module {name!r} needs {missing!r}, which is not installed", remedy="install it"
        ) from error
    except (Exception, SystemExit) as error:
        place = f" at line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UsageError(
            f"{uri!r}: importing {name!r} fails with {type(error).__name__}{place}",
            remedy=f"mend the module; python -c 'import {name}' shows why",
        ) from error


def _attribute(uri: str, module: Any, name: str) -> Callable[..., Any]:
    found = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            near = difflib.get_close_matches(part, dir(found), 1)
            guess = f"did you mean {near[0]!r}?" if near else "check the name"
            raise UsageError(f"{uri!r}: {module.__name__!r} has no {name!r}", remedy=guess) from error
    if not callable(found):
        raise UsageError(f"{uri!r} is {_kind(found)}, not a function", remedy=f"write {SIGNATURE}")
    function: Callable[..., Any] = found
    return function


def _check_signature(uri: str, function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{uri!r} is an async function", remedy=f"write a plain one: {SIGNATURE}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a builtin does not say; calling it will
    try:
        signature.bind("namespace", {}, None)
    except TypeError as error:
        raise UsageError(
            f"{uri!r} cannot be called with (namespace, document, id): {error}", remedy=f"write {SIGNATURE}"
        ) from error


def _checked(item: Any) -> Made:
    if not isinstance(item, tuple) or len(item) != 2:
        raise Refusal(f"it yielded {_kind(item)}, not a (namespace, document)")
    namespace, document = item
    if not isinstance(namespace, str) or not namespace:
        raise Refusal(
            f"it yielded {_kind(namespace)} for a namespace" if namespace else "it yielded an empty namespace"
        )
    if not isinstance(document, Mapping):
        raise Refusal(f"it yielded {_kind(document)} for a document")
    return namespace, document


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
