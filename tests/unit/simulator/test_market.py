"""The simulated market's prices, and the time to which accounts move in it."""

from __future__ import annotations

from itertools import pairwise

from exporter.simulator import Market, SimulatedAccount
from exporter.simulator.market import SYMBOLS
from exporter.simulator.state import ExchangeState


def test_market_is_a_function_of_seed_and_time() -> None:
    """Two markets of one seed agree, another seed's differs, and rounds join without a jump."""
    symbol = SYMBOLS["BTCUSDT"]
    prices = [Market(3).mark_price(symbol, at / 2) for at in range(1201)]

    assert prices == [Market(3).mark_price(symbol, at / 2) for at in range(1201)]
    assert prices != [Market(4).mark_price(symbol, at / 2) for at in range(1201)]
    assert prices[0] == prices[-1]
    assert max(abs(b - a) for a, b in pairwise(prices)) < prices[0] / 1000
    assert len(set(prices)) > 1000


def test_accounts_move_to_now_when_accessed() -> None:
    """A state without a scenario moves its accounts to the clock's time, at its speed."""
    now = 1000.0
    account = SimulatedAccount("a")
    state = ExchangeState([account], seed=0, clock=lambda: now, speed=3)
    now = 1010.0
    state.advance()

    assert (account.at, account.time_ms) == (30.0, 1_010_000)
    assert account.secret_key is not None
    assert account.secret_key not in repr(account)
