"""The exchange's clock as seen from here: learnt from its answers, carried on by the monotonic clock.

Counting on from what was learnt with the monotonic clock, and not adding an offset to the host's wall clock, keeps
signatures valid when the host's clock is stepped while the program runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic() -> float:
    """Return seconds that never go back and, where the system can, go on while the machine sleeps.

    With a clock that stands still meanwhile, figures from before a laptop was shut would count as fresh after.
    """
    return time.clock_gettime(_CLOCK)


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class ExchangeClock:
    """One endpoint's idea of the exchange's time; until something is learnt it is the host's wall clock."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = monotonic) -> None:
        self._wall = wall
        self.monotonic = monotonic
        self._base_seconds: float | None = None  # exchange's time at monotonic zero
        self.uncertainty_seconds = 0.0  # half of the round trip that taught it: the ways there and back may differ

    def learn(self, server_time_ms: int, sent: float, received: float) -> None:
        """Take over the exchange's time as of the middle of a round trip (monotonic seconds)."""
        self._base_seconds = server_time_ms / 1000 - (sent + received) / 2
        self.uncertainty_seconds = (received - sent) / 2

    def would_gain(self, sent: float, received: float) -> bool:
        """Whether a round trip (monotonic seconds) would tell the time better than what was learnt last."""
        return not self.learnt or (received - sent) / 2 < self.uncertainty_seconds

    @property
    def learnt(self) -> bool:
        """Whether the exchange has told its time yet."""
        return self._base_seconds is not None

    @property
    def seconds(self) -> float:
        """The exchange's time now, in epoch seconds."""
        return self._wall() if self._base_seconds is None else self._base_seconds + self.monotonic()

    @property
    def milliseconds(self) -> int:
        """The exchange's time now, as a request's `timestamp` states it."""
        return int(self.seconds * 1000)

    @property
    def offset_seconds(self) -> float | None:
        """How far the exchange is ahead of this host's wall clock; None until learnt."""
        return None if self._base_seconds is None else self.seconds - self._wall()
