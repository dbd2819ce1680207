"""The simulated exchange's liquidation, its deleveraging ranks and its break-even prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from support.simulator_client import funded_account

from exporter.simulator.answers import account_position
from exporter.simulator.brackets import TIERS, maintenance_margin, max_notional
from exporter.simulator.liquidation import liquidate, liquidation_prices
from exporter.simulator.market import SYMBOLS
from exporter.simulator.valuation import statement_of


def test_break_even_price_covers_the_fees() -> None:
    """Closing at the break-even price leaves the wallet as it was before."""
    for amount in ("0.5", "-0.5"):
        account = funded_account()
        account.open("BTCUSDT", amount)
        (row,) = account_position(account, None)
        with account.market.pin("BTCUSDT", row["breakEvenPrice"]):
            account.close("BTCUSDT")

        assert abs(account.ledger.cross_wallets["USDT"] - 100_000) < Decimal("0.01")


def test_deleverage_rank_follows_profit() -> None:
    """A leveraged position with a profit is deleveraged first, one with a loss last."""
    account = funded_account()
    with account.market.pin("BTCUSDT", "100000"):
        account.open("BTCUSDT", "0.5", leverage=50)
    ranks = []
    for price in ("99000", "99900", "100100", "101000", "105000"):
        with account.market.pin("BTCUSDT", price):
            ranks.append(account_position(account, None)[0]["adl"])

    assert ranks == [0, 1, 2, 3, 4]


def test_deleverage_rank_is_the_same_on_both_sides_of_a_cross_position() -> None:
    """Both sides of a hedged symbol have the same rank while cross, and their own while isolated."""
    ranks = {}
    for wallet in (None, "5000"):
        account = funded_account(hedge=True)
        with account.market.pin("BTCUSDT", "100000"):
            account.open("BTCUSDT", "0.5", "LONG", leverage=50, isolated_wallet=wallet)
            account.open("BTCUSDT", "-0.5", "SHORT", leverage=50, isolated_wallet=wallet)
        with account.market.pin("BTCUSDT", "101000"):
            ranks[wallet] = [row["adl"] for row in account_position(account, None)]

    assert {None: [3, 3], "5000": [3, 0]} == ranks


@pytest.mark.parametrize("bracket", TIERS)
def test_maintenance_margin_is_continuous(bracket: str) -> None:
    """The maintenance margin does not jump where one tier ends and the next begins."""
    cent = Decimal("0.01")
    for tier in TIERS[bracket][1:]:
        below, above = (maintenance_margin(bracket, tier.floor + step) for step in (-cent, cent))
        assert Decimal(0) < above - below < cent
    assert max_notional(bracket, 1) > max_notional(bracket, 20) > 0


LIQUIDATED = [
    pytest.param({}, "BTCUSDT", "9.5", {}, id="cross long"),
    pytest.param({}, "BTCUSDT", "-12.345", {}, id="cross short"),
    pytest.param({}, "SOLUSDT", "5000", {"isolated_wallet": "30000"}, id="isolated long"),
    pytest.param({}, "SOLUSDT", "-5000", {"isolated_wallet": "300000"}, id="isolated short through tiers"),
    pytest.param({"multi_assets": True}, "ETHUSDC", "250", {}, id="multi-assets long"),
    pytest.param({"multi_assets": True}, "BTCUSDT", "-9", {}, id="multi-assets short"),
    pytest.param({"hedge": True}, "BTCUSDT", "11", {"position_side": "LONG"}, id="hedge long"),
]


@pytest.mark.parametrize(("options", "symbol", "amount", "how"), LIQUIDATED)
def test_pool_is_liquidated_at_the_liquidation_price(
    options: dict[str, Any], symbol: str, amount: str, how: dict[str, Any]
) -> None:
    """At the liquidation price the pool's ratio is 1; a tick before it the row exists, a tick beyond it does not."""
    account = funded_account(**options)
    account.deposit("USDT", "300000")
    if options.get("hedge"):
        account.open("BTCUSDT", "-1", "SHORT")
    else:
        account.open("XRPUSDT", "1000")
    account.open(symbol, amount, **how)
    side = how.get("position_side", "BOTH")
    price = liquidation_prices(statement_of(account))[symbol, side]
    beyond = SYMBOLS[symbol].tick.copy_sign(-Decimal(amount))

    with account.market.pin(symbol, price - beyond):
        liquidate(account)
        row = next(row for row in statement_of(account).rows if row.symbol.name == symbol)
        assert abs(statement_of(account).pool_of(row).ratio - 1) < Decimal("0.002")
    with account.market.pin(symbol, price + beyond):
        liquidate(account)
        assert symbol not in {row.symbol.name for row in statement_of(account).rows}
    assert account.multi_assets or min(account.ledger.cross_wallets.values()) >= 0
    assert statement_of(account).totals.wallet_balance < 400_000


def test_insurance_pays_what_the_wallet_cannot() -> None:
    """A pool that falls far below zero at once has an infinite ratio, and leaves an empty wallet."""
    account = funded_account()
    account.open("BTCUSDT", "9")
    with account.market.pin("BTCUSDT", "50000"):
        assert statement_of(account).pools["USDT"].ratio == Decimal("Infinity")
        liquidate(account)

    assert account.ledger.cross_wallets["USDT"] == 0


def test_safe_position_has_no_liquidation_price() -> None:
    """Without positions the ratio is 0; a position that the wallet covers down to 0 has no liquidation price."""
    account = funded_account()
    assert statement_of(account).pools["USDT"].ratio == 0

    account.open("BTCUSDT", "0.1")

    assert account_position(account, None)[0]["liquidationPrice"] == "0"
