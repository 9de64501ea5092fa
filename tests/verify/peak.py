"""Runs dsync and says how much memory it needed: `python -m tests.verify.peak PATH WORDS` writes the peak in kB to PATH.

`ru_maxrss` will not do: a child's begins with what its parent had when it was started.
"""

from __future__ import annotations

import sys
from pathlib import Path


def resident_kilobytes() -> int:
    """The most memory that this process had at any time."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def main() -> None:
    """Ends with dsync's exit status."""
    from dsync.cli import main as dsync

    path = Path(sys.argv.pop(1))
    try:
        dsync()
    finally:
        path.write_text(str(resident_kilobytes()))


if __name__ == "__main__":
    main()
