"""Room for the frames of Python functions."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType

# Python keeps the frames of a thread in pieces of 16 KiB, and larger ones for a frame that needs one: twice as large as the
# frame, less a few bytes, if that needs a little more than a power of two. This one needs half a MiB, whose pages nobody
# touches, and leaves as much for what it calls: two thousand frames, where 16 KiB hold eighty.
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
