"""The exchange's clock: synchronized by its responses, and advanced by this host's monotonic clock.

The monotonic clock is used instead of an offset to the wall clock, so that signatures stay valid when the wall clock is
stepped while the program runs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from exporter.binance.host_clock import HostClock

if TYPE_CHECKING:
    from collections.abc import Callable


def monotonic() -> float:
    """Return seconds that never go back and that, where the system supports it, include time spent in suspend.

    With a clock that stops in suspend, data from before a laptop was closed would count as fresh afterwards.
    """
    return time.clock_gettime(_CLOCK)


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
DATE_ERROR_SECONDS: Final = 1.5  # half of the second that a Date names, and its time in transit
_UNCERTAIN_SECONDS: Final = 1e9
# Binance rejects timestamps more than a second ahead of its clock and, by default, more than five seconds behind.
_MAX_AHEAD_SECONDS: Final = 1.0
_MAX_BEHIND_SECONDS: Final = 5.0


def is_host_clock_wrong(offset_seconds: float, uncertainty_seconds: float) -> bool:
    """Return whether Binance is certain to reject requests that are signed with this host's clock uncorrected.

    Args:
        offset_seconds: how far the exchange is ahead of this host.
        uncertainty_seconds: the largest error of that offset.
    """
    certain_offset_seconds = abs(offset_seconds) - uncertainty_seconds
    return certain_offset_seconds >= (_MAX_BEHIND_SECONDS if offset_seconds > 0 else _MAX_AHEAD_SECONDS)


class ExchangeClock:
    """The exchange's time as known on one endpoint; until it is synchronized, the host's wall clock.

    Args:
        wall: epoch seconds of this host.
        monotonic: seconds that advance the exchange's time.
        host: both clocks, where endpoints share them.
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
        self._base_seconds: float | None = None  # the exchange's time at monotonic zero
        self.uncertainty_seconds = 0.0  # half of the round trip: the two directions may differ
        self.synchronized_at = float("-inf")  # monotonic seconds

    def synchronize(self, server_time_ms: int, sent_at: float, received_at: float) -> None:
        """Set the exchange's time to `server_time_ms` at the middle of a round trip (in monotonic seconds).

        A response to a request from before the host was woken is ignored: it may have been in transit for hours.
        """
        if sent_at < self.host.woken_at:
            return
        self._base_seconds = server_time_ms / 1000 - (sent_at + received_at) / 2
        self.uncertainty_seconds = (received_at - sent_at) / 2
        self.synchronized_at = self.monotonic()

    def synchronize_to_date(self, date_ms: int, received_at: float) -> None:
        """Set the time from a handshake's Date if it is certain to be more accurate than the current time.

        A Date is precise to a second. It serves where the exchange does not report its time, and on a host whose clock
        is wrong it lets the first response and the end of a ban be counted in the exchange's minutes.
        """
        difference_seconds = abs(date_ms / 1000 - (self.seconds - self.monotonic() + received_at))
        is_better = not self.synchronized or max(self.uncertainty_seconds, difference_seconds) >= DATE_ERROR_SECONDS
        if is_better and received_at >= self.host.woken_at:
            self.synchronize(date_ms, received_at, received_at)
            self.uncertainty_seconds = DATE_ERROR_SECONDS

    def mark_uncertain(self) -> None:
        """Let the next synchronization replace the current time, however imprecise it is."""
        self.uncertainty_seconds = _UNCERTAIN_SECONDS

    def is_more_precise(self, sent_at: float, received_at: float) -> bool:
        """Whether a round trip (in monotonic seconds) gives a more precise time than the last synchronization."""
        return not self.synchronized or (received_at - sent_at) / 2 < self.uncertainty_seconds

    @property
    def synchronized(self) -> bool:
        """Whether the exchange has reported its time since the start, or since the host was last woken.

        The monotonic clock stops while a virtual machine is paused.
        """
        return self._base_seconds is not None and self.synchronized_at >= self.host.woken_at

    @property
    def seconds(self) -> float:
        """The exchange's time now, in epoch seconds."""
        return self._wall() if self._base_seconds is None else self._base_seconds + self.monotonic()

    @property
    def milliseconds(self) -> int:
        """The exchange's time now, as sent in a request's `timestamp`."""
        return int(self.seconds * 1000)

    @property
    def offset_seconds(self) -> float | None:
        """How far the exchange is ahead of this host's wall clock; None until synchronized."""
        return self.seconds - self._wall() if self.synchronized else None

    @property
    def exact_offset_seconds(self) -> float | None:
        """The same, but also None while it is known only from a Date."""
        return self.offset_seconds if self.uncertainty_seconds < DATE_ERROR_SECONDS else None
