"""Where checkpoints survive: a SQLite file by default, a MongoDB database or memory on request."""

from __future__ import annotations

from pathlib import Path

from dsync.errors import UsageError
from dsync.state.store import Flow, Progress, State, Status

__all__ = ["Flow", "Progress", "State", "Status", "default_path", "open_state"]


def default_path() -> Path:
    """The state file in the user's state folder."""
    import platformdirs

    return Path(platformdirs.user_state_dir("dsync", appauthor=False)) / "state.db"


def open_state(metadata: str) -> State:
    """The state that `--metadata` names, not yet open: "" (the default file), a path, `sqlite:///path`,
    `mongodb://host/database` or `memory:`."""
    if metadata in ("memory:", "memory://"):
        from dsync.state.memory import MemoryState

        return MemoryState()
    if metadata.startswith(("mongodb://", "mongodb+srv://")):
        from dsync.state.mongo import MongoState

        return MongoState(metadata)
    from dsync.state.sqlite import SqliteState

    scheme, separator, rest = metadata.partition("://")
    if not separator:
        return SqliteState(Path(metadata).absolute() if metadata else default_path())
    if scheme == "sqlite" and rest:
        return SqliteState(Path(rest).absolute())
    raise UsageError(
        f"--metadata cannot be kept in {scheme + '://'!r}",
        remedy="give a path, sqlite:///path, mongodb://host/database or memory:",
    )
