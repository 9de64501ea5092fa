"""What a run was asked to do, apart from its two ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from dsync.engine import parse_engine
from dsync.errors import UsageError
from dsync.namespaces import Selection

if TYPE_CHECKING:
    from dsync.endpoint import Endpoint
    from dsync.transform import Transform

Mode = Literal["Full", "CDC", "InitialSync"]

# Names that users of the Go dsync know, in partitions copied at a time.
LOAD_LEVELS = {"Low": 4, "Medium": 8, "High": 16, "Beast": 32}

# What numbers may not fall below.
LEAST = {
    "copiers": 1,
    "workers": 1,
    "memory_limit": 1,
    "writer_batch_size": 1,
    "write_rate_limit": 0,
    "retry_for": 0,
    "max_delete": 0,
    "save_positions_seconds": 0,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `dsync.migrate`; sizes are bytes, times seconds."""

    selection: Selection = field(default_factory=Selection)
    mode: Mode | None = None
    flow: str = ""
    # Partitions copied at a time; None: as many as there is room for on a cluster, a few in this process.
    copiers: int | None = None
    # Where steps run: "local", or a cluster's URI (dsync.engine).
    engine: str = "local"
    # Processes that copy, this one among them; None: as many as pay.
    workers: int | None = None
    memory_limit: int | None = None
    # The documents of a batch at the most; the sink's wish for bytes applies besides. Two of them under way are what a kill costs
    # of a partition at the least. None: 4,000; of text that goes from file to file as lines the bytes alone count.
    writer_batch_size: int | None = None
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
    # Carry over what namespaces are besides their documents: indexes, validators, options; and views.
    indexes: bool = False
    views: bool = False
    # Documents that a change stream may delete in a run; None: any number.
    max_delete: int | None = None
    # How often positions of change streams are saved.
    save_positions_seconds: float = 1.0
    # What documents and updates go through on their way; a program may bring one of its own.
    transform: str | Endpoint | Transform | None = None

    def __post_init__(self) -> None:
        """Refuses what the command line would refuse, by name."""
        if self.mode not in (None, *get_args(Mode)):
            raise UsageError(f"there is no mode {self.mode!r}", remedy=f"give one of {', '.join(get_args(Mode))}")
        if self.duplicates not in ("fail", "last"):
            raise UsageError(f"duplicates cannot be {self.duplicates!r}", remedy="give 'fail' or 'last'")
        parse_engine(self.engine)
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name} is {value!r}", remedy=f"give {least} or more")

    @property
    def local_copiers(self) -> int:
        """Partitions at a time where one machine copies."""
        return self.copiers or LOAD_LEVELS["Low"]
