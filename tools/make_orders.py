"""Writes test_data/orders.bson, as mongodump would: made up by a fixed seed, so that everybody's copy is the same."""

import datetime as dt
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
from bson import Decimal128, Int64, ObjectId

TARGET = Path(__file__).resolve().parent.parent / "test_data" / "orders.bson"
COUNT = 250
WARES = ("kettle", "lamp", "tea, green", 'vitamin "C"', "Schraube Ø 4", "茶碗")
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def orders() -> Iterator[dict[str, Any]]:
    """The documents."""
    chance = random.Random(20240101)
    for number in range(1, COUNT + 1):
        lines = [
            {
                "ware": chance.choice(WARES),
                "pieces": chance.randint(1, 9),
                "price": Decimal128(f"{chance.randint(100, 9999) / 100:.2f}"),
            }
            for _ in range(chance.randint(1, 4))
        ]
        order: dict[str, Any] = {
            "_id": ObjectId(f"{0x65A000000000000000000000 + number:024x}"),
            "number": Int64(number),
            "customer": chance.randint(1, 12),
            "placed": START + dt.timedelta(minutes=chance.randint(0, 500_000)),
            "lines": lines,
            "weight": chance.random() * 10,
        }
        if number % 10 == 0:
            order["paid"] = None if number % 20 else True
        yield order


def main() -> None:
    """Writes the file; with --check, only says whether it is what would be written."""
    data = b"".join(map(bson.encode, orders()))
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_bytes() == data else f"{TARGET} is not what tools/make_orders.py makes")
    TARGET.write_bytes(data)


if __name__ == "__main__":
    main()
