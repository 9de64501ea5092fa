"""Views of a run under way: a live display at a terminal, plain lines elsewhere, nothing on request."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from dsync.progress import Tracker
from dsync.progress.text import progress_line

# Seconds between two looks at the counters.
LIVE_SECONDS, LINE_SECONDS = 0.2, 5.0
# A line that says the same again says it seldom.
SAME_LINE_SECONDS = 60.0


@asynccontextmanager
async def shown(tracker: Tracker, wanted: bool | None) -> AsyncIterator[None]:
    """Shows the tracker on stderr while the context lasts: live at a terminal, a line every few seconds elsewhere."""
    terminal = sys.stderr.isatty()
    if wanted is False:
        yield
        return
    with _live() if terminal else contextlib.nullcontext(Lines(_print_line)) as show:
        task = asyncio.create_task(_repeat(tracker, show, LIVE_SECONDS if terminal else LINE_SECONDS))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _repeat(tracker: Tracker, show: Callable[[str], None], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        show(progress_line(tracker))


class Lines:
    """Passes lines on, the same one again only after a while."""

    def __init__(self, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._last, self._since = "", 0.0

    def __call__(self, text: str) -> None:
        """Shows the line, or not."""
        now = self._clock()
        if text != self._last or now - self._since >= SAME_LINE_SECONDS:
            self._show(text)
            self._last, self._since = text, now


def _print_line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the display


@contextlib.contextmanager
def _live() -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.status import Status

    status = Status("planning", console=Console(stderr=True, highlight=False))
    with status:
        yield lambda text: status.update(_escaped(text))


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
