"""A histogram of durations: how many were within each bound, and their sum."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

BOUNDS_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Histogram:
    """Counts for each of BOUNDS_SECONDS, and one for longer durations; not cumulative."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    sum_seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    def copy(self) -> Histogram:
        """Return a histogram with the same counts and sum."""
        return Histogram(self.counts.copy(), self.sum_seconds)

    def add(self, other: Histogram) -> None:
        """Add another histogram's counts and sum."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum_seconds += other.sum_seconds
