"""The configuration file: global options by name, `source:`, `destination:` and `transform:` maps for theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsync.errors import UsageError

ENDS = ("source", "destination", "transform")


def read_config(path: str, known: set[str]) -> dict[str, Any]:
    """The file's options, global ones in snake_case. Raises UsageError that names the file and the place."""
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the configuration file {path!r} cannot be read: {error}", remedy="check --config") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise UsageError(f"the configuration file {path!r} is not YAML{place}", remedy="mend that line") from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(
            f"the configuration file {path!r} is not a map of options", remedy="write one `option: value` a line"
        )
    options = {key.replace("-", "_"): value for key, value in found.items()}
    for name in options:
        if name not in known and name not in ENDS:
            raise UsageError(
                f"the configuration file {path!r} has the unknown option {name!r}", remedy="dsync --help lists them"
            )
    return options
