"""The market and the accounts over time, advanced lazily at every request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.ledger import Ledger
from exporter.simulator.liquidation import liquidate
from exporter.simulator.market import ROUND_SECONDS, Market

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.scenario import Scenario


class ExchangeState:
    """The accounts, moved to now by `advance`; nothing runs in the background.

    `clock` returns seconds since the epoch; scenario time is 0 at the start and runs `speed` times as fast.
    """

    def __init__(
        self,
        accounts: Iterable[SimulatedAccount],
        *,
        seed: int,
        clock: Callable[[], float],
        speed: float = 1.0,
        scenario: Scenario | None = None,
    ) -> None:
        self.accounts = {account.name: account for account in accounts}
        self.market = Market(seed, scenario.drift if scenario else None)
        self._clock = clock
        self._speed = speed
        self._scenario = scenario
        self._started = clock()
        self._round = -1
        self._events_applied = 0
        for account in self.accounts.values():
            account.market = self.market
        self.advance()

    def advance(self) -> None:
        """Apply the scenario's events up to now, then liquidate."""
        at = (self._clock() - self._started) * self._speed
        if self._scenario:
            self._apply_events(self._scenario, at)
        self._move(at)
        for account in self.accounts.values():
            liquidate(account)

    def _apply_events(self, scenario: Scenario, at: float) -> None:
        this_round = int(at // ROUND_SECONDS)
        begin = this_round * ROUND_SECONDS
        if this_round != self._round:
            # Ledgers are replaced rather than traded back, so that fees do not add up over the rounds.
            self._round, self._events_applied = this_round, 0
            for account in self.accounts.values():
                account.ledger = Ledger()
            self._move(begin)
            scenario.begin(self.accounts)
        for event in scenario.events[self._events_applied :]:
            if begin + event.at > at:
                break
            self._events_applied += 1
            self._move(begin + event.at)
            event.act(self.accounts[event.account])

    def _move(self, at: float) -> None:
        time_ms = int((self._started + at / self._speed) * 1000)
        for account in self.accounts.values():
            account.move_to(at, time_ms)
