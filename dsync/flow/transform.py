"""Leads documents and updates through a transform: in slices, converted on both sides, with what it fails on set aside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from dsync import codec, wire
from dsync.codec import raw
from dsync.endpoint import Endpoint
from dsync.errors import DataError, EndpointError, UnimplementedError, UsageError
from dsync.flow.made import Made
from dsync.transform import Transform
from dsync.wrap.setaside import DeadLetters, as_json, find_refused, id_text

Item = TypeVar("Item", bytes, wire.Update)

# What a transform gets at a time: little enough that an answer of fifty times the size fits into a message.
SLICE_DOCUMENTS, SLICE_BYTES = 1000, 1 << 20
# Of what is made of one page of the source, which is held in memory as a whole.
MOST_MADE_BYTES = 256 << 20
# What no document is to blame for is never set aside.
MEND = "mend the program that serves it"

# A namespace and an id, as stores tell documents apart.
Key = tuple[str, Hashable]


class Transforming(Struct, frozen=True):
    """How a run uses its transform; it travels to worker processes. The sink gets `type`.

    `endpoint` is None for a transform that a program brings as an object. `followed`: changes are to be followed, so whatever is
    made of a document must be named by what is made of its delete. `closed` are names that nothing may be made for, nor for what is
    below them: those that the run reads, where source and destination are one store. An empty one stands for all.
    """

    endpoint: Endpoint | None
    request: wire.Type
    response: wire.Type
    type: wire.Type
    multiple: bool
    followed: bool = False
    closed: tuple[str, ...] = ()


class Stage:
    """A transform at work. `letters`: where what it fails on goes; None: a failure is raised."""

    def __init__(self, transform: Transform, how: Transforming, letters: DeadLetters | None = None) -> None:
        self.transform = transform
        self.how = how
        self.letters = letters

    async def documents(self, namespace: str, data: Sequence[bytes]) -> Made:
        """What becomes of documents that would go to `namespace`. Raises DataError where the transform fails, UsageError where
        changes of what it makes could not be followed."""
        made = Made()
        for some in slices(data, len):
            part = await self._set_aside(namespace, some, self._documents)
            if self.how.followed:
                await self._check_followable(namespace, some, part)
            made.add(part)
            if made.bytes > MOST_MADE_BYTES:
                raise DataError(
                    f"the transform makes more than {MOST_MADE_BYTES >> 20} MiB of one page of {namespace!r}",
                    remedy="read smaller pages, by the source's option for them",
                )
        return made

    async def updates(self, namespace: str, updates: Sequence[wire.Update]) -> Made:
        """What becomes of whole updates and deletes, at most one an id.

        What the transform makes of an id's delete, and not of the document as it is now, was made of an earlier one and goes.
        """
        made = Made()
        for some in slices(updates, lambda update: len(update.data)):
            made.add(await self._updates(namespace, some))
        return made

    async def _updates(self, namespace: str, updates: Sequence[wire.Update]) -> Made:
        good: list[wire.Update] = []

        async def ask(namespace: str, some: Sequence[wire.Update]) -> Made:
            answer = await self._ask(namespace, updates=some)
            good.extend(some)
            return answer

        whole = [update for update in updates if update.type != wire.DELETE]
        made = await self._set_aside(namespace, whole, ask) if whole else Made()
        ids = [*good, *(update for update in updates if update.type == wire.DELETE)]
        ended = await self._ended(namespace, [update.id for update in ids])
        present = self._keys(made)
        self._refuse_unnamed(namespace, present, ended)
        for key, update in ended.items():
            if key not in present:
                made.updates.setdefault(key[0], []).append(update)
        return made

    async def _set_aside(
        self, namespace: str, items: Sequence[Item], ask: Callable[[str, Sequence[Item]], Awaitable[Made]]
    ) -> Made:
        """What becomes of the items but for those that the transform fails on, which go into the dead letters."""
        try:
            return await ask(namespace, items)
        except DataError as error:
            if self.letters is None:
                raise
            refusal = error
        made = Made()

        async def collect(some: Sequence[Item]) -> None:
            made.add(await ask(namespace, some))

        refused = await find_refused(items, collect, refusal)
        self.letters.add([self._letter(namespace, items[index], error) for index, error in refused])
        made.failed += len(refused)
        return made

    def _letter(self, namespace: str, item: bytes | wire.Update, error: DataError) -> dict[str, object]:
        letter: dict[str, object] = {"namespace": namespace, "reason": str(error)}
        if isinstance(item, bytes):
            return letter | as_json(item, self.how.request)
        named = {"update": wire.UpdateType.Name(item.type), "id": id_text(item)}
        return letter | named | as_json(item.data, self.how.request)

    async def _documents(self, namespace: str, data: Sequence[bytes]) -> Made:
        return await self._ask(namespace, data=data)

    async def _ask(self, namespace: str, *, data: Sequence[bytes] = (), updates: Sequence[wire.Update] = ()) -> Made:
        """One call. Raises EndpointError for an answer that cannot be understood whole."""
        request = wire.GetTransformRequest(
            namespace=namespace,
            data=data,
            updates=updates,
            request_type=self.how.request,
            response_type=self.how.response,
        )
        try:
            answer = await self.transform.GetTransform(request)
        except UnimplementedError as error:
            if not updates:
                raise
            raise UsageError("the transform takes no updates", remedy="copy once, with --mode InitialSync") from error
        made = Made()
        for part in self._parts(answer):
            name = part.namespace or namespace
            if (part.updates and not updates) or (part.data and not data):
                raise EndpointError(
                    f"the transform answered documents of {namespace!r} with updates, or updates with documents",
                    remedy=MEND,
                )
            if self._is_closed(name):
                raise UsageError(
                    f"the transform writes to {name!r}, which is read from", remedy="write to another namespace"
                )
            if part.data:
                converted = codec.convert(part.data, self.how.response, self.how.type)
                made.documents.setdefault(name, []).extend(converted)
                made.bytes += sum(map(len, converted))
            if part.updates:
                made.updates.setdefault(name, []).extend(self._converted(part.updates))
        count = len(data) + len(updates)
        made.filtered = answer.filtered if answer.HasField("filtered") else max(0, count - made.count)
        return made

    def _is_closed(self, name: str) -> bool:
        return any(not each or name == each or name.startswith(f"{each}.") for each in self.how.closed)

    def _parts(self, answer: wire.GetTransformResponse) -> Sequence[wire.TransformResponse | wire.GetTransformResponse]:
        """The answer in the form that the transform announced; the other one would be lost without a word."""
        single = bool(answer.data or answer.updates)
        if single if self.how.multiple else bool(answer.responses):
            raise EndpointError(
                "the transform does not answer in the form that its GetTransformInfo announces", remedy=MEND
            )
        return answer.responses if self.how.multiple else [answer]

    def _converted(self, updates: Sequence[wire.Update]) -> Iterator[wire.Update]:
        full = codec.convert([update.data for update in updates if update.data], self.how.response, self.how.type)
        texts = iter(full)
        for update in updates:
            if not update.id:
                raise EndpointError("the transform made an update without an id", remedy=MEND)
            if update.data:
                update.data = next(texts)
            yield update

    async def _ended(self, namespace: str, ids: Sequence[Sequence[wire.BsonValue]]) -> dict[Key, wire.Update]:
        """What the transform makes of deletes, by what it names. Raises UsageError where two documents become one."""
        if not ids:
            return {}
        deletes = [wire.Update(id=each, type=wire.DELETE) for each in ids]
        made = await self._ask(namespace, updates=deletes)
        ended = {(name, _key(update)): update for name, updates in made.updates.items() for update in updates}
        if len(ended) < made.count:
            raise UsageError(
                f"the transform makes one document of two of {namespace!r}: the end of one would be the end of both",
                remedy="give what is made of each document ids of its own, or copy once, with --mode InitialSync",
            )
        return ended

    async def _check_followable(self, namespace: str, data: Sequence[bytes], made: Made) -> None:
        documents = codec.convert(data, self.how.request, wire.BSON)
        ids = [wire.BsonValue(name="_id", type=kind, data=value) for kind, value in map(raw.id_of, documents)]
        self._refuse_unnamed(namespace, self._keys(made), await self._ended(namespace, [[each] for each in ids]))

    def _refuse_unnamed(self, namespace: str, present: set[Key], ended: dict[Key, wire.Update]) -> None:
        for name, _ in sorted((key for key in present if key not in ended), key=lambda key: key[0]):
            raise UsageError(
                f"changes cannot be followed through the transform: of a document of {namespace!r} it makes one in {name!r}"
                " that it does not name when the document is deleted",
                remedy='yield (namespace, {"_id": …}) for each such id, which has to follow from the id, when the document is'
                " None; or copy once, with --mode InitialSync",
            )

    def _keys(self, made: Made) -> set[Key]:
        keys = {(name, _key(update)) for name, updates in made.updates.items() for update in updates}
        return keys | set(self.keys(made))

    def keys(self, made: Made) -> Iterator[Key]:
        """The namespaces and ids of documents; None for the id of one that has none."""
        for name, documents in made.documents.items():
            for document in documents if self.how.type == wire.BSON else self._as_bson(documents):
                try:
                    yield name, raw.id_key(*raw.id_of(document))
                except DataError:
                    yield name, None

    def _as_bson(self, documents: Sequence[bytes]) -> Sequence[bytes]:
        if self.how.type == wire.EXTENDED_JSON:
            return codec.reader.read(documents, lambda _, record: record)
        return codec.convert(documents, self.how.type, wire.BSON)


def _key(update: wire.Update) -> Hashable:
    return tuple(raw.id_key(part.type, part.data) for part in update.id) if len(update.id) > 1 else _only(update)


def _only(update: wire.Update) -> Hashable:
    (part,) = update.id
    return raw.id_key(part.type, part.data)


def slices(items: Sequence[Item], size: Callable[[Item], int]) -> Iterator[Sequence[Item]]:
    """The items in parts of so many and so many bytes at the most; a single one may be larger."""
    start = total = 0
    for index, item in enumerate(items):
        total += size(item)
        if index > start and (total > SLICE_BYTES or index - start == SLICE_DOCUMENTS):
            yield items[start:index]
            start, total = index, size(item)
    if start < len(items):
        yield items[start:]
