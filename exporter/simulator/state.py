"""The market and the accounts over time, advanced lazily at every request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.funding import FundingSchedule, settle
from exporter.simulator.liquidation import liquidate
from exporter.simulator.market import ROUND_SECONDS, Market

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.scenario import Scenario


class ExchangeState:
    """The accounts, moved to now by `advance`; nothing runs in the background.

    `clock` returns seconds since the epoch; scenario time is 0 at the start and runs `speed` times as fast. `at` is the
    scenario time of the last `advance`.
    """

    def __init__(
        self,
        accounts: Iterable[SimulatedAccount],
        *,
        seed: int,
        clock: Callable[[], float],
        speed: float = 1.0,
        scenario: Scenario | None = None,
        funding_hour_seconds: float | None = None,
    ) -> None:
        self.at = 0.0
        self.accounts = {account.name: account for account in accounts}
        self.market = Market(seed, scenario.drift if scenario else None)
        self._clock = clock
        self._speed = speed
        self._scenario = scenario
        self._started = clock()
        self.funding = FundingSchedule(self._started, speed, funding_hour_seconds)
        self._funding_hour = self.funding.hour_at(0.0)
        self._round = -1
        self._events_applied = 0
        for account in self.accounts.values():
            account.market = self.market
        self.advance()

    def advance(self) -> None:
        """Apply the scenario's events and the funding up to now, then liquidate."""
        self.at = at = (self._clock() - self._started) * self._speed
        if self._scenario:
            self._apply_events(self._scenario, at)
        self._move(at)
        for account in self.accounts.values():
            liquidate(account)

    def time_ms(self, at: float) -> int:
        """Return the clock's time at a scenario time, in epoch ms."""
        # Rounded first: floats put some whole seconds a little too early.
        return int(round((self._started + at / self._speed) * 1000, 3))

    def _apply_events(self, scenario: Scenario, at: float) -> None:
        this_round = int(at // ROUND_SECONDS)
        if this_round != self._round:
            if self._round >= 0:
                end = (self._round + 1) * ROUND_SECONDS
                self._apply_events_of_round(scenario, end)
                self._move(end)
            # Nothing happens in rounds during which no request came.
            self._funding_hour = self.funding.hour_at(this_round * ROUND_SECONDS)
            self._move(this_round * ROUND_SECONDS)
            # Ledgers are replaced rather than traded back, so that fees do not add up over the rounds.
            self._round, self._events_applied = this_round, 0
            for account in self.accounts.values():
                account.reset()
            scenario.begin(self.accounts)
        self._apply_events_of_round(scenario, at)

    def _apply_events_of_round(self, scenario: Scenario, until: float) -> None:
        begin = self._round * ROUND_SECONDS
        for event in scenario.events[self._events_applied :]:
            if begin + event.at > until:
                break
            self._events_applied += 1
            self._move(begin + event.at)
            event.act(self.accounts[event.account])

    def _move(self, at: float) -> None:
        """Move the accounts to a scenario time, and settle their funding on the way."""
        this_hour = self.funding.hour_at(at)
        for hour in range(self._funding_hour + 1, this_hour + 1):
            self._date(self.funding.time_of(hour))
            for account in self.accounts.values():
                settle(account, hour)
        self._funding_hour = max(self._funding_hour, this_hour)
        self._date(at)

    def _date(self, at: float) -> None:
        for account in self.accounts.values():
            account.move_to(at, self.time_ms(at))
