"""The state of the simulated exchange: its accounts move with its clock."""

from __future__ import annotations

from exporter.simulator import SimulatedAccount
from exporter.simulator.state import ExchangeState


def test_accounts_move_to_now_when_accessed() -> None:
    """A state without a scenario moves its accounts to the clock's time, at its speed."""
    now = 1000.0
    account = SimulatedAccount("a")
    state = ExchangeState([account], seed=0, clock=lambda: now, speed=3)
    now = 1010.0
    state.advance()

    assert (account.at, account.time_ms) == (30.0, 1_010_000)
