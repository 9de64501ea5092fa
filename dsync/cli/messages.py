"""Messages on stderr, which nobody has to read: `dsync A B 2>&1 | head` does not end the copy."""

from __future__ import annotations

import io
import os
import sys


class Messages(io.TextIOWrapper):
    """Text for people; when its reader has gone away, what is written goes nowhere."""

    def write(self, text: str) -> int:
        """See TextIOWrapper."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._forget_the_reader()
            return len(text)

    def flush(self) -> None:
        """See TextIOWrapper."""
        try:
            super().flush()
        except BrokenPipeError:
            self._forget_the_reader()

    def _forget_the_reader(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def keep_speaking() -> None:
    """From now on a lost reader of stderr is no error; data on stdout that nobody takes still is one."""
    stream = sys.stderr
    if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, Messages):
        # the old wrapper lives on in sys.__stderr__, so that it does not close what both write to
        sys.stderr = Messages(stream.buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=True)
