"""What becomes of documents and updates on their way from source to sink, by the destination's namespaces."""

from __future__ import annotations

from msgspec import Struct, field

from dsync import wire


class Made(Struct):
    """What became of documents or updates, by namespace; `filtered` gave nothing on purpose, `failed` are in the dead letters."""

    documents: dict[str, list[bytes]] = field(default_factory=dict)
    updates: dict[str, list[wire.Update]] = field(default_factory=dict)
    filtered: int = 0
    failed: int = 0
    bytes: int = 0

    def add(self, other: Made) -> None:
        """Takes over what was made of what came next."""
        for namespace, documents in other.documents.items():
            self.documents.setdefault(namespace, []).extend(documents)
        for namespace, updates in other.updates.items():
            self.updates.setdefault(namespace, []).extend(updates)
        self.filtered += other.filtered
        self.failed += other.failed
        self.bytes += other.bytes

    @property
    def count(self) -> int:
        """Documents and updates."""
        return sum(map(len, self.documents.values())) + sum(map(len, self.updates.values()))
