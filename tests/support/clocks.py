"""Clocks that a test can set."""

from __future__ import annotations

from exporter.binance.clock import monotonic


class Clock:
    """A clock that only moves when a test moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    @property
    def now_ms(self) -> int:
        """The time in milliseconds, as in timestamps of requests."""
        return int(self.now * 1000)


class Monotonic:
    """The real monotonic clock, which a test can set ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return monotonic() + self.ahead
