"""The simulated market's prices."""

from __future__ import annotations

from itertools import pairwise

from exporter.simulator import Market
from exporter.simulator.market import SYMBOLS


def test_market_is_a_function_of_seed_and_time() -> None:
    """Two markets of one seed agree, another seed's differs, and rounds join without a jump."""
    symbol = SYMBOLS["BTCUSDT"]
    prices = [Market(3).mark_price(symbol, at / 2) for at in range(1201)]

    assert prices == [Market(3).mark_price(symbol, at / 2) for at in range(1201)]
    assert prices != [Market(4).mark_price(symbol, at / 2) for at in range(1201)]
    assert prices[0] == prices[-1]
    assert max(abs(b - a) for a, b in pairwise(prices)) < prices[0] / 1000
    assert len(set(prices)) > 1000
