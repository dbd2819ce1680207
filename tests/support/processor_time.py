"""Measures the processor time of work on long texts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Whatever a regular expression may search again and again.
CHARACTERS: Final = (
    *("1", "0a1b", "abcXYZ", "aB3/+", ".", ":", "\\", "%", "%25", "\\u0031", "1.", "1:", "a:", " ", "-"),
    "\N{FULLWIDTH DIGIT ONE}",
)


def long_text(characters: str) -> str:
    """Return a text of 4 Mi characters."""
    return (characters * (4 * 2**20 // len(characters) + 1))[: 4 * 2**20]


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the shortest processor time of three runs."""

    def once() -> float:
        began = time.thread_time()
        work()
        return time.thread_time() - began

    return min(once() for _ in range(3))
