"""Reads something repeatedly at its own interval, independently of the polls, and keeps the last result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, NoReturn, TypeVar

import structlog

from exporter.binance.errors import Action, BinanceError, ExchangeError, Paused, classify
from exporter.repeat_filter import RepeatFilter

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.errors import Reason
    from exporter.binance.weight import WeightBudget

log = structlog.get_logger()

_Result = TypeVar("_Result")
_STALE_INTERVALS: Final = 3
_NOTHING_YET_SECONDS: Final = 1.0
# After failures in a row the delay doubles: from the interval or an hour, to the interval or 15 minutes.
_MAX_FIRST_RETRY_SECONDS: Final = 3600.0
_MIN_LAST_RETRY_SECONDS: Final = 900.0
_REFUSED_SECONDS: Final = 3600.0
_MAX_DOUBLINGS: Final = 10
_LONGEST_SLEEP_SECONDS: Final = 60.0
_MAX_REPORTED_DELAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Reading(Generic[_Result]):
    """What was read, and when it was requested, in seconds of `HostClock.data_time`."""

    result: _Result
    asked_at: float


class Reader(Generic[_Result]):
    """Keeps the last result of what `read` returns.

    Args:
        subject: what is read and for whom, for the log.
        interval_seconds: how often it is read, unless the request weight requires a longer interval.
        read: requests and decodes it; returns None if there is nothing to request yet; raises BinanceError.
        budget: the request weight, which may stretch the interval.
        clock: the endpoint's clock.
        failures: counts failures by reason.
        stale_after_seconds: the age from which the result is not shown; None: three intervals.
    """

    def __init__(
        self,
        subject: dict[str, str],
        interval_seconds: float,
        read: Callable[[], Awaitable[Reading[_Result] | None]],
        budget: WeightBudget,
        clock: ExchangeClock,
        failures: Counter[Reason],
        stale_after_seconds: float | None = None,
    ) -> None:
        self._subject = subject
        self._interval_seconds = interval_seconds
        self._stale_after_seconds = stale_after_seconds or _STALE_INTERVALS * interval_seconds
        self._read = read
        self._budget = budget
        self._clock = clock
        self._counts = failures
        self._reading: Reading[_Result] | None = None
        self._stale_at = float("-inf")  # in seconds of `HostClock.data_time`
        self._failed_times = 0  # in a row
        self._due_at = float("-inf")  # monotonic seconds
        self._logged = RepeatFilter(clock.monotonic)

    @property
    def result(self) -> _Result | None:
        """The last result, None if there is none or it is too old."""
        reading = self._reading
        return reading.result if reading and self._clock.host.data_time() < self._stale_at else None

    def take_over(self, other: Reader[_Result]) -> None:
        """Continue for another reader of the same: with its last result, and its next one after at most an interval."""
        self._reading, self._stale_at = other._reading, other._stale_at
        self._failed_times = other._failed_times
        # What delays the other one, its longer interval or a failure, may just have been fixed by a reload.
        self._due_at = min(other._due_at, self._clock.monotonic() + self._interval_seconds)

    async def run(self) -> NoReturn:
        """Read until cancelled; a reader that is run again waits until the next time is due."""
        while True:
            # In steps: asyncio's timers stand still while the host is suspended.
            while (seconds := self._due_at - self._clock.monotonic()) > 0:  # noqa: ASYNC110 - a time has no event
                await asyncio.sleep(min(seconds, _LONGEST_SLEEP_SECONDS))
            # In case it is cancelled: the request may have been sent.
            self._due_at = self._clock.monotonic() + min(self._interval_seconds, _MAX_FIRST_RETRY_SECONDS)
            self._due_at = self._clock.monotonic() + await self.read_once()

    async def read_once(self) -> float:
        """Read once, and return the seconds until the next time."""
        stretch = self._budget.stretch
        try:
            reading = await self._read()
        except BinanceError as error:
            self._counts[classify(error).reason] += 1
            if self._logged.is_due((type(error), str(error))):
                log.warning("REST request failed", **self._subject, error=str(error))
            return self._retry_seconds(error, self._interval_seconds * stretch)
        if reading is None:
            return _NOTHING_YET_SECONDS
        self._reading, self._stale_at = reading, reading.asked_at + self._stale_after_seconds * stretch
        self._failed_times = 0
        self._logged.reset()
        return self._interval_seconds * stretch

    def _retry_seconds(self, error: BinanceError, interval: float) -> float:
        """Return the seconds until the next time after a failure."""
        if isinstance(error, Paused):
            return max(min(interval, _MAX_FIRST_RETRY_SECONDS), error.seconds)
        first, last = min(interval, _MAX_FIRST_RETRY_SECONDS), max(interval, _MIN_LAST_RETRY_SECONDS)
        seconds = min(first * 2.0 ** min(self._failed_times, _MAX_DOUBLINGS), last)
        self._failed_times += 1
        if classify(error).action in {Action.REFUSED, Action.BUG}:
            seconds = max(seconds, _REFUSED_SECONDS)
        if isinstance(error, ExchangeError) and error.retry_at_ms:
            reported_seconds = error.retry_at_ms / 1000 - self._clock.seconds
            seconds = max(seconds, min(reported_seconds, _MAX_REPORTED_DELAY_SECONDS))
        return max(seconds, self._budget.pause_seconds)
