"""The market and the accounts in time: the story is advanced lazily, whenever somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.simulator.ledger import Ledger
from exporter.simulator.market import ROUND_SECONDS, Market
from exporter.simulator.risk import liquidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from exporter.simulator.ledger import SimulatedAccount
    from exporter.simulator.scenario import Scenario


class ExchangeState:
    """Owns the accounts' books and moves them to now; it never runs by itself.

    `clock` tells seconds since the epoch; story time runs `speed` times as fast, from 0 at the start.
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
        self._told = 0
        for account in self.accounts.values():
            account.market = self.market
        self.advance()

    def advance(self) -> None:
        """Tell the story up to now, then liquidate what has to be."""
        at = (self._clock() - self._started) * self._speed
        if self._scenario:
            self._tell(self._scenario, at)
        self._move(at)
        for account in self.accounts.values():
            liquidate(account)

    def _tell(self, scenario: Scenario, at: float) -> None:
        this_round = int(at // ROUND_SECONDS)
        begin = this_round * ROUND_SECONDS
        if this_round != self._round:
            # Books begin anew rather than being traded back: no residue of fees piles up over the rounds.
            self._round, self._told = this_round, 0
            for account in self.accounts.values():
                account.ledger = Ledger()
            self._move(begin)
            scenario.begin(self.accounts)
        for event in scenario.events[self._told :]:
            if begin + event.at > at:
                break
            self._told += 1
            self._move(begin + event.at)
            event.happen(self.accounts[event.account])

    def _move(self, at: float) -> None:
        time_ms = int((self._started + at / self._speed) * 1000)
        for account in self.accounts.values():
            account.move_to(at, time_ms)
