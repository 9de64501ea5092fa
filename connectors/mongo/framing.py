"""Cheap checks of documents before they are written: the server would refuse a whole command without saying for which."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import itemgetter

from connectors.mongo import ids
from dsync.codec import raw
from dsync.codec.whole import Documents
from dsync.errors import DataError

DOCUMENT_BYTES = 16 << 20
# A document's size, the type and the key of its first field.
ID_KEY = b"_id\0"
HEAD_BYTES = 5 + len(ID_KEY)

_head = itemgetter(slice(0, HEAD_BYTES))


def check_framing(documents: Sequence[bytes], namespace: str) -> None:
    """Raises DataError for documents without an `_id`, too large, or not as long as they say: the cheap checks."""
    if _are_sound_whole(documents) or _are_framed(documents):
        return
    for document in documents:
        if len(document) > DOCUMENT_BYTES:
            kind = ids.NAMES.get(raw.id_of(document)[0], "unknown")
            raise DataError(
                f"a document for {namespace!r} has {len(document)} bytes, MongoDB takes {DOCUMENT_BYTES}; its _id is a {kind}"
            )
        if document[:4] != len(document).to_bytes(4, "little"):
            raise DataError(f"a document for {namespace!r} is not BSON: its length is wrong")
        if document[5:9] != b"_id\0":
            _check_has_id(document, namespace)


def _are_sound_whole(documents: Sequence[bytes]) -> bool:
    """Whether they are an array that was looked through when it came, none of them too large."""
    return isinstance(documents, Documents) and documents.begin_with_id and documents.size <= DOCUMENT_BYTES


def _are_framed(documents: Sequence[bytes]) -> bool:
    """Whether all of them are sound, of a small size and begin with their `_id`, by one look at all heads."""
    sizes = list(map(len, documents))
    heads = b"".join(map(_head, documents))
    count = len(sizes)
    if max(sizes, default=0) > DOCUMENT_BYTES or len(heads) != HEAD_BYTES * count:
        return False
    claimed = struct.pack(f"<{count}i", *sizes)
    return all(heads[byte::HEAD_BYTES] == claimed[byte::4] for byte in range(4)) and all(
        heads[5 + byte :: HEAD_BYTES] == ID_KEY[byte : byte + 1] * count for byte in range(len(ID_KEY))
    )


def _check_has_id(document: bytes, namespace: str) -> None:
    try:
        raw.id_of(document)
    except DataError as error:
        raise DataError(f"{namespace!r}: {error.message}") from None


def check_sound(documents: Sequence[bytes], namespace: str) -> None:
    """Raises DataError for the first document that is not sound BSON: what the server refuses without saying which."""
    for index, document in enumerate(documents):
        try:
            raw.check(document, strict=False)
        except DataError as error:
            raise DataError(f"{namespace!r}: document {index} of the batch is malformed: {error.message}") from None
