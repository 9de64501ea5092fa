"""Documents like those of an application, of every common type, from 60 bytes of noise."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

# No document is larger, in BSON or in text; tests hold it to that.
LARGEST_BYTES = 2048

GIVEN = (
    "Ada",
    "Björn",
    "Chiara",
    "Dmitri",
    "Elif",
    "Fatou",
    "Grace",
    "Hiroshi",
    "Inês",
    "João",
    "Kofi",
    "Łucja",
    "Mei",
    "Noor",
)
FAMILY = (
    "Okafor",
    "Sørensen",
    "Rossi",
    "Ivanov",
    "Şahin",
    "Diallo",
    "Hopper",
    "Tanaka",
    "Da Silva",
    "O'Brien",
    "Nguyễn",
    "García",
)
STREETS = ("Hauptstraße", "Rue de l'Église", "High Street", "大通り", "Calle Mayor", "Via Roma", "Đường Láng")
CITIES = ("Zürich", "São Paulo", "London", "東京", "Nairobi", "Kraków", "İzmir", "Reykjavík", "Lagos")
TAGS = ("new", "vip", "trial", "returning", "b2b", "employee", "🎁 gift", "on hold")
STATUS = ("active", "paused", "closed")
EPOCH = datetime(2015, 1, 1, tzinfo=UTC)
PRICES = tuple(Decimal128(f"{cents // 100}.{cents % 100:02d}") for cents in range(0, 100_000, 97))

_FIELDS = struct.Struct("<8B 4H 4I q 12s 8s")


def document(noise: bytes) -> dict[str, Any]:
    """A document without its id; `noise` is 60 bytes or more, and decides all of it."""
    (
        given, family, street, city, tags, status, odd, age,
        house, price, longitude, latitude,
        joined, seen, visits, postcode,
        balance, friend, picture,
    ) = _FIELDS.unpack_from(noise)  # fmt: skip
    name = f"{GIVEN[given % len(GIVEN)]} {FAMILY[family % len(FAMILY)]}"
    fields = {
        "name": name,
        "email": f"{GIVEN[given % len(GIVEN)].lower()}.{seen % 10_000}@example.org",
        "age": age % 90 + 10,
        "status": STATUS[status % len(STATUS)],
        "active": bool(status & 1),
        "visits": Int64(visits),
        "points": Int64(balance),
        "balance": balance / 2**40,
        "price": PRICES[price % len(PRICES)],
        "joined": EPOCH + timedelta(seconds=joined % 315_360_000),
        "seen": EPOCH + timedelta(milliseconds=seen * 70),
        "address": {
            "street": f"{STREETS[street % len(STREETS)]} {house % 300}",
            "city": CITIES[city % len(CITIES)],
            "postcode": f"{postcode % 100_000:05d}",
            "location": {"type": "Point", "coordinates": [longitude / 65536 * 360 - 180, latitude / 65536 * 180 - 90]},
        },
        "tags": [TAGS[(tags + step) % len(TAGS)] for step in range(tags % 4)],
        "friend": ObjectId(friend),
        "picture": Binary(picture, 0),
        "odd": ODD[odd % len(ODD)](balance),
    }
    # Not every document has every field.
    if house % 3 == 0:
        fields["nickname"] = None if house % 2 else name.split()[0][:3]
    return fields


# A field whose type differs from document to document.
ODD: tuple[Callable[[int], Any], ...] = (
    lambda number: None,
    lambda number: number % 1000,
    lambda number: Int64(number % 1000),
    lambda number: float(number % 1000),
    lambda number: str(number),
    lambda number: "",
    lambda number: [],
    lambda number: {},
    lambda number: [number % 7, str(number % 7), None, {"deep": [[number % 3]]}],
    lambda number: Binary(b"%d" % number, 128),
    lambda number: PRICES[number % len(PRICES)],
    lambda number: -number / 7,
    lambda number: 'quotes ", commas, tabs\tand\nlines',
)
