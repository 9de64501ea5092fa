"""Migrates data between stores and keeps it in sync.

What stands here is what a program uses; each name is imported when it is first used, so that `import dsync` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsync import errors
    from dsync.connector import Connector, ConnectorSpec
    from dsync.endpoint import Endpoint
    from dsync.flow.repair import Repaired, RepairSettings, repair
    from dsync.flow.verify import verify
    from dsync.flow.verify_outcome import Outcome, VerifySettings
    from dsync.namespaces import Selection
    from dsync.run import migrate
    from dsync.settings import Settings

# name -> module; "" where the name is the module itself
_HOMES = {
    "Connector": "dsync.connector",
    "ConnectorSpec": "dsync.connector",
    "Endpoint": "dsync.endpoint",
    "Outcome": "dsync.flow.verify_outcome",
    "RepairSettings": "dsync.flow.repair",
    "Repaired": "dsync.flow.repair",
    "Selection": "dsync.namespaces",
    "Settings": "dsync.settings",
    "VerifySettings": "dsync.flow.verify_outcome",
    "errors": "",
    "migrate": "dsync.run",
    "repair": "dsync.flow.repair",
    "verify": "dsync.flow.verify",
}

__all__ = [
    "Connector",
    "ConnectorSpec",
    "Endpoint",
    "Outcome",
    "RepairSettings",
    "Repaired",
    "Selection",
    "Settings",
    "VerifySettings",
    "errors",
    "migrate",
    "repair",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'dsync' has no attribute {name!r}")
    home = _HOMES[name]
    found: object = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"dsync.{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
