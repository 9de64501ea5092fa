"""`/dev/random`: documents of many types, and a change stream of inserts, updates and deletes among them."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import bson
from bson.objectid import ObjectId

from connectors.random import RANDOM
from connectors.random.cursors import Lane, Slice
from connectors.random.documents import LARGEST_BYTES, document
from connectors.random.settings import noise, number
from connectors.random.source import MadeUpSource
from dsync import codec, wire

OBJECT_ID = 7
KIND, TARGET, OWNER = 3, 4, 5
# Ids carry a time, as if a document were made every minute from 2020-01-01 on.
FIRST_SECOND = 1_577_836_800
SECONDS_APART = 60
PLACE_BYTES = 5
# A round of a change stream: what comes in adds one document a round to what is there.
ROUND = (wire.INSERT,) * 3 + (wire.DELETE,) * 2 + (wire.UPDATE,) * 5
INSERTS, DELETES = 3, 2


class VariedSource(MadeUpSource):
    """Documents like those of a real application, with ObjectIds.

    A document's place counts on through its namespace's partitions, and beyond them through inserts. A change
    stream owns every n-th place; it inserts at the end, deletes the oldest, and updates any in between.
    """

    spec = RANDOM

    def document_bytes(self) -> int:
        """The most that one has, in the larger form."""
        return LARGEST_BYTES

    def page(self, part: Slice, start: int, end: int, data_type: wire.Type) -> list[bytes]:
        """The documents of a partition from one offset up to another."""
        first = part.partition * self.settings.num_docs_per_partition
        return _as_type([self._document(part.namespace, first + at, 0) for at in range(start, end)], data_type)

    def update(self, lane: Lane, number_: int, data_type: wire.Type) -> wire.Update | None:
        """An insert, an update or a delete; only documents that are there are updated or deleted."""
        kind, slot = self._event(lane, number_)
        place = slot * self.settings.num_update_partitions_per_namespace + lane.partition
        value = wire.BsonValue(data=self._id(lane.namespace, place).binary, type=OBJECT_ID, name="_id")
        if kind == wire.DELETE:
            return wire.Update(id=[value], type=kind)
        [data] = _as_type([self._document(lane.namespace, place, 1 + number_)], data_type)
        return wire.Update(id=[value], type=kind, data=data)

    def find(self, namespace: int, identity: wire.BsonValue, data_type: wire.Type) -> bytes:
        """The document as its page has it."""
        if identity.type != OBJECT_ID or len(identity.data) != 12:
            return b""
        place = int.from_bytes(identity.data[-PLACE_BYTES:], "big")
        if place >= self.settings.documents_per_namespace or self._id(namespace, place).binary != identity.data:
            return b""
        return _as_type([self._document(namespace, place, 0)], data_type)[0]

    def _document(self, namespace: int, place: int, version: int) -> bytes:
        identity = self._id(namespace, place)
        return bson.encode({"_id": identity, **document(noise(64, self.settings.seed, namespace, place, version))})

    def _id(self, namespace: int, place: int) -> ObjectId:
        second = (FIRST_SECOND + SECONDS_APART * place) & 0xFFFFFFFF
        owner = noise(12 - 4 - PLACE_BYTES, self.settings.seed, namespace, OWNER)
        return ObjectId(struct.pack(">I", second) + owner + place.to_bytes(PLACE_BYTES, "big"))

    def _event(self, lane: Lane, number_: int) -> tuple[wire.UpdateType.ValueType, int]:
        """What update `number_` of a stream does, to which of its slots; those from oldest up to newest are alive."""
        streams = self.settings.num_update_partitions_per_namespace
        owned = (self.settings.documents_per_namespace - lane.partition + streams - 1) // streams
        round_number, step = divmod(number_, len(ROUND))
        oldest, newest = DELETES * round_number, owned + INSERTS * round_number
        kinds = self._round(lane, round_number, newest - oldest)
        oldest += kinds[:step].count(wire.DELETE)
        newest += kinds[:step].count(wire.INSERT)
        if kinds[step] == wire.INSERT:
            return wire.INSERT, newest
        if kinds[step] == wire.DELETE:
            return wire.DELETE, oldest
        place = (self.settings.seed, lane.namespace, lane.partition, number_, TARGET)
        return wire.UPDATE, oldest + number(*place) % (newest - oldest)

    def _round(self, lane: Lane, round_number: int, alive: int) -> Sequence[wire.UpdateType.ValueType]:
        """The round's kinds, shuffled; inserts come first while there is too little to delete and update."""
        if alive <= DELETES:
            return ROUND
        kinds = list(ROUND)
        place = (self.settings.seed, lane.namespace, lane.partition, round_number, KIND)
        random.Random(number(*place)).shuffle(kinds)  # noqa: S311 - test data
        return kinds


def _as_type(page: list[bytes], data_type: wire.Type) -> list[bytes]:
    return page if data_type == wire.BSON else codec.convert(page, wire.BSON, data_type)
