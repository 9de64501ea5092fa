"""What a run was asked to do, apart from its two ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dsync.namespaces import Selection

Mode = Literal["Full", "CDC", "InitialSync"]

# Names that users of the Go dsync know, in partitions copied at a time.
LOAD_LEVELS = {"Low": 4, "Medium": 8, "High": 16, "Beast": 32}


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `dsync.migrate`; sizes are bytes, times seconds."""

    selection: Selection = field(default_factory=Selection)
    mode: Mode | None = None
    flow: str = ""
    copiers: int = LOAD_LEVELS["Low"]
    # Processes that copy, this one among them; None: as many as pay.
    workers: int | None = None
    memory_limit: int | None = None
    # The documents of a batch at the most; the sink's wish for bytes applies besides.
    writer_batch_size: int = 10_000
    # Documents a second over all processes; 0: no limit.
    write_rate_limit: float = 0.0
    retry_for: float = 600.0
    metadata: str = ""
    restart: bool = False
    overwrite: bool = False
    merge_namespaces: bool = False
    # Follow the changes of the destination back to the source, from where the last forward run ended.
    reverse: bool = False
    duplicates: Literal["fail", "last"] = "fail"
    # Where documents go that the destination refuses, as JSON lines; "": a refusal fails the run.
    dead_letters: str = ""
    # End when everything up to the source's present time is durable.
    until_caught_up: bool = False
    # Documents that a change stream may delete in a run; None: any number.
    max_delete: int | None = None
    # How often positions of change streams are saved.
    save_positions_seconds: float = 1.0
