"""Funding: when positions are charged, and the charge."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.market import Symbol

_DAY_SECONDS: Final = 86_400


class FundingSchedule:
    """Settlements by numbered hours: an interval of 8 hours settles at every eighth.

    The hours are those of UTC, counted from the midnight before the start; or, with `hour_seconds`, last that many
    seconds of scenario time and are counted from its beginning. `started` is in seconds since the epoch.
    """

    def __init__(self, started: float, speed: float, hour_seconds: float | None) -> None:
        self._hour_seconds = 3600 * speed if hour_seconds is None else hour_seconds
        self._first = -(started % _DAY_SECONDS) * speed if hour_seconds is None else 0.0

    def hour_at(self, at: float) -> int:
        """Return the number of the hour at a scenario time."""
        return math.floor((at - self._first) / self._hour_seconds)

    def time_of(self, hour: int) -> float:
        """Return the scenario time at which an hour begins."""
        return self._first + hour * self._hour_seconds

    def next_settlement(self, symbol: Symbol, at: float) -> float:
        """Return the scenario time of a perpetual's first settlement after a scenario time."""
        return self.time_of((self.hour_at(at) // symbol.funding_hours + 1) * symbol.funding_hours)


def settle(account: SimulatedAccount, hour: int) -> None:
    """Charge an account's positions whose interval ends with the beginning of an hour."""
    for position in account.ledger.positions.values():
        hours = position.symbol.funding_hours
        if hours and hour % hours == 0:
            account.pay_funding(position)
