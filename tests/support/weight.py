"""A budget of request weight on a clock that moves while it waits, and what responses report of the weight."""

from __future__ import annotations

from exporter.binance.clock import ExchangeClock
from exporter.binance.errors import Reason
from exporter.binance.messages import RateLimit
from exporter.binance.weight import Reservation, WeightBudget

MINUTE = 1_700_000_040  # an epoch second at which a minute of the exchange begins


def reported(count: int = 0, limit: int = 2400) -> RateLimit:
    """Return the IP's weight as reported by a response."""
    return RateLimit(kind="REQUEST_WEIGHT", interval="MINUTE", interval_num=1, limit=limit, count=count)


class Host:
    """A budget whose sleep moves its clock."""

    def __init__(self, share: float = 0.5, spread: float = 0.0) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        clock = ExchangeClock(lambda: MINUTE + self.now, lambda: self.now)
        self.budget = WeightBudget(share, clock, sleep=self.sleep, spread=lambda: spread)

    async def sleep(self, seconds: float) -> None:
        """Let time go by."""
        self.slept.append(seconds)
        self.now += seconds

    async def request(self, answer: RateLimit | None = None, weight: int = 5) -> Reservation:
        """Send a request that is answered at once."""
        reservation = await self.budget.acquire(weight)
        self.budget.settle(reservation, answer)
        return reservation

    def pause(
        self, after: float = 0.0, reason: Reason = Reason.BANNED, end: float | None = None, sent_at: float | None = None
    ) -> tuple[bool, float]:
        """Pause some time after the last pause; return whether it is a new one, and its length."""
        self.now += self.budget.pause_seconds + after
        new = self.budget.pause(reason, None if end is None else int((MINUTE + end) * 1000), sent_at=sent_at)
        return new, self.budget.pause_seconds
