"""One row as one document, whatever its fields are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from connectors.file.csvcells import EJSON, CellError, CellType
from dsync.codec import RecordError, bson_to_text, raw, text_to_bson

_BSON_NAME = "$bson"


class RowWriter:
    """Makes documents of rows, cell by cell. `keys` are the fields' names as JSON; `reserved` says that some begin with `$`."""

    def __init__(
        self, columns: Sequence[str], fields: Sequence[str], types: Sequence[CellType | None], null: str | None
    ) -> None:
        self.keys = [orjson.dumps(field) for field in fields]
        self.reserved = any(field.startswith("$") for field in fields)
        self._columns = columns
        self._fields = fields
        self._types = types
        self._null = null

    def document(self, row: Sequence[str]) -> bytes:
        """Extended JSON of a row with a cell for every column.

        Raises:
            CellError: a cell is not of its column's type.
        """
        values = [self._value(place, cell) for place, cell in enumerate(row)]
        if self.reserved:
            return self._with_reserved(values)
        return _object((key, value) for key, value in zip(self.keys, values, strict=True) if value is not None)

    def _value(self, place: int, cell: str) -> bytes | None:
        if cell == self._null:
            return b"null"
        kind = self._types[place]
        if kind is None:
            return orjson.dumps(cell)
        try:
            return kind.convert(cell)
        except CellError as error:
            raise CellError(f"column {self._columns[place]!r} is {error}", empty=not cell) from None

    def _with_reserved(self, values: Sequence[bytes | None]) -> bytes:
        """A document whose text could be mistaken for one of Extended JSON's own forms, such as {"$oid": …}."""
        present = [place for place, value in enumerate(values) if value is not None]
        names = [self._fields[place] for place in present]
        pairs = _object((self.keys[place], values[place] or b"") for place in present)
        if not any(name.startswith("$") for name in names):
            return pairs
        if names == [_BSON_NAME] and self._types[present[0]] is EJSON:
            return pairs  # so the ejson form writes documents that no columns can say
        # Under names that mean nothing the values become BSON; there the real names are just names.
        safe = _object((b'"%d"' % place, values[place] or b"") for place in present)
        try:
            document = text_to_bson([b'{"_id":0,"row":%b}' % safe])[0]
        except RecordError as error:
            raise CellError(f"a value is not Extended JSON: {error.reason}") from None
        row = next(start for _, key, start, _ in raw.elements(document) if key == b"row")
        elements = zip(names, raw.elements(document, row), strict=True)
        content = b"".join(
            b"%c%b\0%b" % (kind, name.encode(), document[start:end]) for name, (kind, _, start, end) in elements
        )
        return bson_to_text([b"%b%b\0" % ((len(content) + 5).to_bytes(4, "little"), content)])[0]


def _object(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % pair for pair in pairs)
