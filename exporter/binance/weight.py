"""The request-weight budget of one endpoint, that is of this IP: plan, yield and stop.

- *plan*: the polls of all accounts must fit this program's share of the limit, else all intervals are stretched.
- *yield*: when the IP as a whole nears its limit, requests wait for the next minute, so that the user's bots go first.
- *stop*: after 429 or 418 nothing is sent until the exchange's pause is over.

Binance counts per IP and aligned minute; `rateLimits` of every response reports the limit and the count.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.binance.errors import Paused, Reason
from exporter.binance.messages import HANDSHAKE_WEIGHT, WEIGHT, Method

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from exporter.binance.clock import ExchangeClock
    from exporter.binance.messages import RateLimit

# Until the exchange reports its limit: the lowest one known (mainnet's).
_ASSUMED_LIMIT: Final = 2400
# A limit outside these bounds is an error of the exchange; using it would stop all requests, or lead to a ban.
_PLAUSIBLE_LIMITS: Final = range(100, 1_000_001)
_YIELD_FRACTION: Final = 0.9
# The weight spent in any window of this length stays below the share. A second longer than a minute, so that no aligned
# minute of the exchange contains more, whatever the delay in transit and the error of this clock.
_WINDOW_SECONDS: Final = 61.0
# The plan leaves room for a dial, the clock, and polls that drift over the edge of the window.
_PLANNED_FRACTION: Final = 0.95
_UNPLANNED_WEIGHT: Final = HANDSHAKE_WEIGHT + WEIGHT[Method.SESSION_STATUS]
# However small the share, two dials with the clock and one poll must fit into a minute, or nothing would ever be sent.
_MIN_ALLOWANCE: Final = 2 * _UNPLANNED_WEIGHT + WEIGHT[Method.ACCOUNT_STATUS] + WEIGHT[Method.ACCOUNT_POSITION]
_SPREAD_SECONDS: Final = 5.0
_DEFAULT_PAUSE_SECONDS: Final = {Reason.RATE_LIMITED: 60.0, Reason.BANNED: 120.0}
# Ends of bans are reported in whole seconds, perhaps truncated; a request just before the end doubles the ban.
_END_MARGIN_SECONDS: Final = 1.0
_MAX_DEFAULT_PAUSE_SECONDS: Final = 3600.0
_MAX_PAUSE_SECONDS: Final = 4 * 86400.0  # bans are documented to last three days at most
_REPEAT_WINDOW_SECONDS: Final = 600.0


@dataclass(slots=True)
class Reservation:
    """Weight that may be spent; the exchange counts it from about `sent_at` on (monotonic seconds)."""

    weight: int
    sent_at: float
    minute: int  # the exchange's aligned minute it was sent in
    open: bool = True

    def split(self, weights: Iterable[int]) -> list[Reservation]:
        """Return one reservation for each of several requests whose weights add up to this one's."""
        return [Reservation(weight, self.sent_at, self.minute) for weight in weights]


class WeightBudget:
    """Decides for each request of one endpoint whether it may be sent, must wait, or fails.

    Args:
        share: the fraction of the IP's limit that this program may spend, 0 < share <= 0.9.
        clock: the endpoint's clock; minutes are aligned to it.
        yield_fraction: the fraction of the limit that all programs behind this IP together may have used.
        unplanned_weight: what is kept of the share for requests that are not planned.
        min_allowance: what may be spent in a minute, however small the share is.
        sleep: waits for a number of seconds.
        spread: returns a number from 0 to 1, which spreads waiting requests over the first seconds of the next minute.
    """

    def __init__(
        self,
        share: float,
        clock: ExchangeClock,
        *,
        yield_fraction: float = _YIELD_FRACTION,
        unplanned_weight: int = _UNPLANNED_WEIGHT,
        min_allowance: int = _MIN_ALLOWANCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.share = share
        self.spent_total = 0
        self.limit: int | None = None  # None until the exchange reports it
        # To be held while acquiring where weights differ: small requests would overtake a large one again and again.
        self.queue = asyncio.Lock()
        self._clock = clock
        self._yield_fraction = yield_fraction
        self._unplanned_weight = unplanned_weight
        self._min_allowance = min_allowance
        self._sleep = sleep
        self._spread = spread
        self._sent: deque[tuple[float, int]] = deque()  # this program's requests within the window: (when, weight)
        self._sent_weight = 0
        # The minute of the first response, and what the IP had spent in it in addition to this program.
        self._inherited: tuple[int, int] | None = None
        self._in_flight = 0
        self._count = 0  # the IP's, according to the last response
        self._count_minute = -1
        self._pause_reason: Reason | None = None
        self._pause_began = self._pause_ends = float("-inf")
        self._repeated_pauses = 0
        self.pause_end_reported = False  # by the exchange, else it is chosen here
        self._planned = 0.0  # weight a minute

    # plan

    def plan(self, polls: Iterable[tuple[int, float]]) -> None:
        """Set what is polled on this endpoint: (weight, interval in seconds) for each account."""
        self._planned = sum(weight * 60 / interval for weight, interval in polls)

    @property
    def stretch(self) -> float:
        """The factor, 1 or more, by which all intervals must grow for the plan to fit the share."""
        return max(1.0, self._planned / self._room)

    @property
    def spare(self) -> float:
        """The weight per minute that the plan leaves for other requests; a little even where it leaves nothing."""
        return max(self._room - self._planned, self._room * (1 - _PLANNED_FRACTION))

    @property
    def _room(self) -> float:
        """The weight per minute that planned polls may spend."""
        allowance = self.share * (self.limit or _ASSUMED_LIMIT)
        return max(allowance * _PLANNED_FRACTION - self._unplanned_weight, allowance / 2)

    # yield

    async def acquire(self, weight: int) -> Reservation:
        """Wait until `weight` may be spent, and count it as sent now.

        Raises:
            Paused: the exchange has rate limited or banned this IP, and the pause is not over.
        """
        while True:
            self.raise_if_paused()
            wait = self._seconds_to_wait(weight)
            if wait <= 0:
                return self._book(weight)
            await self._sleep(wait)

    def settle(self, reservation: Reservation, reported: RateLimit | None = None) -> None:
        """Close a reservation: its response arrived, with what it reports of the IP's weight, or never will."""
        if not reservation.open:
            return
        reservation.open = False
        self._in_flight -= reservation.weight
        if reported is None:
            return
        if reported.limit in _PLAUSIBLE_LIMITS:
            self.limit = reported.limit
        # No IP can have spent more than ten times the limit: it would have been banned long before.
        if not 0 <= reported.count <= 10 * (self.limit or _ASSUMED_LIMIT):
            return
        if self._inherited is None:
            # A previous run of this program may have spent it: restarted in a loop, each run would otherwise spend the
            # whole share again.
            self._inherited = (reservation.minute, max(reported.count - self._sent_weight, 0))
        # A response in a later minute than its request may report the count of either minute.
        if reservation.minute == self._minute:
            is_first_of_minute = self._count_minute != reservation.minute
            self._count = reported.count if is_first_of_minute else max(self._count, reported.count)
            self._count_minute = reservation.minute

    @property
    def used(self) -> int | None:
        """The IP's weight in the exchange's current minute, None if no response of this minute reported it."""
        return self._count if self._count_minute == self._minute else None

    @property
    def _minute(self) -> int:
        return int(self._clock.seconds // 60)

    def _seconds_to_wait(self, weight: int) -> float:
        limit = self.limit or _ASSUMED_LIMIT
        allowance = max(self.share * limit, self._min_allowance)
        minute, inherited = self._inherited or (-1, 0)
        inherited_minute_full = minute == self._minute and self._sent_weight + inherited + weight > allowance
        if inherited_minute_full or (self.used or 0) + self._in_flight + weight > limit * self._yield_fraction:
            return 60 - self._clock.seconds % 60 + self._spread() * _SPREAD_SECONDS
        now = free_at = self._clock.monotonic()
        while self._sent and self._sent[0][0] <= now - _WINDOW_SECONDS:
            self._sent_weight -= self._sent.popleft()[1]
        excess = self._sent_weight + weight - allowance
        for sent_at, spent in self._sent:
            if excess <= 0:
                break
            excess -= spent
            free_at = sent_at + _WINDOW_SECONDS
        return free_at - now

    def _book(self, weight: int) -> Reservation:
        now = self._clock.monotonic()
        self._sent.append((now, weight))
        self._sent_weight += weight
        self._in_flight += weight
        self.spent_total += weight
        return Reservation(weight, now, self._minute)

    # stop

    def pause(self, reason: Reason, retry_at_ms: int | None = None, *, sent_at: float | None = None) -> bool:
        """Send nothing until the end that the exchange reports, or for 1 (429) or 2 (418) minutes, doubled if repeated.

        Args:
            reason: RATE_LIMITED or BANNED.
            retry_at_ms: the end of the pause in epoch milliseconds, None if not reported.
            sent_at: when the rejected request was sent, in monotonic seconds; None if unknown.

        Returns:
            Whether this is a new pause, and not another response to a request sent before the last pause began.
        """
        now = self._clock.monotonic()
        reported_seconds = 0.0 if retry_at_ms is None else retry_at_ms / 1000 - self._clock.seconds
        reported_seconds = (
            min(reported_seconds + _END_MARGIN_SECONDS, _MAX_PAUSE_SECONDS) if reported_seconds > 0 else 0.0
        )
        if now < self._pause_ends or (sent_at is not None and sent_at <= self._pause_began):
            seconds = reported_seconds
            if reason is Reason.BANNED and self._pause_reason is not reason:
                self._pause_reason = reason
                seconds = seconds or _DEFAULT_PAUSE_SECONDS[reason]
            if now + seconds >= self._pause_ends:
                self._pause_ends, self.pause_end_reported = now + seconds, seconds == reported_seconds
            return False
        repeated = now - self._pause_ends <= _REPEAT_WINDOW_SECONDS
        self._repeated_pauses = self._repeated_pauses + 1 if repeated else 0
        default_seconds = min(
            _DEFAULT_PAUSE_SECONDS[reason] * 2 ** min(self._repeated_pauses, 10), _MAX_DEFAULT_PAUSE_SECONDS
        )
        self._pause_reason, self._pause_began = reason, now
        seconds = max(reported_seconds, default_seconds) if repeated else reported_seconds or default_seconds
        self._pause_ends, self.pause_end_reported = now + seconds, seconds == reported_seconds
        return True

    def raise_if_paused(self) -> None:
        """Raise an error while paused.

        Raises:
            Paused: the exchange has rate limited or banned this IP, and the pause is not over.
        """
        if reason := self.paused:
            raise Paused(reason, self.pause_seconds)

    @property
    def paused(self) -> Reason | None:
        """Why nothing is sent now: RATE_LIMITED, BANNED or None."""
        return self._pause_reason if self.pause_seconds > 0 else None

    @property
    def pause_seconds(self) -> float:
        """The remaining seconds of the pause; 0 when not paused."""
        return max(0.0, self._pause_ends - self._clock.monotonic())

    @property
    def resumes_at(self) -> float | None:
        """When the pause ends, in epoch seconds of the exchange's clock; None when not paused."""
        return self._clock.seconds + self.pause_seconds if self.paused else None
