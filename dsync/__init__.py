"""Migrates data between stores and keeps it in sync.

What stands here is what a program uses; each name is imported when it is first used, so that `import dsync` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsync import errors
    from dsync.connector import Connector, ConnectorSpec
    from dsync.endpoint import End, Endpoint
    from dsync.flow.repair import Repaired, RepairSettings, repair
    from dsync.flow.verify import verify
    from dsync.flow.verify_outcome import Outcome, VerifySettings
    from dsync.flow.verify_report import Difference
    from dsync.namespaces import Selection
    from dsync.preview import PlannedNamespace, Preview, check, plan
    from dsync.progress import Tracker
    from dsync.progress.events import Applied, Copied, Event, Finished, NamespaceResult, Result, StageEntered, Warned
    from dsync.run import migrate
    from dsync.settings import Settings
    from dsync.state import open_state
    from dsync.transform import Transform
    from dsync.wire.guard import Guard
    from dsync.wire.server import ServerSettings, serving

_HOMES = {
    "Applied": "dsync.progress.events",
    "Connector": "dsync.connector",
    "ConnectorSpec": "dsync.connector",
    "Copied": "dsync.progress.events",
    "Difference": "dsync.flow.verify_report",
    "End": "dsync.endpoint",
    "Endpoint": "dsync.endpoint",
    "Event": "dsync.progress.events",
    "Finished": "dsync.progress.events",
    "Guard": "dsync.wire.guard",
    "NamespaceResult": "dsync.progress.events",
    "Outcome": "dsync.flow.verify_outcome",
    "PlannedNamespace": "dsync.preview",
    "Preview": "dsync.preview",
    "RepairSettings": "dsync.flow.repair",
    "Repaired": "dsync.flow.repair",
    "Result": "dsync.progress.events",
    "Selection": "dsync.namespaces",
    "ServerSettings": "dsync.wire.server",
    "Settings": "dsync.settings",
    "StageEntered": "dsync.progress.events",
    "Tracker": "dsync.progress",
    "Transform": "dsync.transform",
    "VerifySettings": "dsync.flow.verify_outcome",
    "Warned": "dsync.progress.events",
    "check": "dsync.preview",
    "migrate": "dsync.run",
    "open_state": "dsync.state",
    "plan": "dsync.preview",
    "repair": "dsync.flow.repair",
    "serving": "dsync.wire.server",
    "verify": "dsync.flow.verify",
}

__all__ = [
    "Applied",
    "Connector",
    "ConnectorSpec",
    "Copied",
    "Difference",
    "End",
    "Endpoint",
    "Event",
    "Finished",
    "Guard",
    "NamespaceResult",
    "Outcome",
    "PlannedNamespace",
    "Preview",
    "RepairSettings",
    "Repaired",
    "Result",
    "Selection",
    "ServerSettings",
    "Settings",
    "StageEntered",
    "Tracker",
    "Transform",
    "VerifySettings",
    "Warned",
    "check",
    "errors",
    "migrate",
    "open_state",
    "plan",
    "repair",
    "serving",
    "verify",
]


if not TYPE_CHECKING:  # to a type checker, a module with this function has every name

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            found: object = getattr(importlib.import_module(_HOMES[name]), name)
        elif name == "errors":
            found = importlib.import_module("dsync.errors")
        else:
            raise AttributeError(f"module 'dsync' has no attribute {name!r}")
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
