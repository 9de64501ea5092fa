"""Batches of updates: the newest full update of an id wins, order within an id is kept, ids are independent of each other."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from dsync import wire
from dsync.codec import raw
from dsync.connector import Connector
from dsync.errors import GapError, UnimplementedError

# Updates in one request at the most: small enough to be written side by side.
REQUEST_UPDATES = 1000


def runs(answers: Iterable[wire.StreamUpdatesResponse]) -> Iterator[list[wire.StreamUpdatesResponse]]:
    """The answers in parts to be applied one after the other: an answer that drops a namespace is one alone."""
    run: list[wire.StreamUpdatesResponse] = []
    for answer in answers:
        if drops(answer):
            yield from filter(None, (run, [answer]))
            run = []
        else:
            run.append(answer)
    yield from filter(None, (run,))


def drops(answer: wire.StreamUpdatesResponse) -> bool:
    """Whether an answer says that a namespace is gone."""
    return any(update.type == wire.DROP for update in answer.updates)


def compact(updates: Iterable[wire.Update]) -> list[list[wire.Update]]:
    """The updates by id, in the order in which the ids last appeared in full; those of an id in order.

    A full update or a delete replaces whatever came before it for its id; partial updates after it are kept.
    """
    by_id: dict[Hashable, list[wire.Update]] = {}
    for update in updates:
        key = tuple(raw.id_key(part.type, part.data) for part in update.id)
        if update.type == wire.PARTIAL_UPDATE and key in by_id:
            by_id[key].append(update)
        else:
            by_id.pop(key, None)
            by_id[key] = [update]
    return list(by_id.values())


def requests(
    namespace: str,
    data_type: wire.Type,
    updates: Sequence[wire.Update],
    *,
    together: bool = False,
    last_try: bool = False,
) -> list[wire.WriteUpdatesRequest]:
    """Requests that may be written side by side: no id is in two of them. `together`: a single one."""
    most = len(updates) if together else REQUEST_UPDATES
    made: list[wire.WriteUpdatesRequest] = []
    for group in compact(updates):
        if not made or len(made[-1].updates) + len(group) > most:
            made.append(wire.WriteUpdatesRequest(namespace=namespace, type=data_type, last_try=last_try))
        made[-1].updates.extend(group)
    return made


async def whole_updates(
    source: Connector, namespace: str, updates: Sequence[wire.Update], data_type: wire.Type
) -> list[wire.Update]:
    """The updates for whoever takes only whole ones: at most one an id, partial ones read again as the source has them now.

    Raises GapError for what has no whole document: a dropped namespace, a partial update where the source cannot read again.
    """
    if any(update.type == wire.DROP for update in updates):
        raise GapError(
            f"{namespace!r} was dropped: what a transform made of its documents is not known",
            remedy="remove it by hand and copy again with --restart",
        )
    whole: list[wire.Update] = []
    partial: list[wire.Update] = []
    for group in compact(updates):
        (partial if group[-1].type == wire.PARTIAL_UPDATE else whole).append(group[-1])
    return whole + await _read_again(source, namespace, partial, data_type)


async def _read_again(
    source: Connector, namespace: str, updates: Sequence[wire.Update], data_type: wire.Type
) -> list[wire.Update]:
    if not updates:
        return []
    ids = [wire.GetByIdsRequest.IdRequest(id=update.id) for update in updates]
    try:
        answer = await source.GetByIds(wire.GetByIdsRequest(namespace=namespace, ids=ids, type=data_type))
    except UnimplementedError as error:
        raise GapError(
            f"changes of {namespace!r} come as partial updates, which cannot go through a transform",
            remedy="let the source send whole documents, or copy with --mode InitialSync",
        ) from error
    return [
        wire.Update(id=update.id, type=wire.UPDATE if item.data else wire.DELETE, data=item.data)
        for update, item in zip(updates, answer.data, strict=True)
    ]
