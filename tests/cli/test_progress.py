from __future__ import annotations

from dsync.progress.views import SAME_LINE_SECONDS, Lines


def test_a_line_that_says_the_same_again_is_shown_seldom() -> None:
    shown: list[str] = []
    now = 100.0
    lines = Lines(shown.append, lambda: now)
    for text in ("a", "a", "b", "b", "a"):
        lines(text)
        now += 5
    assert shown == ["a", "b", "a"]
    lines("a")
    now += SAME_LINE_SECONDS
    lines("a")
    assert shown == ["a", "b", "a", "a"]
