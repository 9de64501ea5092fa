"""Room for the frames of Python functions."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType

# Python keeps the frames of a thread in pieces of 16 KiB, doubled until the next frame fits. These words are half a MiB, and with
# the rest of the frame a little more: it gets a MiB, of which it touches nothing, and the other half is for what it calls: two
# thousand frames, where 16 KiB hold eighty.
FRAME_WORDS = 1 << 16


def with_room(call: Callable[[], None]) -> None:
    """Calls so that no frame below comes to lie at the end of a piece of the stack.

    There, every call would get a piece from the system and every return would give it back, as long as it goes on at that
    depth: 3,000 times while one driver compiles its regular expressions, 25 ms of a start (CPython: Python/pystate.c,
    push_chunk and _PyThreadState_PopFrame).
    """
    roomy = FunctionType(_pass_on.__code__.replace(co_stacksize=FRAME_WORDS), globals())
    roomy(call)


def _pass_on(call: Callable[[], None]) -> None:
    call()
