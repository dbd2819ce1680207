"""The request-weight budget of one endpoint, which means of one IP: plan, yield and stop.

- *plan*: the polls of all accounts must fit this program's share of the limit, else every interval is stretched.
- *yield*: when the IP as a whole nears its limit, requests wait for the next minute: the user's bots go first.
- *stop*: after 429 or 418 nothing is sent until the exchange's time is up.

Binance counts per IP and aligned minute; `rateLimits` of every answer tells the limit and the count.
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

# Planned with until the exchange tells its limit: the lowest one known (mainnet's).
_ASSUMED_LIMIT: Final = 2400
# A limit outside these bounds is a mistake of the exchange's; acting on it would mean never to ask again, or a ban.
_CREDIBLE_LIMITS: Final = range(100, 1_000_001)
_YIELD_ABOVE: Final = 0.9
# Own spending is held below the share in every window of this length. A second more than a minute, so that no
# aligned minute of the exchange's can hold more, whatever the delay on the way and the error of our clock.
_OWN_WINDOW_SECONDS: Final = 61.0
# The plan leaves room for what is no poll: a dial, the clock, and polls that drift over the window's edge.
_PLANNED_PART: Final = 0.95
_UNPLANNED_WEIGHT: Final = HANDSHAKE_WEIGHT + WEIGHT[Method.SESSION_STATUS]
# However small the share, two dials with the clock and one poll must fit into a minute, or nothing would ever be asked.
_LEAST_ALLOWANCE: Final = 2 * _UNPLANNED_WEIGHT + WEIGHT[Method.ACCOUNT_STATUS] + WEIGHT[Method.ACCOUNT_POSITION]
_SPREAD_SECONDS: Final = 5.0
_DEFAULT_PAUSE_SECONDS: Final = {Reason.RATE_LIMITED: 60.0, Reason.BANNED: 120.0}
# Ends are told in whole seconds, perhaps cut off; a request that comes just before one doubles the ban.
_TOLD_MARGIN_SECONDS: Final = 1.0
_LONGEST_GUESS_SECONDS: Final = 3600.0
_LONGEST_PAUSE_SECONDS: Final = 4 * 86400.0  # bans are documented to last three days at most
_REPEATED_WITHIN_SECONDS: Final = 600.0


@dataclass(slots=True)
class Reservation:
    """Weight that was let through; the exchange counts it from about `sent_at` on (monotonic seconds)."""

    weight: int
    sent_at: float
    minute: int  # the exchange's aligned minute it was sent in
    open: bool = True

    def split(self, weights: Iterable[int]) -> list[Reservation]:
        """Return one reservation for each of several requests whose weights add up to this one's."""
        return [Reservation(weight, self.sent_at, self.minute) for weight in weights]


class WeightBudget:
    """Lets requests of one endpoint through, or makes them wait, or refuses them.

    Args:
        share: the part of the IP's limit that this program may spend, 0 < share <= 0.9.
        clock: the endpoint's clock; minutes are aligned to it.
        sleep: how to wait.
        spread: called for a number from 0 to 1; waiting requests are spread over the new minute's first seconds.
    """

    def __init__(
        self,
        share: float,
        clock: ExchangeClock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.share = share
        self.spent_total = 0
        self.limit: int | None = None  # None until the exchange tells
        self._clock = clock
        self._sleep = sleep
        self._spread = spread
        self._own: deque[tuple[float, int]] = deque()  # what was sent in the own window: (when, weight)
        self._own_weight = 0
        # What the IP had spent in the minute of the first answer, besides what this program knows to be its own.
        self._inherited: tuple[int, int] | None = None
        self._in_flight = 0
        self._count = 0  # the IP's, as of the last answer
        self._count_minute = -1
        self._pause_reason: Reason | None = None
        self._pause_began = self._pause_ends = float("-inf")
        self._strikes = 0
        self._planned = 0.0  # weight a minute

    # plan

    def plan(self, polls: Iterable[tuple[int, float]]) -> None:
        """Set what is to be polled on this endpoint: (weight, seconds between two) for each account."""
        self._planned = sum(weight * 60 / interval for weight, interval in polls)

    @property
    def stretch(self) -> float:
        """The factor, 1 or more, by which every interval must grow for the plan to fit the share."""
        return max(1.0, self._planned / self._room)

    @property
    def spare(self) -> float:
        """The weight a minute that the plan leaves for what is no poll, and a little where it leaves nothing."""
        return max(self._room - self._planned, self._room * (1 - _PLANNED_PART))

    @property
    def _room(self) -> float:
        """The weight a minute that polls may be planned to spend."""
        allowance = self.share * (self.limit or _ASSUMED_LIMIT)
        return max(allowance * _PLANNED_PART - _UNPLANNED_WEIGHT, allowance / 2)

    # yield

    async def acquire(self, weight: int) -> Reservation:
        """Wait until `weight` may be spent, and book it as sent now.

        Raises:
            Paused: the exchange has refused this IP, and the pause is not over.
        """
        while True:
            self.refuse_while_paused()
            wait = self._seconds_to_wait(weight)
            if wait <= 0:
                return self._book(weight)
            await self._sleep(wait)

    def settle(self, reservation: Reservation, told: RateLimit | None = None) -> None:
        """End a reservation: it was answered, with what the answer told of the IP, or never will be."""
        if not reservation.open:
            return
        reservation.open = False
        self._in_flight -= reservation.weight
        if told is None:
            return
        if told.limit in _CREDIBLE_LIMITS:
            self.limit = told.limit
        # More than ten times the limit no IP has ever spent: it would be banned long before.
        if not 0 <= told.count <= 10 * (self.limit or _ASSUMED_LIMIT):
            return
        if self._inherited is None:
            # A run of this program that has just ended may have spent it: restarted in a loop, each run would
            # otherwise spend the share anew.
            self._inherited = (reservation.minute, max(told.count - self._own_weight, 0))
        # An answer that arrives in another minute than it was asked in may count either of them.
        if reservation.minute == self._minute:
            newer = self._count_minute != reservation.minute
            self._count = told.count if newer else max(self._count, told.count)
            self._count_minute = reservation.minute

    @property
    def used(self) -> int | None:
        """The IP's weight in the exchange's current minute, None where no answer of this minute told it."""
        return self._count if self._count_minute == self._minute else None

    @property
    def _minute(self) -> int:
        return int(self._clock.seconds // 60)

    def _seconds_to_wait(self, weight: int) -> float:
        limit = self.limit or _ASSUMED_LIMIT
        allowance = max(self.share * limit, _LEAST_ALLOWANCE)
        minute, inherited = self._inherited or (-1, 0)
        heirs_wait = minute == self._minute and self._own_weight + inherited + weight > allowance
        if heirs_wait or (self.used or 0) + self._in_flight + weight > limit * _YIELD_ABOVE:
            return 60 - self._clock.seconds % 60 + self._spread() * _SPREAD_SECONDS
        now = free_at = self._clock.monotonic()
        while self._own and self._own[0][0] <= now - _OWN_WINDOW_SECONDS:
            self._own_weight -= self._own.popleft()[1]
        excess = self._own_weight + weight - allowance
        for sent_at, spent in self._own:
            if excess <= 0:
                break
            excess -= spent
            free_at = sent_at + _OWN_WINDOW_SECONDS
        return free_at - now

    def _book(self, weight: int) -> Reservation:
        now = self._clock.monotonic()
        self._own.append((now, weight))
        self._own_weight += weight
        self._in_flight += weight
        self.spent_total += weight
        return Reservation(weight, now, self._minute)

    # stop

    def refuse(self, reason: Reason, retry_at_ms: int | None = None, *, sent_at: float | None = None) -> bool:
        """Send nothing until the exchange's own time, or 1 minute (429), or 2 minutes (418), doubled when repeated.

        Args:
            reason: RATE_LIMITED or BANNED.
            retry_at_ms: the end of the ban in epoch milliseconds, None where not told.
            sent_at: when the refused request was sent, in monotonic seconds; None where unknown.

        Returns:
            Whether this is a new refusal, not one more answer to requests sent before the last one was known.
        """
        now = self._clock.monotonic()
        told = 0.0 if retry_at_ms is None else retry_at_ms / 1000 - self._clock.seconds
        told = min(told + _TOLD_MARGIN_SECONDS, _LONGEST_PAUSE_SECONDS) if told > 0 else 0.0
        if now < self._pause_ends or (sent_at is not None and sent_at <= self._pause_began):
            if reason is Reason.BANNED and self._pause_reason is not reason:
                self._pause_reason = reason
                told = told or _DEFAULT_PAUSE_SECONDS[reason]
            self._pause_ends = max(self._pause_ends, now + told)
            return False
        repeated = now - self._pause_ends <= _REPEATED_WITHIN_SECONDS
        self._strikes = self._strikes + 1 if repeated else 0
        guess = min(_DEFAULT_PAUSE_SECONDS[reason] * 2 ** min(self._strikes, 10), _LONGEST_GUESS_SECONDS)
        self._pause_reason, self._pause_began = reason, now
        self._pause_ends = now + (max(told, guess) if repeated else told or guess)
        return True

    def refuse_while_paused(self) -> None:
        """Do nothing, unless nothing is to be sent.

        Raises:
            Paused: the exchange has refused this IP, and the pause is not over.
        """
        if reason := self.paused:
            raise Paused(reason, self.pause_seconds)

    @property
    def paused(self) -> Reason | None:
        """Why nothing is sent now: RATE_LIMITED, BANNED or None."""
        return self._pause_reason if self.pause_seconds > 0 else None

    @property
    def pause_seconds(self) -> float:
        """How long nothing will be sent yet; 0 when not paused."""
        return max(0.0, self._pause_ends - self._clock.monotonic())

    @property
    def resumes_at(self) -> float | None:
        """When the pause ends, in epoch seconds of the exchange's clock; None when not paused."""
        return self._clock.seconds + self.pause_seconds if self.paused else None
