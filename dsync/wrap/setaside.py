"""A sink that puts what is refused into dead letters, instead of failing."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from dsync import codec, wire
from dsync.codec import raw
from dsync.connector import Connector
from dsync.errors import ConflictError, DataError, UsageError
from dsync.wrap.delegate import Delegate

Item = TypeVar("Item", bytes, wire.Update)


class DeadLetters:
    """A file of JSON lines, readable by its owner alone: namespace, reason, and the document or update.

    The only place besides the stores where documents stand. Several processes may append: each letter is one write.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(
                f"--dead-letters {path!r} cannot be written: {error.strerror}", remedy="name another"
            ) from error

    def close(self) -> None:
        """Closes the file; repeatable."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def add(self, letters: Sequence[dict[str, object]]) -> None:
        """Appends durably. A letter may come again after a crash: whoever reads them takes equal ones for one."""
        for letter in letters:
            os.write(self._file, json.dumps(letter, ensure_ascii=False).encode() + b"\n")
        os.fsync(self._file)


class SetAside(Delegate):
    """Finds what the sink refuses by halving, writes the rest, and answers how much was set aside.

    Only a DataError is about documents; every other error is passed on. A batch keeps its `write_id` through all tries, so
    that the last one, with what is good, stands.
    """

    def __init__(self, inner: Connector, letters: DeadLetters) -> None:
        super().__init__(inner)
        self.letters = letters

    async def close(self) -> None:
        """See Connector."""
        self.letters.close()
        await super().close()

    async def WriteData(self, request: wire.WriteDataRequest) -> wire.WriteDataResponse:
        """See Connector."""
        try:
            return await super().WriteData(request)
        except DataError as error:
            refusal = error

        async def write(data: Sequence[bytes]) -> None:
            await super(SetAside, self).WriteData(
                wire.WriteDataRequest(
                    namespace=request.namespace, data=data, type=request.type, write_id=request.write_id
                )
            )

        refused = await find_refused(list(request.data), write, refusal)
        bad = {index for index, _ in refused}
        await write([data for index, data in enumerate(request.data) if index not in bad])
        self.letters.add(
            [
                {"namespace": request.namespace, "reason": str(error), **as_json(request.data[index], request.type)}
                for index, error in refused
            ]
        )
        return wire.WriteDataResponse(set_aside=len(refused))

    async def WriteUpdates(self, request: wire.WriteUpdatesRequest) -> wire.WriteUpdatesResponse:
        """See Connector; of updates of one id, those after a refused one are tried all the same.

        Raises ConflictError as long as later updates may make good what is refused now.
        """
        try:
            return await super().WriteUpdates(request)
        except DataError as error:
            if isinstance(error, ConflictError) and not request.last_try:
                raise
            refusal = error

        async def write(updates: Sequence[wire.Update]) -> None:
            await super(SetAside, self).WriteUpdates(
                wire.WriteUpdatesRequest(namespace=request.namespace, updates=updates, type=request.type)
            )

        refused = await find_refused(list(request.updates), write, refusal)
        self.letters.add(
            [
                {
                    "namespace": request.namespace,
                    "reason": str(error),
                    "update": wire.UpdateType.Name(request.updates[index].type),
                    "id": id_text(request.updates[index]),
                    **as_json(request.updates[index].data, request.type),
                }
                for index, error in refused
            ]
        )
        return wire.WriteUpdatesResponse(set_aside=len(refused))


async def find_refused(
    items: Sequence[Item], write: Callable[[Sequence[Item]], Awaitable[None]], refusal: DataError, first: int = 0
) -> list[tuple[int, DataError]]:
    """(index, error) of each item that is refused even alone, in order; all others have been written at least once.

    `refusal` is the error of all items together.
    """
    if len(items) == 1:
        return [(first, refusal)]
    found = []
    half = len(items) // 2
    for start, part in ((0, items[:half]), (half, items[half:])):
        try:
            await write(part)
        except DataError as error:
            found += await find_refused(part, write, error, first + start)
    return found


def as_json(data: bytes, data_type: wire.Type) -> dict[str, object]:
    """The document as Extended JSON text, as base64 where it cannot be said; nothing for no document."""
    if not data:
        return {}
    try:
        return {"document": json.loads(codec.convert([data], data_type, wire.EXTENDED_JSON)[0])}
    except (DataError, ValueError, RecursionError):
        return {"base64": base64.b64encode(data).decode()}


def id_text(update: wire.Update) -> object:
    """The update's id as Extended JSON."""
    parts = [raw.value_document(part.type, part.data, part.name.encode() or b"_id") for part in update.id]
    return [json.loads(text) for text in codec.bson_to_text(parts)]
