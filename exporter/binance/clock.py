"""The exchange's clock as seen from here: learnt from its answers, carried on by the monotonic clock.

Counting on from what was learnt with the monotonic clock, and not adding an offset to the host's wall clock, keeps
signatures valid when the host's clock is stepped while the program runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from exporter.binance.host_clock import HostClock

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic() -> float:
    """Return seconds that never go back and, where the system can, go on while the machine sleeps.

    With a clock that stands still meanwhile, figures from before a laptop was shut would count as fresh after.
    """
    return time.clock_gettime(_CLOCK)


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
DATE_ERROR_SECONDS: Final = 1.5  # a Date names a second, of which the middle is taken; and it was under way
_DOUBTED_SECONDS: Final = 1e9
# Binance rejects timestamps more than a second ahead of its clock and, by default, more than five seconds behind.
_AHEAD_REFUSED_SECONDS: Final = 1.0
_BEHIND_REFUSED_SECONDS: Final = 5.0


def is_host_clock_wrong(offset_seconds: float, uncertainty_seconds: float) -> bool:
    """Return whether Binance surely refuses programs on this host that do not correct for its clock.

    Args:
        offset_seconds: how far the exchange is ahead of this host.
        uncertainty_seconds: how well that is known.
    """
    surely = abs(offset_seconds) - uncertainty_seconds
    return surely >= (_BEHIND_REFUSED_SECONDS if offset_seconds > 0 else _AHEAD_REFUSED_SECONDS)


class ExchangeClock:
    """One endpoint's idea of the exchange's time; until something is learnt it is the host's wall clock.

    Args:
        wall: epoch seconds of this host.
        monotonic: seconds to count on with.
        host: both, where endpoints share them.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = monotonic,
        host: HostClock | None = None,
    ) -> None:
        self.host = host or HostClock(wall, monotonic)
        self._wall = self.host.wall
        self.monotonic = self.host.monotonic
        self._base_seconds: float | None = None  # exchange's time at monotonic zero
        self.uncertainty_seconds = 0.0  # half of the round trip that taught it: the ways there and back may differ
        self.learnt_at = float("-inf")  # monotonic seconds

    def learn(self, server_time_ms: int, sent: float, received: float) -> None:
        """Take over the exchange's time as of the middle of a round trip (monotonic seconds).

        An answer to what was sent before the host was woken may have been on its way for hours: it is ignored.
        """
        if sent < self.host.woken_at:
            return
        self._base_seconds = server_time_ms / 1000 - (sent + received) / 2
        self.uncertainty_seconds = (received - sent) / 2
        self.learnt_at = self.monotonic()

    def learn_date(self, date_ms: int, received: float) -> None:
        """Take the time from a handshake's Date where that is surely better than what is known.

        Precise to a second, it is used if the exchange does not report its time, and makes the first response and the
        end of a ban count in the exchange's minutes on a host whose clock is wrong.
        """
        off_seconds = abs(date_ms / 1000 - (self.seconds - self.monotonic() + received))
        better = not self.learnt or max(self.uncertainty_seconds, off_seconds) >= DATE_ERROR_SECONDS
        if better and received >= self.host.woken_at:
            self.learn(date_ms, received, received)
            self.uncertainty_seconds = DATE_ERROR_SECONDS

    def doubt(self) -> None:
        """Let whatever is learnt next replace what is known, however imprecise it is."""
        self.uncertainty_seconds = _DOUBTED_SECONDS

    def would_gain(self, sent: float, received: float) -> bool:
        """Whether a round trip (monotonic seconds) would tell the time better than what was learnt last."""
        return not self.learnt or (received - sent) / 2 < self.uncertainty_seconds

    @property
    def learnt(self) -> bool:
        """Whether the exchange has reported its time, and again since the host was woken.

        The monotonic clock stands still while a virtual machine is paused.
        """
        return self._base_seconds is not None and self.learnt_at >= self.host.woken_at

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
        return self.seconds - self._wall() if self.learnt else None

    @property
    def exact_offset_seconds(self) -> float | None:
        """The same, and also None while it is known no better than from a Date."""
        return self.offset_seconds if self.uncertainty_seconds < DATE_ERROR_SECONDS else None
